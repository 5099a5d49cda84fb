"""The page over a real socket: first byte once the data are there, a what-if, and a what-if with what it hangs on.

Floor: a bare Flask app that answers with a string of the page's size, behind the same server in the same run.
Bars: first byte < 300 ms, what-if < 300 ms, at 4 clients at once on 2 cores (p95).
"""

from __future__ import annotations

import logging
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from flask import Flask
from werkzeug.serving import make_server

from fhir_twin.knowledge import load_knowledge
from fhir_twin.pipeline import warm_up
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.web import create_app
from fhir_twin.wiring import open_server, open_service

BAR = 0.3  # seconds
CLIENTS, ROUNDS = 4, 10


def serve(app: Flask) -> str:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Reader:
    """One clinician with one patient open."""

    def __init__(self, base: str, patient: str) -> None:
        self.http = requests.Session()
        page = self.http.get(f"{base}/patients/{patient}", timeout=120)
        self.url = page.url
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found
        self.form = {
            "csrf_token": found[1],
            "w-weight-loss": "standard",
            "w-exercise": "standard",
            "horizon": "10.0",
        }
        self.size = len(page.content)

    def page(self) -> float:
        start = time.perf_counter()
        with self.http.get(self.url, stream=True, timeout=60) as answer:
            next(answer.iter_content(1))
            took = time.perf_counter() - start
            assert answer.status_code == 200
            for _ in answer.iter_content(65_536):
                continue
        return took

    def what_if(self, **more: str) -> float:
        start = time.perf_counter()
        answer = self.http.post(
            self.url + "what-if", data={**self.form, **more}, headers={"X-Fragment": "1"}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        return time.perf_counter() - start


def at_once(work: Callable[[Reader], float], readers: list[Reader]) -> list[float]:
    with ThreadPoolExecutor(len(readers)) as pool:
        found: list[float] = []
        for _ in range(ROUNDS):
            found += pool.map(work, readers)
    return sorted(found)


def first_time(base: str, patient: str) -> float:
    """First byte of the page once the record was read: nothing of it was rendered before."""
    http = requests.Session()
    url = http.get(f"{base}/patients/{patient}", allow_redirects=False, timeout=60).headers["Location"]
    while http.get(f"{base}{url}progress", timeout=60).json()["state"] == "loading":
        time.sleep(0.02)
    start = time.perf_counter()
    with http.get(base + url, stream=True, timeout=60) as answer:
        next(answer.iter_content(1))
        return time.perf_counter() - start


def told(name: str, times: list[float], floor: float) -> bool:
    p95 = times[int(0.95 * len(times)) - 1]
    median = statistics.median(times)
    print(
        f"{name:<28} median {1000 * median:6.1f} ms, p95 {1000 * p95:6.1f} ms, {median / floor:5.1f} x floor"
    )
    return p95 < BAR


def main() -> int:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    sandbox = serve_sandbox(port=0)
    with tempfile.TemporaryDirectory() as private:
        settings = load_settings({"server": sandbox.base, "cache": str(Path(private))}, {})
        server = open_server(settings)
        for bundle in load_bundles():
            server.transaction(bundle)
        service = open_service(settings, load_knowledge())
        warm_up(service.knowledge)  # as `fhir-twin serve` does before the first request
        base = serve(create_app(service, settings))
        people = [stories()[i][0] for i in (0, 1, 3, 4)][:CLIENTS]
        readers = [Reader(base, patient) for patient in people]
        plain = Flask("floor")
        body = "x" * max(r.size for r in readers)
        plain.add_url_rule("/", view_func=lambda: body)
        floor_base = serve(plain)

        def bare(reader: Reader) -> float:
            start = time.perf_counter()
            reader.http.get(floor_base, timeout=60)
            return time.perf_counter() - start

        at_once(Reader.page, readers)  # warm
        floor = statistics.median(at_once(bare, readers))
        print(
            f"floor (bare Flask, {len(body) // 1000} kB) median {1000 * floor:.1f} ms; {CLIENTS} clients at once"
        )
        fresh = sorted(first_time(base, patient) for patient in people for _ in range(3))
        told("the same, first time", fresh, floor)
        met = [
            told("page, first byte", at_once(Reader.page, readers), floor),
            told("what-if", at_once(Reader.what_if, readers), floor),
            told("what-if, what it hangs on", at_once(lambda r: r.what_if(deep="1"), readers), floor),
        ]
        alone = [readers[1].what_if(deep="1") for _ in range(ROUNDS)]
        told("the same, one client", sorted(alone), floor)
    sandbox.close()
    ok = met[0] and met[1]
    print("bars met" if ok else f"BAR MISSED ({BAR} s at p95)")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

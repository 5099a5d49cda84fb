"""How long does a CDS card take? A real service (gunicorn, two workers), ten callers at once, over sockets.

    python benchmarks/bench_card.py [--calls 300] [--parallel 10]

Three kinds of call: `again` (a full prefetch of a record that was asked about before: what an EHR does within a
visit), `fresh` (a full prefetch never seen: everything is worked out), `fetched` (no prefetch: the record comes from a
FHIR server that takes 20 ms a request). `floor` is /health under the same load: HTTP, process and machine.
Latencies are the caller's, in milliseconds; own CPU a call and its ratio to the floor's are the findings that travel:
ten callers who wait for each other's answers on two cores have a p95 of at least five times the CPU of a call.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from fhir_twin.sandbox import create_sandbox
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.web.cds_services import SEARCHED

PATH = "/cds-services/fhir-twin-patient-view"
BOUNDS = {"again": 100.0, "fresh": 100.0, "fetched": 500.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--parallel", type=int, default=10)
    chosen = parser.parse_args()
    with slow_server(0.020) as fhir, service(fhir) as (port, pid):
        for kind, body_of in makers(fhir).items():
            bench(kind, body_of, port, pid, chosen.calls, chosen.parallel)


def bench(kind: str, body_of: Callable[[int], bytes], port: int, pid: int, calls: int, parallel: int) -> None:
    measure(120, parallel, lambda n: call(port, body_of(n)))  # both workers have seen each patient
    before = cpu_of(pid)
    floor = measure(calls, parallel, lambda _n: get(port, "/health"))
    bare = 1000 * (cpu_of(pid) - before) / calls
    bodies = [body_of(1000 + n) for n in range(calls + 40)]
    before = cpu_of(pid)
    found = measure(calls, parallel, lambda n: call(port, bodies[n]))
    cpu = 1000 * (cpu_of(pid) - before) / calls
    alone = measure(40, 1, lambda n: call(port, bodies[calls + n]))
    p95 = at(found, 0.95)
    print(
        f"{kind:<8} own CPU {cpu:5.1f} ms a call   "
        f"p50 {at(found, 0.5):6.1f}  p95 {p95:6.1f}  max {max(found):6.1f} ms   "
        f"one at a time: median {statistics.median(alone):5.1f} ms   "
        f"floor own CPU {bare:4.1f} ms, ratio {cpu / max(bare, 0.1):5.1f}; p95 {at(floor, 0.95):5.1f} ms, "
        f"ratio {p95 / at(floor, 0.95):5.1f}   "
        f"bound {BOUNDS[kind]:.0f} ms {'holds' if p95 < BOUNDS[kind] else 'DOES NOT HOLD'}"
    )


def cpu_of(pid: int) -> float:
    """Seconds of CPU that the service and its workers have used so far (Linux)."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split() if folder.name.isdigit() else []
        except OSError:
            continue
        if fields and (folder.name == str(pid) or fields[1] == str(pid)):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def makers(fhir: str) -> dict[str, Callable[[int], bytes]]:
    records = [prefetch_of(json.loads(json.dumps(b, default=float))) for b in load_bundles()]
    adults = [r for r in records if r["patient"]["birthDate"] < "2005"]

    def again(number: int) -> bytes:
        return body(adults[number % len(adults)])

    def fresh(number: int) -> bytes:
        """One value is another one: nothing that was worked out before fits."""
        record = json.loads(json.dumps(adults[number % len(adults)]))
        record["patient"].setdefault("telecom", []).append({"system": "phone", "value": str(number)})
        return body(record)

    def fetched(number: int) -> bytes:
        patient = adults[number % len(adults)]["patient"]["id"]
        return json.dumps({**hook(patient), "fhirServer": fhir}).encode()

    return {"again": again, "fresh": fresh, "fetched": fetched}


def prefetch_of(bundle: dict[str, Any]) -> dict[str, Any]:
    rows = [e["resource"] for e in bundle["entry"]]
    found: dict[str, Any] = {"patient": next(r for r in rows if r["resourceType"] == "Patient")}
    for key, type_ in SEARCHED.items():
        entries = [{"resource": r} for r in rows if r["resourceType"] == type_]
        found[key] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}
    return found


def hook(patient: str) -> dict[str, Any]:
    context = {"patientId": patient, "userId": "Practitioner/1"}
    return {"hook": "patient-view", "hookInstance": str(uuid.uuid4()), "context": context}


def body(record: dict[str, Any]) -> bytes:
    return json.dumps({**hook(record["patient"]["id"]), "prefetch": record}).encode()


# --- callers -----------------------------------------------------------------------------------------

_local = threading.local()


def connection(port: int) -> http.client.HTTPConnection:
    if getattr(_local, "port", None) != port:
        _local.connection, _local.port = http.client.HTTPConnection("127.0.0.1", port, timeout=60), port
    found: http.client.HTTPConnection = _local.connection
    return found


def exchange(port: int, method: str, path: str, data: bytes | None) -> bytes:
    wire = connection(port)
    try:
        wire.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = wire.getresponse()
        content = answer.read()
    except (http.client.HTTPException, OSError):
        wire.close()  # the server closes idle connections; the next request opens a new one
        wire.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = wire.getresponse()
        content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}: {content[:300]!r}")
    return content


def call(port: int, data: bytes) -> None:
    if not json.loads(exchange(port, "POST", PATH, data))["cards"]:
        raise SystemExit("no card: nothing was measured")


def get(port: int, path: str) -> None:
    exchange(port, "GET", path, None)


def measure(calls: int, parallel: int, work: Callable[[int], None]) -> list[float]:
    def timed(number: int) -> float:
        start = time.perf_counter()
        work(number)
        return 1000 * (time.perf_counter() - start)

    with ThreadPoolExecutor(parallel) as pool:
        return list(pool.map(timed, range(calls)))


# --- servers -----------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    """Without a line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


@contextmanager
def slow_server(seconds: float) -> Iterator[str]:
    """The sandbox with the sample patients; every request takes `seconds` more."""

    def slowed(environ: dict[str, Any], start: Any) -> Any:
        time.sleep(seconds)
        return app(environ, start)

    server = make_server("127.0.0.1", 0, slowed, threaded=True, request_handler=Quiet)
    base = f"http://127.0.0.1:{server.server_port}/fhir"
    app = create_sandbox(base)
    for bundle in load_bundles():
        answer = app.test_client().post("/fhir", json=json.loads(json.dumps(bundle, default=float)))
        assert answer.status_code == 200, answer.text
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield base
    finally:
        server.shutdown()


@contextmanager
def service(fhir: str) -> Iterator[tuple[int, int]]:
    """`fhir-twin serve` with two workers, on loopback, with an open server registered: (port, process id)."""
    with tempfile.TemporaryDirectory() as folder:
        servers = Path(folder) / "servers.toml"
        servers.write_text(f'[[server]]\nname = "slow"\nbase = "{fhir}"\nlogin = "none"\n', "utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "FHIR_TWIN_SERVERS_FILE": str(servers), "FHIR_TWIN_CACHE": folder,
                       "FHIR_TWIN_STORE": f"{folder}/store.db"}  # fmt: skip
        command = [sys.executable, "-m", "fhir_twin", "serve", "--server", fhir, "--port", str(port)]
        process = subprocess.Popen(command, env=environment)
        try:
            wait_for(port, process)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(30)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("the service did not start")
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not start in a minute")


if __name__ == "__main__":
    main()

"""Pulling 40 patients (16,360 resources) from a stub that takes 20 ms a request, page 200, against a bare floor.

The floor is the fastest way of performance.md 2.2 written by hand with nothing around it: searches grouped by ten
patients, eight threads, requests.Session and orjson, no retries, no checks, no completeness. Bars: our time at most
1.5 times the floor's, at most 3 requests a patient, our CPU at most 2.5 times the floor's (which checks nothing). The
share of CPU on a real HAPI (at most 30 % of the wall time) is held by tests/hapi/test_hapi_pull.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import requests

from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.pull import Fetched, ServerSource
from fhir_twin.transport.wanted import WANTED

PATIENTS, PAGE, DELAY, GROUP = 40, 200, 0.020, 10
# Resources of one patient by type: 409, in the proportions of the Synthea sample.
MIX = {
    "Observation": 180, "Encounter": 50, "Procedure": 60, "DiagnosticReport": 40, "MedicationRequest": 30,
    "Condition": 14, "Immunization": 20, "CarePlan": 6, "AllergyIntolerance": 4, "Goal": 4,
}  # fmt: skip
TIME_BAR, REQUEST_BAR, CPU_BAR = 1.5, 3.0, 2.5


def main() -> int:
    with subprocess.Popen([sys.executable, __file__, "--stub"], stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        base = stub.stdout.readline().strip()
        try:
            return compare(base)
        finally:
            stub.terminate()


def compare(base: str) -> int:
    ids = [f"p{n}" for n in range(PATIENTS)]
    runs: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(5):  # interleaved, so that a busy moment hits all alike
        for name, pull in (("floor", floor), ("grouped", grouped), ("one by one", single)):
            wall, cpu = time.perf_counter(), time.process_time()
            asked, read = pull(base, ids)
            assert read >= PATIENTS * sum(MIX.values()), f"{name} read only {read}"
            runs.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - cpu, asked))
    middle = {name: [statistics.median(r[i] for r in rows) for i in range(3)] for name, rows in runs.items()}
    print(
        f"{PATIENTS} patients, {sum(MIX.values())} resources each, {DELAY * 1000:.0f} ms a request, page {PAGE}"
    )
    print(
        f"{'way':<12}{'seconds':>9}{'of floor':>10}{'requests/patient':>18}{'CPU ms/patient':>16}{'CPU share':>11}"
    )
    for name, (wall, cpu, asked) in middle.items():
        ratio, each = wall / middle["floor"][0], 1000 * cpu / PATIENTS
        print(
            f"{name:<12}{wall:>9.2f}{ratio:>10.2f}{asked / PATIENTS:>18.2f}{each:>16.1f}{cpu / wall:>11.0%}"
        )
    ratio = middle["grouped"][0] / middle["floor"][0]
    ok = ratio <= TIME_BAR and max(middle[n][2] for n in ("grouped", "one by one")) / PATIENTS <= REQUEST_BAR
    ok = ok and middle["grouped"][1] / middle["floor"][1] <= CPU_BAR
    print("bars met" if ok else f"BAR MISSED (time {TIME_BAR}x, {REQUEST_BAR} requests, CPU {CPU_BAR}x)")
    return 0 if ok else 1


def floor(base: str, ids: list[str]) -> tuple[float, int]:
    local = threading.local()
    asked: list[int] = []

    def one(query: str) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        url, read = f"{base}/{query}", 0
        while url:
            page = orjson.loads(local.session.get(url).content)
            asked.append(1)
            read += len(page.get("entry", ()))
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        return read

    groups = [",".join(ids[i : i + GROUP]) for i in range(0, len(ids), GROUP)]
    queries = [f"{w.type}?patient={who}&_count={PAGE}" for who in groups for w in WANTED]
    with ThreadPoolExecutor(8) as pool:
        read = sum(pool.map(one, queries))
    return len(asked), read


def grouped(base: str, ids: list[str]) -> tuple[float, int]:
    with HttpClient(base) as client:
        source = ServerSource(FhirServer(client), page_size=PAGE)
        fetched = list(source.fetch_many(ids, group=GROUP))
        return client.total.requests, sum(_read(f) for f in fetched)


def single(base: str, ids: list[str]) -> tuple[float, int]:
    """As `fhir-twin run` does it: patient by patient, two at a time."""
    with HttpClient(base) as client:
        source = ServerSource(FhirServer(client), page_size=PAGE)
        with ThreadPoolExecutor(2) as pool:
            fetched = list(pool.map(source.fetch, ids))
        return client.total.requests, sum(_read(f) for f in fetched)


def _read(fetched: object) -> int:
    assert isinstance(fetched, Fetched) and all(c.state == "complete" for c in fetched.completeness)
    return len(fetched.bundle["entry"]) - 1


# --- the stub, in a process of its own so that its CPU is not ours ----------------------------------


class Stub:
    """Just enough FHIR: metadata, read, search by patients with pages, batch; every request takes DELAY."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.rows = {
            t: {f"p{n}": [self.row(t, n, k) for k in range(c)] for n in range(PATIENTS)}
            for t, c in MIX.items()
        }

    def row(self, type_: str, patient: int, number: int) -> bytes:
        coding = {"system": "http://loinc.org", "code": "8480-6", "display": "Systolic blood pressure"}
        resource = {
            "resourceType": type_, "id": f"p{patient}-{type_}-{number}", "status": "final",
            "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"},
            "code": {"coding": [coding], "text": "Systolic blood pressure"},
            "subject": {"reference": f"Patient/p{patient}"}, "patient": {"reference": f"Patient/p{patient}"},
            "effectiveDateTime": "2024-05-01T10:00:00Z", "valueQuantity": {"value": 120.5, "unit": "mmHg"},
        }  # fmt: skip
        url = f"{self.base}/{type_}/{resource['id']}"
        return orjson.dumps({"fullUrl": url, "resource": resource, "search": {"mode": "match"}})

    def page(self, type_: str, query: dict[str, str]) -> bytes:
        if type_ == "Patient":
            rows = [
                orjson.dumps({"resource": {"resourceType": "Patient", "id": i}})
                for i in query["_id"].split(",")
            ]
        else:
            rows = [r for p in query["patient"].split(",") for r in self.rows.get(type_, {}).get(p, [])]
        start, size = int(query.get("_start", 0)), min(PAGE, int(query.get("_count", 20)))
        links = [{"relation": "self", "url": self.base}]
        if start + size < len(rows):
            more = "&".join(f"{k}={v}" for k, v in {**query, "_start": str(start + size)}.items())
            links.append({"relation": "next", "url": f"{self.base}/{type_}?{more}"})
        head = {"resourceType": "Bundle", "type": "searchset", "total": len(rows), "link": links}
        return orjson.dumps(head)[:-1] + b',"entry":[' + b",".join(rows[start : start + size]) + b"]}"

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        url = urlsplit(target)
        path = url.path.removeprefix("/fhir").strip("/")
        if path == "metadata":
            types = [{"type": t} for t in ("Patient", *(w.type for w in WANTED))]
            rest = [{"mode": "server", "resource": types, "interaction": [{"code": "batch"}]}]
            return orjson.dumps({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})
        if method == "POST":
            urls = [e["request"]["url"] for e in json.loads(body)["entry"]]
            pages = [self.answer("GET", f"/fhir/{u}", b"") for u in urls]
            entries = b",".join(b'{"response":{"status":"200"},"resource":' + p + b"}" for p in pages)
            return b'{"resourceType":"Bundle","type":"batch-response","entry":[' + entries + b"]}"
        if "/" in path:
            return orjson.dumps({"resourceType": "Patient", "id": path.split("/")[1]})
        return self.page(path, dict(parse_qsl(unquote(url.query))))


async def serve() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                method, target = head.split(" ", 2)[:2]
                length = next(
                    (
                        int(h.split(":")[1])
                        for h in head.split("\r\n")
                        if h.lower().startswith("content-length")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                await asyncio.sleep(DELAY)
                data = stub.answer(method, target, body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n"
                    % len(data)
                    + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/fhir"
    stub = Stub(base)
    print(base, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stub", action="store_true")
    if parser.parse_args().stub:
        asyncio.run(serve())
    sys.exit(main())

"""Our client against our sandbox over a real socket: write, read back, pull by every way, and stop cleanly."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_twin.errors import Conflict, InvalidInput, NotFound, NotSupported
from fhir_twin.fhir.parse import parse_json
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.loader import load
from fhir_twin.transport.pull import Fetched, ServerSource


@pytest.fixture(scope="module")
def server() -> Iterator[FhirServer]:
    with contextlib.closing(serve_sandbox()) as running, HttpClient(running.base) as client:
        made = FhirServer(client)
        load(made, [record("p1", 450), record("p2", 3), record("p3", 0)])
        yield made


def record(who: str, size: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": who, "identifier": [{"system": "urn:mrn", "value": who.upper()}]},
        {"resourceType": "Medication", "id": f"{who}-m"},
        {
            "resourceType": "MedicationRequest", "id": f"{who}-r", "subject": {"reference": f"Patient/{who}"},
            "medicationReference": {"reference": f"Medication/{who}-m"}, "status": "active", "intent": "order",
        },
    ]  # fmt: skip
    rows += [
        {
            "resourceType": "Observation",
            "id": f"{who}-o{n}",
            "subject": {"reference": f"Patient/{who}"},
            "status": "final",
        }
        for n in range(size)
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in rows]}


def keys(fetched: Fetched) -> list[str]:
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in fetched.bundle["entry"]]


def test_every_way_gives_the_same_record(server: FhirServer) -> None:
    """F5: one batch, single searches, POST _search, groups, small pages, $everything."""
    first = ServerSource(server).fetch("p1")
    assert {c.state for c in first.completeness} == {"complete"} and len(keys(first)) == 453
    assert first.requests == 4  # Patient, batch, two further pages of Observations
    ways = [
        ServerSource(server, batch=False).fetch("p1"),
        ServerSource(FhirServer(server.client, post_search=True), batch=False).fetch("p1"),
        ServerSource(server, page_size=30).fetch("p1"),
        next(iter(ServerSource(server).fetch_many(["p1", "p2"]))),
    ]
    assert all(isinstance(w, Fetched) and w.bundle == first.bundle for w in ways)
    page = parse_json(server.client.request("GET", "Patient/p1/$everything?_count=100").body)
    found = server.pager.follow(page, "Observation")
    everything = [f"{r['resourceType']}/{r['id']}" for r in (*found.matches, *found.included)]
    assert found.pages == 5 and found.total is None and sorted(everything) == sorted(keys(first))


def test_who_is_there(server: FhirServer) -> None:
    source = ServerSource(server, page_size=2)
    assert list(source.patients()) == ["p1", "p2", "p3"]
    assert source.find("urn:mrn", "P2") == "p2"
    with pytest.raises(NotFound):
        source.find("urn:mrn", "p2")
    assert [len(keys(f)) for f in source.fetch_many(source.patients()) if isinstance(f, Fetched)] == [
        453,
        6,
        3,
    ]


def test_write_and_read_back(server: FhirServer) -> None:
    goal = {
        "resourceType": "Goal", "lifecycleStatus": "proposed", "description": {"text": "x"},
        "subject": {"reference": "Patient/p3"}, "identifier": [{"system": "urn:g", "value": "1"}],
    }  # fmt: skip
    made = server.create(goal, if_none_exist="identifier=urn:g|1")
    assert server.create(goal, if_none_exist="identifier=urn:g|1")["id"] == made["id"]
    changed = server.update({**made, "lifecycleStatus": "cancelled"}, if_match=made["meta"]["versionId"])
    assert changed["meta"]["versionId"] == "2"
    with pytest.raises(Conflict):
        server.update({**made, "lifecycleStatus": "active"}, if_match="1")
    assert server.read("Goal", made["id"]) == changed
    assert [g["id"] for g in server.search("Goal", {"identifier": "urn:g|1", "status": "x"})] == [made["id"]]
    with pytest.raises(InvalidInput):
        server.create({**goal, "subject": {"reference": "Patient/none"}})
    assert server.read("Goal", "none") is None


def test_parameters_may_repeat(server: FhirServer) -> None:
    found = server.search("Observation", {"_id": ["p1-o1,p1-o2", "p1-o2,p1-o3"], "patient": "p1"})
    assert [r["id"] for r in found] == ["p1-o2"]


def test_two_sandboxes_do_not_mix() -> None:
    """F10."""
    with contextlib.closing(serve_sandbox()) as one, contextlib.closing(serve_sandbox()) as two:
        assert one.base != two.base
        load(FhirServer(HttpClient(one.base)), [record("p1", 1)])
        assert list(ServerSource(FhirServer(HttpClient(two.base))).patients()) == []


def test_many_readers_and_a_writer_at_once(server: FhirServer) -> None:
    failed: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(5):
                assert len(keys(ServerSource(server, threads=2).fetch("p2"))) == 6
        except BaseException as error:  # noqa: BLE001 (a thread's failure must reach the test)
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        server.update({"resourceType": "Organization", "id": "busy", "name": str(n)})
    for thread in threads:
        thread.join()
    assert failed == []


def test_close_frees_the_port_and_taken_ports_are_said() -> None:
    running = serve_sandbox()
    port = int(running.base.split(":")[2].split("/")[0])
    with pytest.raises(OSError):
        serve_sandbox(port=port)
    running.close()
    with socket.create_server(("127.0.0.1", port)):
        assert True


def test_another_fhir_version_is_refused(server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fhir_twin.sandbox.engine.capability_statement",
        lambda *_: {"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"},
    )
    with pytest.raises(NotSupported, match=r"5\.0\.0"):
        ServerSource(FhirServer(server.client)).fetch("p1")

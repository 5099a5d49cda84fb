"""Feeds by HTTP: HL7 v2 and C-CDA in, kept or refused with the reason (V2-3, CD-7, rows 29 to 33, 48)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from ccda_documents import document
from werkzeug.serving import make_server

from fhir_twin.knowledge import Knowledge
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.web import create_app
from fhir_twin.wiring import open_service
from fhir_twin.wiring_feeds import open_feed_worker, open_reception, with_feeds

MESSAGE = (
    b"MSH|^~\\&|LAB|HOSP|T|H|20260301||ORU^R01|%s|P|2.5\rPID|1||777^^^HOSP^MR||CANARY^TWEETY||19600101|F\r"
    b"OBR|1||F1|2160-0^C^LN\rOBX|1|NM|2160-0^C^LN||1.0|mg/dL|||||F|||20260301\r"
)


class Site:
    def __init__(self, base: str, store: Store, work: object) -> None:
        self.base, self.store, self.work = base, store, work

    def post(self, path: str, body: bytes, kind: str) -> requests.Response:
        return requests.post(f"{self.base}{path}", data=body, headers={"Content-Type": kind}, timeout=30)


@pytest.fixture(scope="module")
def site(
    stocked_sandbox: str, all_knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("store") / "store.db"
    settings = load_settings({"server": stocked_sandbox, "store": str(path), "feeds": True}, {})
    store = open_store(str(path))
    service = with_feeds(open_service(settings, all_knowledge), store)
    app = create_app(service, settings, store=store, reception=open_reception(settings, store))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with contextlib.closing(server.socket):
        yield Site(f"http://127.0.0.1:{server.server_port}", store, lambda: open_feed_worker(settings, store))
        server.shutdown()
        thread.join()
    store.close()


def test_a_message_is_kept_and_acknowledged(site: Site) -> None:
    answer = site.post("/hl7v2", MESSAGE % b"1", "application/hl7-v2")
    assert (answer.status_code, "MSA|AA|1" in answer.text) == (200, True)
    again = site.post("/hl7v2", b"\x0b" + MESSAGE % b"1" + b"\x1c\r", "text/plain")
    assert (again.status_code, len(Desk(site.store.jobs).rows())) == (200, 1)
    worker = site.work()
    while worker.step():
        continue
    assert len(site.store.records.all_persons()) >= 1


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/hl7-v2", 400),
        (b"hello", "application/hl7-v2", 400),
        (MESSAGE.replace(b"777", b"") % b"9", "application/hl7-v2", 422),
        (MESSAGE % b"8", "text/html", 415),
        (MESSAGE.replace(b"ORU^R01", b"XXX^Y01") % b"8", "application/hl7-v2", 400),
    ],
)
def test_refused_messages(site: Site, body: bytes, kind: str, status: int) -> None:
    answer = site.post("/hl7v2", body, kind)
    assert answer.status_code == status
    assert "TWEETY" not in answer.text


def test_a_document_is_kept_once(site: Site) -> None:
    body = document()
    first, second = (site.post("/ccda", body, "application/xml") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["resourceType"] == "OperationOutcome"


XXE = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
BILLION = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        XXE.encode() + document(),
        BILLION.encode() + document(),
        document().replace(
            b"<title>", b'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="x"/><title>'
        ),
        document()[:-20],
        b"<a>" * 300_000,
        document().replace(b"<title>", b"<title>" + b"x" * 11_000_000),
        document("utf-16-le"),
        document().replace(b"UTF-8", b"UTF-7"),
        document().replace(b"DOE", b"D\xffE"),
        document().replace(b"DOE", b"D\x00E"),
        document().replace(b"recordTarget", b"recordOther"),
        b"<ClinicalDocument/>",
        b"{}",
    ],
    ids=[
        "xxe",
        "billion",
        "xinclude",
        "cut",
        "deep",
        "long",
        "utf16",
        "utf7",
        "bytes",
        "nul",
        "nobody",
        "other",
        "json",
    ],
)
def test_hostile_documents_are_refused_quickly(site: Site, body: bytes) -> None:
    """Rows 29 to 33: refused, nothing kept, the service still answers."""
    before = Desk(site.store.jobs).counts().states
    start = time.monotonic()
    answer = site.post("/ccda", body, "application/xml")
    assert answer.status_code in (400, 413)
    assert time.monotonic() - start < 5
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "DOE" not in answer.text
    assert "root:" not in answer.text
    assert requests.get(f"{site.base}/health", timeout=1).status_code == 200
    assert Desk(site.store.jobs).counts().states == before


def test_without_feeds_nothing_is_taken(stocked_sandbox: str, all_knowledge: Knowledge) -> None:
    settings = load_settings({"server": stocked_sandbox}, {})
    client = create_app(open_service(settings, all_knowledge), settings).test_client()
    answer = client.post("/hl7v2", data=MESSAGE % b"1", content_type="application/hl7-v2")
    assert (answer.status_code, "--feeds" in answer.text) == (400, True)


def test_the_store_is_where_the_settings_say(site: Site, tmp_path: Path) -> None:
    assert Path(str(site.store.database.url.database)).exists()
    assert not list(tmp_path.iterdir())


def test_feeds_alone_make_a_twin_and_a_plan(all_knowledge: Knowledge, tmp_path: Path) -> None:
    """No FHIR server at all: patients, twins and plans of what the feeds told."""
    settings = load_settings({"store": str(tmp_path / "store.db"), "feeds": True}, {})
    store = open_store(str(tmp_path / "store.db"))
    service = with_feeds(open_service(settings, all_knowledge), store)
    client = create_app(
        service, settings, store=store, reception=open_reception(settings, store)
    ).test_client()
    rows = "".join(
        f"OBX|{n}|NM|{code}^x^LN||{value}|{unit}|||||F|||2026{month:02d}01\r"
        for month in (1, 2, 3)
        for n, (code, value, unit) in enumerate(
            (("8480-6", 162, "mm[Hg]"), ("13457-7", 180, "mg/dL")), month * 10
        )
    )
    body = (MESSAGE % b"9").decode().replace("20260301", "20260302") + rows
    assert client.post("/hl7v2", data=body, content_type="text/plain").status_code == 200
    worker = open_feed_worker(settings, store)
    while worker.step():
        continue
    [person] = client.get("/api/patients").get_json()["patients"]
    found = client.get(f"/fhir/CarePlan?patient={person}").get_json()
    assert found["total"] == 1
    assert found["entry"][0]["resource"]["subject"]["reference"] == f"Patient/{person}"
    twin = client.get(f"/fhir/Patient/{person}/$twin?biomarker=sbp").get_json()
    parts = next(p for p in twin["parameter"] if p["name"] == "biomarker")["part"]
    assert next(p for p in parts if p["name"] == "observations")["valueInteger"] == 3
    store.close()

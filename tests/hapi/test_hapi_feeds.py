"""On a real HAPI server: the self-test, and an HL7 v2 result that becomes part of the plan (E1 to E13, H4)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from v2_messages import message

from fhir_twin.intake.reception import Letter, Reception
from fhir_twin.intake.site import Site
from fhir_twin.knowledge import load_knowledge
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.selftest import Ask, check_server
from fhir_twin.transport.selftest_features import features
from fhir_twin.wiring import open_server, open_service
from fhir_twin.wiring_feeds import with_feeds
from fhir_twin.wiring_work import open_worker

pytestmark = pytest.mark.hapi
HOSPITAL = "https://fhir-twin.org/fhir/authority/HOSP"


def test_the_self_test_on_hapi(hapi: str) -> None:
    with HttpClient(hapi) as client:
        found = list(check_server(FhirServer(client), Ask(smart=True, bulk=True, write=True)))
    assert [(c.name, c.seen) for c in found if c.state == "fail"] == []
    states = {c.name: c.state for c in found}
    tried = (
        "create CarePlan",
        "lost updates",
        "conditional create",
        "transaction",
        "links inside a transaction",
        "delete",
    )
    assert {states[n] for n in tried} == {"pass"}
    assert states["clean-up"] == "pass"
    verdicts = {f.name: f.works for f in features(found)}
    assert verdicts["Write plans back (run)"] in ("yes", "partly")
    assert verdicts["Read records, twin and plan (run --dry-run)"] in ("yes", "partly")


def test_a_v2_result_becomes_part_of_the_plan(hapi: str, tmp_path: Path) -> None:
    """The patient lives on HAPI; the result comes by HL7 v2 only; the draft on HAPI knows it."""
    number = uuid.uuid4().hex[:12]
    settings = load_settings({"server": hapi, "store": str(tmp_path / "store.db")}, {})
    server = open_server(settings)
    person: dict[str, Any] = {"resourceType": "Patient", "gender": "female", "birthDate": "1956-03-02"}
    made = server.create(
        {**person, "identifier": [{"system": HOSPITAL, "value": number}], "name": [{"family": "Feed"}]}
    )
    store = open_store(str(tmp_path / "store.db"))
    service = with_feeds(open_service(settings, load_knowledge()), store)

    def keep(letter: Letter) -> bool:
        return store.jobs.accept(NewWork(letter.kind, letter.lane, letter.body, letter.key)).duplicate

    door = Reception(keep, Site(), lambda: datetime.now(UTC))
    rows = [
        f"PID|1||{number}^^^HOSP^MR||FEED^ANNA||19560302|F",
        "OBR|1||F1|24323-8^CMP^LN|||20260201080000|||||||||||||||||CH|F",
        *(
            f"OBX|{n}|NM|{code}^x^LN||{value}|{unit}|||||F|||202602{n:02d}0800"
            for n, (code, value, unit) in enumerate(
                (
                    ("8480-6", 158, "mm[Hg]"),
                    ("8462-4", 94, "mm[Hg]"),
                    ("13457-7", 171, "mg/dL"),
                    ("2160-0", 0.9, "mg/dL"),
                ),
                1,
            )
        ),
    ]
    assert b"MSA|AA|" in door.hl7v2(message(*rows, number=number)).replies[0]
    worker = open_worker(settings, service, store)
    worker.run_until_idle(60)
    assert Desk(store.jobs).counts().states.get("dead", 0) == 0
    plans = server.search_page("CarePlan", {"patient": made["id"]}, no_cache=True).get("entry") or []
    assert len(plans) == 1
    assert "13457-7" in str(service.source.fetch(made["id"]).bundle)
    assert server.search_page("Observation", {"patient": made["id"]}, no_cache=True).get("entry") in (
        None,
        [],
    )
    store.close()

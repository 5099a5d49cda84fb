"""Audit (BALP AU-1 to AU-5), erasure, retention."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fhir_twin.actor import Actor, acting
from fhir_twin.cli import main
from fhir_twin.errors import Busy, StoreError
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.fhir.write_audit import audit_event
from fhir_twin.model.audit import AuditNote
from fhir_twin.storage.audit import AuditTrail
from fhir_twin.storage.database import Database
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import open_store
from fhir_twin.storage.twins import KeptTwin
from fhir_twin.worker.auditor import Auditor, AuditSender
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.refresh import refresh_work

WHEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
PERSON = Actor("Dr. Ada", "Practitioner/7", request="r1", token="urn:ietf:params:oauth:jti:abc")
DESTINATION, SOURCE = "110152", "110153"


def agents(event: dict[str, Any]) -> dict[str, str]:
    return {a["who"].get("display", "?"): a["type"]["coding"][0]["code"] for a in event["agent"][:2]}


@pytest.mark.parametrize("what", ["read", "search", "create", "update", "delete", "operation", "consent", "disclose",
                                  "export", "erase"])  # fmt: skip
def test_every_event_is_valid_and_has_one_requestor(what: Any) -> None:
    note = AuditNote(
        what, "p1", entities=("CarePlan/3/_history/1", "not a reference"), query="Patient?x=1", detail="run"
    )
    event = audit_event(note, PERSON, "https://fhir.example.org/r4", WHEN)
    assert [i for i in validate_resource(event) if i.severity in ("error", "fatal")] == []
    assert sum(a["requestor"] for a in event["agent"]) == 1
    requestor = event["agent"][2]
    assert requestor["who"]["reference"] == "Practitioner/7"
    assert requestor["purposeOfUse"][0]["coding"][0]["code"] == "TREAT"
    assert event["entity"][0]["what"]["reference"] == "Patient/p1"
    assert [e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})] == [
        "Patient/p1", "CarePlan/3/_history/1"
    ]  # fmt: skip


def test_the_roles_turn_with_the_direction_of_the_data() -> None:
    """AU-2."""
    read = agents(audit_event(AuditNote("read", "p1"), PERSON, "https://x/", WHEN))
    assert read == {"fhir-twin": DESTINATION, "FHIR server": SOURCE}
    for what in ("search", "create", "update"):
        sent = agents(audit_event(AuditNote(what, "p1"), PERSON, "https://x/", WHEN))  # type: ignore[arg-type]
        assert sent == {"fhir-twin": SOURCE, "FHIR server": DESTINATION}


def test_the_table_takes_no_change_and_the_chain_shows_one(opened: Callable[..., Database]) -> None:
    """AU-5, on both databases."""
    database = opened()
    trail = AuditTrail(database, "main")
    for i in range(5):
        trail.add(json.dumps({"n": i}), patient=f"p{i % 2}", what="read", outcome="0", who="x")
    assert trail.broken() is None
    assert [json.loads(r.body)["n"] for r in trail.rows(patient="p1")] == [1, 3]
    for statement in ("UPDATE audit SET who = 'y'", "DELETE FROM audit"):
        with pytest.raises(StoreError), database.write() as tx:
            tx.execute(sa.text(statement))
    assert len(list(trail.rows())) == 5
    if database.is_sqlite:
        with sqlite3.connect(str(database.path)) as raw:  # an administrator who takes the triggers away
            raw.execute("DROP TRIGGER audit_no_update")
            raw.execute("UPDATE audit SET body = '{}' WHERE id = 3")
        assert trail.broken() == 3


def test_an_event_is_written_and_sent_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "s.db"))
    sent: list[dict[str, Any]] = []

    class Server:
        def capability(self) -> Any:
            class Yes:
                def supports(self, *_: str) -> bool:
                    return True

            return Yes()

        def update(self, resource: dict[str, Any]) -> dict[str, Any]:
            sent.append(resource)
            return resource

    with acting(PERSON):
        Auditor(store, "https://fhir.example.org/r4", send=True)(AuditNote("read", "p1"))
    worker = Worker([Bench(store.outbox, {"audit": AuditSender(Server())})])  # type: ignore[arg-type]
    while worker.step():
        pass
    row = next(iter(store.audit.rows()))
    assert (row.patient, row.what, row.who) == ("p1", "read", "Dr. Ada")
    assert json.loads(row.body) == {k: v for k, v in sent[0].items() if k != "id"}
    assert sent[0]["id"].startswith("ft-")
    store.close()


def test_erasing_leaves_nothing_but_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.db"
    store = open_store(str(path))
    marker = "Zebedee"
    for patient in ("p1", "p2"):
        with store.database.write() as tx:
            kept = KeptTwin(
                patient, f"{marker}-{patient}".encode(), b"{}", WHEN, WHEN, {"Observation/1": "1"}
            )
            store.twins.keep(kept, tx, anew=True)
        store.jobs.accept(refresh_work(patient, "test", (), key=f"k-{patient}"))
    store.close()
    arguments = ["erase", "--store", str(path), "--patient", "p1"]
    assert main(arguments) == 2
    assert "needs a reason" in capsys.readouterr().err
    assert main([*arguments, "--reason", "asked to", "--dry-run"]) == 0
    assert main([*arguments, "--reason", "asked to", "--by", "Ada"]) == 0
    store = open_store(str(path))
    assert store.twins.patients() == ["p2"]
    assert store.twins.version("p1", "Observation/1") is None
    assert [r.lane for r in Desk(store.jobs).rows()] == ["Patient/p2"]
    assert [(r.what, r.patient, r.who) for r in store.audit.rows()] == [("erase", "p1", "Ada")]
    store.close()
    capsys.readouterr()
    assert main(["audit", "verify", "--store", str(path)]) == 0
    assert main(["audit", "list", "--store", str(path), "--patient", "p1"]) == 0
    assert "erase" in capsys.readouterr().out


def test_retention_erases_who_was_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    old = open_store(str(path), clock=lambda: 1_000_000.0)
    with old.database.write() as tx:
        old.twins.keep(KeptTwin("old", b"x", b"{}", WHEN, WHEN), tx, anew=True)
    old.close()
    store = open_store(str(path))
    with store.database.write() as tx:
        store.twins.keep(KeptTwin("new", b"x", b"{}", WHEN, WHEN), tx, anew=True)
    store.close()
    assert main(["erase", "--store", str(path), "--idle-days", "365"]) == 0
    store = open_store(str(path))
    assert store.twins.patients() == ["new"]
    store.close()


def test_a_store_that_takes_no_audit_stops_the_access(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "s.db"))
    auditor = Auditor(store, "https://fhir.example.org/r4")
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("ALTER TABLE audit RENAME TO away")
    with pytest.raises((StoreError, Busy)):
        auditor(AuditNote("read", "p1"))
    store.close()

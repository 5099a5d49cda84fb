"""`fhir-twin watch --once` and `worker` as a user calls them, on the sandbox; and no planted word in any log."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fhir_twin import log
from fhir_twin.cli import main
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork
from fhir_twin.wiring import open_server

CANARY = "Quetzalcanary"


def watch(base: str, folder: Path, *more: str) -> int:
    return main(["watch", "--server", base, "--store", str(folder / "s.db"), "--once", *more])


@pytest.fixture
def patient(stocked_sandbox: str) -> str:
    server = open_server(load_settings({"server": stocked_sandbox}, {}))
    name = [{"family": CANARY, "given": [CANARY]}]
    made = server.create(
        {"resourceType": "Patient", "birthDate": "1961-04-01", "gender": "male", "name": name}
    )
    return str(made["id"])


def observe(base: str, patient: str, value: float) -> dict[str, Any]:
    server = open_server(load_settings({"server": base}, {}))
    return server.create(
        {
            "resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient/{patient}"},
            "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}], "text": CANARY},
            "effectiveDateTime": "2026-11-01T08:00:00Z", "note": [{"text": CANARY}],
            "valueQuantity": {"value": value, "unit": "mmol/L", "code": "mmol/L", "system": "http://unitsofmeasure.org"},
        }
    )  # fmt: skip


def test_polling_finds_what_is_new_and_plans_once(
    stocked_sandbox: str, tmp_path: Path, patient: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """F6; and the canary: logs, terminal, lists, metrics names and dead letters' reasons hold nothing of the record."""
    stream = io.StringIO()
    only = ["--patient", patient, "--log-level", "DEBUG"]
    assert watch(stocked_sandbox, tmp_path, *only) == 0  # sets its mark at the server's now
    logging.getLogger("fhir_twin").handlers[:] = [logging.StreamHandler(stream)]
    observe(stocked_sandbox, patient, 6.3)
    assert watch(stocked_sandbox, tmp_path, *only) == 0
    store = open_store(str(tmp_path / "s.db"))
    refreshed = Desk(store.jobs).rows(("done",), kind="refresh")
    assert [r.lane for r in refreshed] == [f"Patient/{patient}"] * len(refreshed)
    assert len(refreshed) in (1, 2)  # the Patient itself may fall within the overlap
    assert store.twins.patients() == [patient]
    assert Desk(store.outbox).counts().states == {"done": len(Desk(store.outbox).rows())}
    written = len(Desk(store.outbox).rows())
    assert watch(stocked_sandbox, tmp_path, *only) == 0
    assert len(Desk(store.outbox).rows()) == written  # the overlap brings nothing twice
    # A dead letter whose body is full of the record: the list names none of it.
    store.jobs.accept(NewWork("refresh", f"Patient/{patient}", CANARY.encode(), "odd", blocks=False))
    assert watch(stocked_sandbox, tmp_path, *only) == 0
    assert Desk(store.jobs).counts().states["dead"] == 1
    assert main(["queue", "list", "--store", str(tmp_path / "s.db"), "--state", "all"]) == 0
    assert main(["queue", "list", "--store", str(tmp_path / "s.db"), "--json"]) == 0
    assert main(["audit", "list", "--store", str(tmp_path / "s.db")]) == 0
    assert main(["store", "check", "--store", str(tmp_path / "s.db")]) == 0
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err + stream.getvalue()
    dead = Desk(store.jobs).rows(("dead",))[0]
    assert CANARY not in dead.reason
    assert main(["queue", "show", str(dead.id), "--store", str(tmp_path / "s.db")]) == 0
    assert CANARY in capsys.readouterr().out  # who asks for the body sees it
    log.set_up("WARNING")
    store.close()


def test_worker_once_ends_with_1_when_dead_letters_wait(
    stocked_sandbox: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "s.db")
    store = open_store(path)
    store.jobs.accept(NewWork("refresh", "Patient/x", b"no json", "odd", blocks=False))
    assert main(["worker", "--server", stocked_sandbox, "--store", path, "--once"]) == 1
    assert "1 dead letters wait" in capsys.readouterr().err
    assert main(["queue", "skip", "1", "--store", path, "--reason", "a test", "--by", "Ada"]) == 0
    assert main(["worker", "--server", stocked_sandbox, "--store", path, "--once"]) == 0
    row = json.loads(json.dumps(Desk(store.jobs).row(1).signed))
    assert row.startswith("skipped by Ada")
    store.close()

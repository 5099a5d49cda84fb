"""No PHI leaks: a patient full of planted words goes through every face and every error; no log line, issue,
exception text or OperationOutcome may hold one of them (security.md 65)."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_twin import log
from fhir_twin.cli import main
from fhir_twin.errors import TwinError
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.pipeline import run

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = "Zyxquin"  # in every planted word; no rule, drug or library says it
NUMBER = "777123"  # in every planted number


def canary_bundle() -> dict[str, Any]:
    """A record with the planted words in every place that can hold text, and in every way a resource can be bad."""
    me = {"reference": f"Patient/{CANARY}-1"}
    final = {
        "resourceType": "Observation",
        "status": "final",
        "subject": me,
        "effectiveDateTime": "2025-05-01",
    }
    sbp = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}], "text": f"{CANARY} SBP"}
    resources: list[Any] = [
        {
            "resourceType": "Patient",
            "id": f"{CANARY}-1",
            "identifier": [{"system": "urn:mrn", "value": f"{CANARY}-{NUMBER}"}],
            "name": [{"family": CANARY, "given": [CANARY]}],
            "birthDate": "1960-02-03",
            "gender": "male",
            "address": [{"line": [f"{NUMBER} {CANARY} street"]}],
            "telecom": [{"value": NUMBER}],
        },
        {**final, "id": "o1", "code": sbp, "valueQuantity": {"value": 151, "unit": "mmHg"}},
        {**final, "id": "o2", "code": sbp, "valueQuantity": {"value": int(NUMBER), "unit": CANARY}},
        {**final, "id": "o3", "code": {"text": CANARY}, "valueString": f"{CANARY} {NUMBER}"},
        {
            **final,
            "id": "o4",
            "code": sbp,
            "effectiveDateTime": f"{CANARY}",
            "valueQuantity": {"value": CANARY},
        },
        {**final, "id": CANARY + "!", "code": sbp, "status": CANARY, "valueQuantity": {"value": 1}},
        {**final, "id": "o5", "code": sbp, "subject": {"reference": f"Patient/{CANARY}-2"}},
        {
            "resourceType": "Condition",
            "id": "c1",
            "subject": me,
            "code": {"text": f"{CANARY} disease {NUMBER}"},
        },
        {"resourceType": "Condition", "id": "c2", "subject": me, "code": {"text": f"HTN, {CANARY}"}},
        {"resourceType": "Condition", "id": "c3", "subject": me, "onsetDateTime": CANARY, "code": CANARY},
        {
            "resourceType": "MedicationRequest",
            "id": "m1",
            "status": "active",
            "intent": "order",
            "subject": me,
            "medicationCodeableConcept": {"text": f"{CANARY} {NUMBER} mg"},
            "dosageInstruction": [{"text": f"take {CANARY}", "doseAndRate": CANARY}],
        },
        {"resourceType": "AllergyIntolerance", "id": "a1", "patient": me, "code": {"text": f"{CANARY} dust"}},
        {
            "resourceType": "FamilyMemberHistory",
            "id": "f1",
            "patient": me,
            "status": CANARY,
            "relationship": CANARY,
        },
        {
            "resourceType": "Goal",
            "id": "g1",
            "subject": me,
            "description": {"text": CANARY},
            "target": CANARY,
        },
        {
            "resourceType": "Consent",
            "id": "k1",
            "status": "draft",
            "patient": me,
            "category": [{"text": CANARY}],
        },
        {"resourceType": CANARY, "id": "x1"},
        {"resourceType": [CANARY]},
        CANARY,
        None,
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG, besides our own stream."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.DEBUG)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    log.set_up("DEBUG", stream)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def clean(text: str) -> bool:
    return CANARY.lower() not in text.lower() and NUMBER not in text


def test_the_log_lets_no_word_through(heard: io.StringIO) -> None:
    log.event("x", patient=f"{CANARY} {NUMBER}", free=CANARY, seconds=0.5, run="abc")
    log.failure("y", ValueError(CANARY), note=CANARY)
    said = heard.getvalue()
    assert '"seconds": 0.5' in said
    assert '"error": "ValueError"' in said
    assert clean(said)


def test_issues_of_a_bad_record_quote_nothing(knowledge: Knowledge, heard: io.StringIO) -> None:
    done = run(canary_bundle(), knowledge, AS_OF)
    assert done.issues, "a record this bad must give issues"
    for issue in done.issues:
        assert clean(issue.diagnostics), issue.code
        assert NUMBER not in issue.expression
    assert done.twin.used("sbp"), "the one good value is still used"
    assert clean(heard.getvalue())


def test_repr_of_what_holds_phi_is_silent(knowledge: Knowledge) -> None:
    done = run(canary_bundle(), knowledge, AS_OF)
    for value in (
        done,
        done.chart,
        done.coded,
        done.twin,
        done.plan,
        *done.chart.problems,
        *done.chart.measurements,
    ):
        assert clean(repr(value)), type(value).__name__
    for decision in done.coded.decisions:
        assert clean(repr(decision).replace(decision.source, ""))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b["entry"].pop(0),
        lambda b: b["entry"].append({"resource": {"resourceType": "Patient", "id": CANARY + "-9"}}),
        lambda b: b.update(type=CANARY),
        lambda b: b.update(entry=CANARY),
        lambda b: b["entry"][0]["resource"].update(birthDate=CANARY),
        lambda b: b["entry"][0]["resource"].update(id=5),
        lambda b: b["entry"][0]["resource"].update(deceasedBoolean=CANARY),
        lambda b: b["entry"][14]["resource"].update(status="active", scope=CANARY),
    ],
)
def test_errors_of_a_bad_bundle_quote_nothing(spoil: Any, knowledge: Knowledge, heard: io.StringIO) -> None:
    bundle = canary_bundle()
    spoil(bundle)
    try:
        done = run(bundle, knowledge, AS_OF, patient="")
    except TwinError as error:
        assert clean(str(error))
        assert all(clean(i.diagnostics) for i in error.issues)
    else:
        assert all(clean(i.diagnostics) for i in done.issues)
    assert clean(heard.getvalue())


def test_the_command_line_logs_nothing(tmp_path: Path, heard: io.StringIO) -> None:
    good, cut = tmp_path / "good.json", tmp_path / "cut.json"
    good.write_text(json.dumps(canary_bundle()), "utf-8")
    cut.write_text(json.dumps(canary_bundle())[:900], "utf-8")
    for path in (good, cut):
        errors = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            main(["run", "--bundle", str(path), "--as-of", "2026-01-01", "--brief", "--log-level", "DEBUG"])
        told = errors.getvalue().replace(
            f"{CANARY}-1", ""
        )  # progress names the patient's id to the person at the screen
        assert clean(told)
        assert "Traceback" not in errors.getvalue()
    assert clean(heard.getvalue())


def test_the_api_answers_without_quoting(knowledge: Knowledge, heard: io.StringIO) -> None:
    from fhir_twin.service import TwinService
    from fhir_twin.settings import load_settings
    from fhir_twin.web import create_app

    class Broken:
        base = "http://127.0.0.1:1/fhir"

        def patients(self) -> Iterator[str]:
            return iter(())

        def find(self, system: str, value: str) -> str:
            raise AssertionError

        def fetch(self, patient: str) -> Any:
            raise ValueError(f"{patient} {CANARY} {NUMBER}")

    client = create_app(TwinService(Broken(), None, knowledge), load_settings({}, {})).test_client()
    answers = [
        client.post(f"/api/patients/{CANARY}/run", base_url="http://127.0.0.1"),
        client.get(f"/{CANARY}/{NUMBER}", base_url="http://127.0.0.1"),
        client.delete(f"/api/patients/{CANARY}/run", base_url="http://127.0.0.1"),
        client.post("/api/run", data=f"{{{CANARY}", base_url="http://127.0.0.1"),
        client.post(
            "/api/run", json={"resourceType": "Bundle", "entry": CANARY}, base_url="http://127.0.0.1"
        ),
    ]
    for answer in answers:
        body = answer.get_json(force=True)
        assert body["resourceType"] == "OperationOutcome"
        assert answer.status_code in (400, 404, 405, 422, 500)
        assert clean(answer.get_data(as_text=True))
    assert clean(heard.getvalue())
    assert "Traceback" not in heard.getvalue()
    assert sys.exc_info() == (None, None, None)

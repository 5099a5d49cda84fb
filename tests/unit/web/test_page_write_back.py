"""What a decision is written on: the draft as it was just brought up to date, never an older one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhir_twin.fhir.identity import item_of
from fhir_twin.fhir.withdraw import withdrawn
from fhir_twin.fhir.write import write_plan
from fhir_twin.model.codes import RXNORM, Coding, Concept
from fhir_twin.model.decision import Decision
from fhir_twin.model.plan import Plan, Reason, Recommendation
from fhir_twin.web.write_back import _change

WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def draft(dose: str) -> dict[str, Any]:
    code = Concept((Coding(RXNORM, "83367", "atorvastatin"),), "statin")
    rec = Recommendation("statin", "medication", "statin", code, 1, (Reason("because"),), dose_text=dose)
    bundle = write_plan(
        Plan("Patient/p1", WHEN, "A B", (rec,), model_version="m"), base="https://ehr.example/fhir"
    )
    found = next(e["resource"] for e in bundle["entry"] if item_of(e["resource"]) == "statin")
    return {**found, "id": "r1", "meta": {**found["meta"], "versionId": "2"}}


def test_what_was_just_brought_up_to_date_is_accepted() -> None:
    old, now = draft("20 mg"), draft("40 mg")
    change = _change(Decision("statin", "accept"), [old], [now], None, "Practitioner/1")  # type: ignore[arg-type]
    assert change.after is not None
    assert change.after["dosageInstruction"][0]["text"] == "40 mg"
    assert change.before is now


def test_what_we_withdrew_because_it_was_declined_is_the_clinicians_answer() -> None:
    old = draft("20 mg")
    now = withdrawn(old)
    change = _change(Decision("statin", "reject", "Patient declines"), [old], [now], None, "")  # type: ignore[arg-type]
    assert change.after is not None
    assert change.after["statusReason"] == {"text": "Patient declines"}
    assert "WITHDRAWN" not in change.after["text"]["div"]


def test_the_newest_generation_is_decided_on() -> None:
    first, second = draft("20 mg"), draft("40 mg")
    own = {**second["identifier"][0], "value": second["identifier"][0]["value"] + "-g2"}
    second = {**second, "id": "r2", "identifier": [own, *second["identifier"][1:]]}
    for held in ([first, second], [second, first]):
        change = _change(Decision("statin", "accept"), [], held, None, "")  # type: ignore[arg-type]
        assert change.before is second

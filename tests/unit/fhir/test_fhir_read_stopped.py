"""Orders whose words say that they are stopped; Observations inside a report."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_read_records import about_patient, chart, coded, observation, quantity, resource

from fhir_twin.fhir.read_stopped import FLAG, says_stopped


@pytest.mark.parametrize(
    "text",
    [
        "DISCONTINUED",
        "Discontinued 2024-05-01",
        "Take 1 tablet daily - DISCONTINUED",
        "Patient no longer taking.",
        "Stopped by cardiology because of cough",
        "Pt is not taking",
        "Note: d/c'd at last visit",
        "Lisinopril 10 mg (discontinued)",
        "lisinopril was stopped in March",
        "Patient self-discontinued",
        "Medication has been discontinued.",
        "never started",
    ],
)
def test_words_that_end_an_order(text: str) -> None:
    assert says_stopped([text], "lisinopril 10 mg tablet")


@pytest.mark.parametrize(
    "text",
    [
        "Take 1 tablet daily",
        "Do not stop abruptly",
        "Metoprolol was stopped, lisinopril started",
        "Stop if you get a cough",
        "not taking as prescribed",
        "To be discontinued when potassium rises",
        "continue until discontinued by surgeon",
        "not taking with food",
        "Should not be stopped without asking",
        "",
    ],
)
def test_words_that_do_not(text: str) -> None:
    assert not says_stopped([text], "lisinopril 10 mg tablet")


@pytest.mark.parametrize(
    "more",
    [
        {"note": [{"text": "Discontinued by GP"}]},
        {"statusReason": {"text": "Patient stopped"}},
        {"dosageInstruction": [{"text": "1 tablet daily (DISCONTINUED)"}]},
        {"medicationCodeableConcept": {"text": "lisinopril 10 mg tablet - discontinued"}},
    ],
)
def test_active_order_that_says_discontinued_is_not_taken(more: dict[str, Any]) -> None:
    order = {"status": "active", "intent": "order", "medicationCodeableConcept": {"text": "lisinopril 10 mg"}}
    (found,) = chart(resource("MedicationRequest", **{**order, **more})).medications
    assert not found.current
    assert FLAG in found.flags


def _report(*inner: dict[str, Any], **more: Any) -> dict[str, Any]:
    refs = [{"reference": f"#{each['id']}"} for each in inner if "id" in each]
    base = {"status": "final", "code": coded("24323-8"), "effectiveDateTime": "2026-01-05T08:00:00Z"}
    return about_patient("DiagnosticReport", **{**base, "contained": list(inner), "result": refs, **more})


def _inner(ident: str, value: float, **more: Any) -> dict[str, Any]:
    plain = {
        k: v for k, v in observation(valueQuantity=quantity(value)).items() if k not in ("subject", "id")
    }
    timeless = {k: v for k, v in plain.items() if not k.startswith("effective")}
    return {**timeless, "id": ident, **more}


def test_contained_observations_are_read_with_the_reports_time_and_source() -> None:
    found = chart(
        _report(_inner("a", 1.2), _inner("b", 1.4)),
    )
    assert [float(m.value or 0) for m in found.measurements] == [1.2, 1.4]
    assert {m.source.split("/")[0] for m in found.measurements} == {"DiagnosticReport"}
    assert all(m.time is not None and m.time.isoformat().startswith("2026-01-05") for m in found.measurements)


def test_one_bad_contained_observation_costs_only_itself() -> None:
    found = chart(
        _report(
            _inner("a", 1.2), _inner("b", 1.4, status="entered-in-error"), _inner("c", 9, valueQuantity="?")
        )
    )
    assert [float(m.value or 0) for m in found.measurements if m.value is not None] == [1.2]


def test_contained_observation_about_somebody_else_is_said_and_not_used() -> None:
    found = chart(_report(_inner("a", 1.2, subject={"reference": "Patient/donor"})))
    assert found.measurements == ()
    assert any("somebody else" in i.diagnostics for i in found.issues)


def test_report_in_error_gives_nothing() -> None:
    assert chart(_report(_inner("a", 1.2), status="entered-in-error")).measurements == ()

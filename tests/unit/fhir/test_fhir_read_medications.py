"""MR-1: what is a current drug; dosage; support from dispenses and administrations."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fhir_read_records import chart, quantity, resource, words

from fhir_twin.fhir import structs as s
from fhir_twin.fhir.read_dosage import dosages_or_name, per_day_in_text, read_dosages
from fhir_twin.model.chart import Dosage, Medication

DRUG = {"medicationCodeableConcept": {"text": "lisinopril 10 mg tablet"}}


def order(**more: Any) -> Medication:
    (found,) = chart(
        resource("MedicationRequest", **{"status": "active", "intent": "order", **DRUG, **more})
    ).medications
    return found


@pytest.mark.parametrize(
    ("status", "current", "flag"),
    [("active", True, None), ("on-hold", True, "on-hold"), ("unknown", True, "status-unknown"), ("completed", False, None),
     ("stopped", False, None), ("cancelled", False, None), ("draft", False, None), ("active ", True, None)],
)  # fmt: skip
def test_status(status: str, current: bool, flag: str | None) -> None:
    found = order(status=status)
    assert found.current is current
    assert flag is None or flag in found.flags


@pytest.mark.parametrize(
    ("intent", "current"),
    [
        ("order", True),
        ("plan", True),
        ("instance-order", True),
        ("proposal", False),
        ("option", False),
        ("directive", False),
    ],
)
def test_intent(intent: str, current: bool) -> None:
    found = order(intent=intent)
    assert (found.current, found.intent) == (current, intent)
    assert ("not-an-order" in found.flags) is not current


def test_do_not_perform_is_not_a_drug_taken() -> None:
    """PR-1: a modifier element."""
    found = order(doNotPerform=True)
    assert not found.current
    assert "do-not-perform" in found.flags


@pytest.mark.parametrize(
    ("more", "current"),
    [
        ({"dispenseRequest": {"validityPeriod": {"end": "2026-05-31"}}}, False),
        ({"dispenseRequest": {"validityPeriod": {"end": "2026-06"}}}, True),
        ({"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"end": "2026-05-01"}}}}]}, False),
        (
            {
                "dosageInstruction": [
                    {"timing": {"repeat": {"boundsPeriod": {"end": "2026-05-01"}}}},
                    {"text": "then daily"},
                ]
            },
            True,
        ),
        ({"dispenseRequest": {"validityPeriod": {"start": "2020-01-01"}}}, True),
    ],
)
def test_validity(more: dict[str, Any], current: bool) -> None:
    found = order(**more)
    assert found.current is current
    assert ("past-validity" in found.flags) is not current


def test_reported_reasons_and_start() -> None:
    cause = resource("Condition", code={"text": "HTN"})
    given = resource(
        "MedicationRequest", status="active", intent="plan", reportedBoolean=True, authoredOn="2024-05-01", **DRUG,
        reasonCode=[{"text": "high BP"}], reasonReference=[{"reference": "Condition/condition-1"}],
    )  # fmt: skip
    (found,) = chart(cause, given).medications
    assert found.reported
    assert [r.text for r in found.reasons] == ["high BP", "HTN"]
    assert found.start == datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "period", "current"),
    [
        ("active", {}, True),
        ("active", {"effectivePeriod": {"start": "2020", "end": "2025-01-01"}}, False),
        ("completed", {}, False),
        ("stopped", {"effectivePeriod": {"start": "2020", "end": "2026-12-01"}}, True),
        ("not-taken", {}, False),
        ("intended", {}, False),
        ("on-hold", {}, True),
        ("active", {"effectiveDateTime": "2025-01-01"}, True),
    ],
)
def test_statements(status: str, period: dict[str, Any], current: bool) -> None:
    (found,) = chart(resource("MedicationStatement", status=status, **DRUG, **period)).medications
    assert found.current is current
    assert found.reported
    assert ("not-taken" in found.flags) is (status == "not-taken")


def test_a_statement_made_from_an_order_says_so() -> None:
    prescribed = resource("MedicationRequest", status="active", intent="order", **DRUG)
    stated = resource(
        "MedicationStatement",
        status="active",
        derivedFrom=[{"reference": "MedicationRequest/medicationrequest-1"}],
        **DRUG,
    )
    assert chart(prescribed, stated).medications[1].flags == ("derived",)


def test_a_dispense_alone_is_current_while_it_lasts() -> None:
    supply = {"status": "completed", "whenHandedOver": "2026-05-15", "daysSupply": quantity(30, "d"), **DRUG}
    (found,) = chart(resource("MedicationDispense", **supply)).medications
    assert found.current
    assert found.end == datetime(2026, 6, 14, tzinfo=UTC)
    (old,) = chart(resource("MedicationDispense", **{**supply, "whenHandedOver": "2026-04-15"})).medications
    assert not old.current


def test_a_dispense_of_a_known_order_supports_it_only() -> None:
    prescribed = resource("MedicationRequest", status="stopped", intent="order", **DRUG)
    supply = resource(
        "MedicationDispense", status="completed", whenHandedOver="2026-05-15", daysSupply=quantity(90, "d"),
        authorizingPrescription=[{"reference": "MedicationRequest/medicationrequest-1"}], **DRUG,
    )  # fmt: skip
    found = chart(prescribed, supply).medications[1]
    assert not found.current
    assert found.flags == ("dispensed", "derived")


def test_an_administration_is_dated_and_not_current() -> None:
    given = resource(
        "MedicationAdministration",
        status="completed",
        effectiveDateTime="2026-05-31",
        dosage={"dose": quantity(5, "mg")},
        **DRUG,
    )
    (found,) = chart(given).medications
    assert (found.current, found.flags) == (False, ("administered",))
    assert found.dosages == (Dosage("", Decimal(5), "mg", None, None),)


def test_no_drug_at_all() -> None:
    read = chart(
        resource(
            "MedicationRequest",
            status="active",
            intent="order",
            medicationReference={"reference": "Medication/x"},
        )
    )
    assert read.medications == ()
    assert "names no medication" in words(read)


def test_a_compound_with_one_ingredient() -> None:
    held = {
        "resourceType": "Medication",
        "id": "m",
        "ingredient": [{"itemCodeableConcept": {"text": "warfarin"}}],
    }
    drug = {"medicationReference": {"reference": "#m"}, "contained": [held]}
    (found,) = chart(resource("MedicationRequest", status="active", intent="order", **drug)).medications
    assert found.concept.text == "warfarin"


def dosage(**more: Any) -> Dosage:
    found = order(dosageInstruction=[more])
    return found.dosages[0]


@pytest.mark.parametrize(
    ("timing", "per_day"),
    [
        ({"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}, 1),
        ({"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}, 2),
        ({"repeat": {"frequency": 1, "period": 8, "periodUnit": "h"}}, 3),
        ({"repeat": {"frequency": 1, "period": 1, "periodUnit": "wk"}}, 1 / 7),
        ({"repeat": {"frequency": 1, "frequencyMax": 3, "period": 1, "periodUnit": "d"}}, 3),
        ({"repeat": {"period": 1, "periodUnit": "d", "when": ["MORN", "EVE"]}}, 2),
        ({"repeat": {"timeOfDay": ["08:00:00", "20:00:00"]}}, 2),
        (
            {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "dayOfWeek": ["mon", "wed", "fri"]}},
            3 / 7,
        ),
        ({"code": {"coding": [{"code": "BID"}]}}, 2),
        ({"repeat": {"frequency": 1, "period": 0, "periodUnit": "d"}}, None),
        ({"repeat": {"frequency": 1, "period": 1, "periodUnit": "fortnight"}}, None),
        ({"event": ["2026-01-01"]}, None),
    ],
)
def test_structured_timing(timing: dict[str, Any], per_day: float | None) -> None:
    found = dosage(timing=timing).per_day
    assert found == (pytest.approx(per_day) if per_day is not None else None)


@pytest.mark.parametrize(
    ("text", "per_day"),
    [
        ("Take 1 tablet by mouth twice daily", 2), ("1 tab PO BID", 2), ("one tablet three times a day", 3), ("20 mg nightly", 1),
        ("10 mg daily", 1), ("once a day", 1), ("every 8 hours", 3), ("once weekly", 1 / 7), ("every other day", 0.5), ("qid", 4),
        ("as directed", None), ("", None), ("1 in the morning, twice daily on weekends", None), ("take weekly or daily", None),
    ],
)  # fmt: skip
def test_sig_in_words(text: str, per_day: float | None) -> None:
    assert per_day_in_text(text) == per_day


def test_dose_and_route_and_as_needed() -> None:
    given = dosage(
        text="Take 2 tablets as needed",
        route={"text": "oral"},
        asNeededBoolean=True,
        doseAndRate=[{"doseQuantity": quantity(20, "mg")}],
    )
    assert (given.amount, given.unit, given.as_needed) == (Decimal(20), "mg", True)
    assert given.route is not None and given.route.text == "oral"
    upper = dosage(doseAndRate=[{"doseRange": {"low": quantity(1, "{tbl}"), "high": quantity(2, "{tbl}")}}])
    assert upper.amount == 2
    words_only = dosage(text="take two tablets PRN")
    assert (words_only.amount, words_only.unit, words_only.as_needed) == (Decimal(2), "tablets", True)
    assert dosage(text="take 1 tablet, then 2 tablets").amount is None


def test_an_unknown_modifier_leaves_the_text_only() -> None:
    given = s.DosageInstruction(text="5 mg daily", modifier_extension=(s.Extension(url="https://x/not"),))
    assert read_dosages((given,)) == (Dosage(text="5 mg daily"),)


def test_null_means_not_given() -> None:
    """FHIR JSON has no null; some servers send it all the same."""
    found = order(
        medicationCodeableConcept={"coding": None, "text": "lisinopril"}, reasonCode=[None], note=None
    )
    assert found.concept.text == "lisinopril"


@pytest.mark.parametrize(
    ("name", "amount", "unit", "per_day"),
    [
        ("Metformin 1000 mg BID", "1000", "mg", 2.0),
        ("atorvastatin 40 mg at bedtime", "40", "mg", 1.0),
        ("Levothyroxine 100 mcg daily", "100", "mcg", 1.0),
        ("Methotrexate 15 mg once weekly", "15", "mg", 1 / 7),
        ("Metformin 500 MG Oral Tablet", None, "", None),  # the tablet, not the day
        ("Metformin 500 mg, 2 daily", None, "", None),
        ("Metformin 500 mg, take two twice daily", None, "", None),
        ("Warfarin 5 mg daily except 2.5 mg on Monday", None, "", None),
        ("Amoxicillin 250 mg/5 mL TID", None, "", None),
        ("Lisinopril daily", None, "", None),
        ("Lisinopril 10-20 mg daily", None, "", None),
    ],
)
def test_a_dose_that_stands_in_the_name(
    name: str, amount: str | None, unit: str, per_day: float | None
) -> None:
    found = dosages_or_name((), name)
    if amount is None:
        assert found == ()
    else:
        assert found == (Dosage(text=name, amount=Decimal(amount), unit=unit, per_day=per_day),)


def test_instructions_win_over_the_name() -> None:
    given = s.DosageInstruction(text="as directed")
    assert dosages_or_name((given,), "Metformin 1000 mg BID") == read_dosages((given,))

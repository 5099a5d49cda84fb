"""Observation -> Measurements: OB-1 to OB-12, EN-1, I2, I3."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from fhir_read_records import LOINC, UCUM, about_patient, chart, coded, observation, quantity, resource, words

from fhir_twin.model.chart import Measurement


def one(**more: Any) -> Measurement:
    code = more.pop("of", "2160-0")
    read = chart({**observation(code), **more})
    assert len(read.measurements) == 1
    return read.measurements[0]


@pytest.mark.parametrize(
    ("status", "used"),
    [("final", True), ("amended", True), ("corrected", True), ("preliminary", True), (" final ", True), ("registered", False),
     ("cancelled", False), ("unknown", False), ("entered-in-error", False), ("banana", False), (None, False)],
)  # fmt: skip
def test_status(status: str | None, used: bool) -> None:
    """OB-1."""
    read = chart(observation(status=status, valueInteger=1))
    assert bool(read.measurements) is used
    assert bool(read.issues) is not used
    if used:
        assert ("preliminary" in read.measurements[0].flags) is (status == "preliminary")


def test_quantity_keeps_digits_unit_and_source() -> None:
    found = one(valueQuantity={"value": Decimal("7.10"), "unit": "mg / dL", "system": UCUM, "code": "mg/dL"})
    assert str(found.value) == "7.10"
    assert (found.unit, found.unit_code, found.unit_system) == ("mg / dL", "mg/dL", UCUM)
    assert found.source == "Observation/o1"
    assert found.time == datetime(2025, 3, 4, 8, tzinfo=UTC)
    assert found.flags == ()


@pytest.mark.parametrize("sign", ["<", "<=", ">=", ">"])
def test_comparators_are_bounds(sign: str) -> None:
    """OB-3."""
    found = one(valueQuantity=quantity(90, comparator=sign))
    assert (found.value, found.comparator) == (Decimal(90), sign)


def test_an_unknown_comparator_takes_the_number_away() -> None:
    found = one(valueQuantity=quantity(90, comparator="ad"))
    assert (found.value, found.comparator, found.absent_reason) == (None, None, "unknown")
    assert found.flags == ("unknown-comparator",)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("1e30"), "NaN", "-Infinity", 10**40])
def test_numbers_that_cannot_be_measured(value: Any) -> None:
    """security.md row 35, from a bundle that a lenient parser let through."""
    found = one(valueQuantity=quantity(value))
    assert found.value is None
    assert found.flags == ("number-out-of-range",)


@pytest.mark.parametrize(
    ("text", "value", "comparator", "unit", "flags"),
    [
        ("<5", "5", "<", "", ()),
        (" >90 ", "90", ">", "", ()),
        ("<0.01", "0.01", "<", "", ()),
        (">= 60 mL/min/1.73m2", "60", ">=", "mL/min/1.73m2", ()),
        ("≤ 3", "3", "<=", "", ()),
        ("less than 5", "5", "<", "", ()),
        ("5.4 mmol/L", "5.4", None, "mmol/L", ()),
        ("48 %", "48", None, "%", ()),
        ("12,5", "12.5", None, "", ("decimal-comma",)),
        ("0,85", "0.85", None, "", ("decimal-comma",)),
        ("0,850", "0.850", None, "", ("decimal-comma",)),
        ("1,234", "1234", None, "", ("ambiguous-comma",)),
        ("1,234.5", "1234.5", None, "", ("thousands-comma",)),
        ("1,234,567", "1234567", None, "", ("thousands-comma",)),
        ("-3", "-3", None, "", ()),
        (".5", "0.5", None, "", ()),
        ("7.2 (high)", "7.2", None, "", ()),
        ("7.2 mg/dL (H)", "7.2", None, "mg/dL", ()),
        ("310 *", "310", None, "", ()),
        ("5.1 10*3/uL", "5.1", None, "10*3/uL", ()),
        ("72 /min", "72", None, "/min", ()),
        ("118 mm Hg", "118", None, "mm Hg", ()),
        ("55 mL/min/1.73 m2", "55", None, "mL/min/1.73 m2", ()),
        ("64 beats per minute", "64", None, "beats per minute", ()),
        ("190lb", "190", None, "lb", ()),
    ],
)
def test_numbers_in_text(
    text: str, value: str, comparator: str | None, unit: str, flags: tuple[str, ...]
) -> None:
    found = one(valueString=text)
    assert (found.value, found.comparator, found.unit, found.text) == (Decimal(value), comparator, unit, "")
    assert found.flags == ("parsed-from-text", *flags)


@pytest.mark.parametrize(
    "text",
    ["neg", "1+", "120-130", "5 or 6", "see note", "5 days ago", "3 (of 5)", "6 4", "1.2.3", "5 days ago he fell and broke two bones of his left hand",
     "12/5", "1e5", "٥", "--5", "9" * 90],
)  # fmt: skip
def test_other_text_stays_text(text: str) -> None:
    found = one(valueString=text)
    assert (found.value, found.text) == (None, text)


def test_odd_text_costs_no_time() -> None:
    """No pattern may backtrack its way into minutes (security.md row 60)."""
    start = time.process_time()
    for text in (
        "5 " + "a/" * 38 + "(",
        "5" * 79 + "(",
        "1," * 39 + "x",
        "5 " + "a " * 38 + "(",
        " " * 78 + "5x(",
    ):
        assert one(valueString=text).value is None
    assert time.process_time() - start < 0.5


def test_every_value_type() -> None:
    """OB-2."""
    yes = coded("LA15173-0", text="Pregnant")
    assert one(valueCodeableConcept=yes).coded is not None
    assert one(valueBoolean=False).boolean is False
    assert one(valueInteger=0).value == 0
    assert one(valueTime="08:00:00").text == "08:00:00"
    assert one(valueDateTime="2024-05-01").text == "2024-05-01"
    assert one(valuePeriod={"start": "2024-01", "end": "2024-02"}).text == "2024-01/2024-02"
    sampled = one(valueSampledData={"origin": {"value": 0}, "period": 1, "dimensions": 1, "data": "1 2"})
    assert (sampled.absent_reason, sampled.flags) == ("unsupported", ("sampled-data",))


def test_ranges() -> None:
    both = one(valueRange={"low": quantity(3), "high": quantity(5)})
    assert (both.value, both.text, both.flags) == (None, "3 - 5 mg/dL", ("range",))
    low = one(valueRange={"low": quantity(3)})
    assert (low.value, low.comparator) == (Decimal(3), ">=")


def test_ratios() -> None:
    uacr = one(valueRatio={"numerator": quantity(30, "mg"), "denominator": quantity(2, "g")})
    assert (uacr.value, uacr.unit_code, uacr.unit_system) == (Decimal(15), "mg/g", UCUM)
    titre = one(valueRatio={"numerator": {"value": 1}, "denominator": {"value": 128}})
    assert (titre.value, titre.text) == (None, "1:128")
    assert one(valueRatio={"numerator": quantity(3, "mg"), "denominator": quantity(0, "g")}).value is None


def test_absence_is_kept_with_its_reason() -> None:
    """OB-4, I2."""
    reason = {"coding": [{"code": "not-performed"}]}
    assert one(dataAbsentReason=reason).absent_reason == "not-performed"
    silent = one()
    assert (silent.absent_reason, silent.flags) == ("unknown", ("no-value",))
    extension = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
    assert one(_valueString={"extension": [extension]}).absent_reason == "masked"
    assert one(valueQuantity={"extension": [extension]}).absent_reason == "masked"
    assert one(valueQuantity={"unit": "mg/dL"}).absent_reason == "unknown"


def test_a_grouping_observation_gives_nothing_itself_and_its_members_name_it() -> None:
    """OB-4, OB-10."""
    panel = observation("24331-1", id="panel", hasMember=[{"reference": "Observation/ldl"}])
    read = chart(panel, observation("13457-7", id="ldl", valueQuantity=quantity(100)))
    assert [m.source for m in read.measurements] == ["Observation/ldl"]
    assert read.measurements[0].panel is not None
    assert read.measurements[0].panel.has(LOINC, "24331-1")


def test_blood_pressure_panel() -> None:
    """OB-11: components, and the component-level dataAbsentReason when one is missing."""
    parts = [
        {
            "code": coded("8480-6"),
            "valueQuantity": quantity(142, "mm[Hg]"),
            "interpretation": [coded("H", "")],
        },
        {"code": coded("8462-4"), "dataAbsentReason": {"coding": [{"code": "not-performed"}]}},
    ]
    read = chart(observation("85354-9", component=parts))
    systolic, diastolic = read.measurements
    assert (systolic.value, systolic.interpretation) == (Decimal(142), ("H",))
    assert (diastolic.value, diastolic.absent_reason) == (None, "not-performed")
    assert all(m.panel is not None and m.panel.has(LOINC, "85354-9") for m in read.measurements)
    assert {m.source for m in read.measurements} == {"Observation/o1"}


@pytest.mark.parametrize("text", ["142/88", " 142 / 88 mmHg ", "142/88 mm[Hg]"])
def test_blood_pressure_as_text(text: str) -> None:
    read = chart(observation("85354-9", valueString=text))
    assert [(m.concept.codings[0].code, m.value) for m in read.measurements] == [
        ("8480-6", 142),
        ("8462-4", 88),
    ]
    assert all("parsed-from-text" in m.flags for m in read.measurements)


def test_a_fraction_elsewhere_is_no_blood_pressure() -> None:
    assert one(of="30525-0", valueString="142/88").text == "142/88"


def test_average_blood_pressure_panel() -> None:
    """96607-7 with a period: its end, and marked as an average (OB-5)."""
    parts = [{"code": coded("96608-5"), "valueQuantity": quantity(131, "mm[Hg]")}]
    period = {"start": "2025-03-01", "end": "2025-03-07"}
    given = observation("96607-7", component=parts, effectivePeriod=period)
    del given["effectiveDateTime"]
    (found,) = chart(given).measurements
    assert found.time == found.time_end == datetime(2025, 3, 7, tzinfo=UTC)
    assert set(found.flags) == {"average", "time-from-period"}


def test_an_own_value_beside_components() -> None:
    parts = [{"code": coded("9274-2"), "valueInteger": 2}]
    assert [
        str(m.value) for m in chart(observation("9269-2", valueInteger=15, component=parts)).measurements
    ] == ["15", "2"]


@pytest.mark.parametrize(
    ("when", "expected", "flag"),
    [
        ({"effectiveInstant": "2025-03-04T10:00:00Z"}, datetime(2025, 3, 4, 10, tzinfo=UTC), None),
        ({"effectiveDateTime": "2025-03-04"}, datetime(2025, 3, 4, tzinfo=UTC), "time-day-precision"),
        ({"effectiveDateTime": "2025"}, datetime(2025, 7, 2, 12, tzinfo=UTC), "time-year-precision"),
        ({"effectiveTiming": {"event": ["2025-03-04", "2025-03-06", "2027-01-01"]}}, datetime(2025, 3, 6, tzinfo=UTC), "time-from-timing"),
        ({"effectivePeriod": {"start": "2025-01-01", "end": "2027-01-01"}}, datetime(2025, 1, 1, tzinfo=UTC), "time-from-period"),
        ({"effectivePeriod": {"end": "2025-01-01"}}, datetime(2025, 1, 1, tzinfo=UTC), "time-from-period"),
        ({"issued": "2025-03-04T10:00:00Z"}, datetime(2025, 3, 4, 10, tzinfo=UTC), "time-from-issued"),
        ({"effectiveDateTime": "last week", "issued": "2025-03-04T10:00:00Z"}, datetime(2025, 3, 4, 10, tzinfo=UTC), "time-from-issued"),
        ({}, None, "no-time"),
        ({"effectivePeriod": {}}, None, "no-time"),
    ],
)  # fmt: skip
def test_time(when: dict[str, Any], expected: datetime | None, flag: str | None) -> None:
    """OB-5."""
    given = observation(valueInteger=1)
    del given["effectiveDateTime"]
    (found,) = chart({**given, **when}).measurements
    assert found.time == expected
    assert flag is None or flag in found.flags


def test_focus_takes_it_out() -> None:
    """OB-9: a fetus, a donor."""
    read = chart(observation(valueInteger=1, focus=[{"reference": "Patient/fetus"}]))
    assert read.measurements == ()
    assert "focus" in words(read)
    assert len(chart(observation(valueInteger=1, focus=[{"reference": "Patient/p1"}])).measurements) == 1


def test_specimen_contained_or_referenced() -> None:
    """OB-9: it fixes urine against serum."""
    urine = {"resourceType": "Specimen", "id": "s", "type": {"text": "Urine"}}
    held = one(valueInteger=1, specimen={"reference": "#s"}, contained=[urine])
    shared = chart(urine, observation(valueInteger=1, specimen={"reference": "Specimen/s"})).measurements[0]
    assert held.specimen is not None and held.specimen.text == "Urine"
    assert shared.specimen is not None and shared.specimen.text == "Urine"


def test_device_by_reference_contained_or_in_words() -> None:
    """Its type and all its names: which of them says what it is differs from record to record."""
    kind = coded("337414009", "http://snomed.info/sct", "Blood glucose meter")
    meter = {
        "resourceType": "Device",
        "id": "d",
        "type": kind,
        "deviceName": [{"name": "Contour Next"}, {"name": "Contour Next"}, 7],
        "modelNumber": "9545",
    }
    held = one(valueInteger=1, device={"reference": "#d", "display": "my meter"}, contained=[meter])
    shared = chart(meter, observation(valueInteger=1, device={"reference": "Device/d"})).measurements[0]
    assert held.device is not None and held.device.codings[0].code == "337414009"
    assert held.device.text == "Blood glucose meter my meter Contour Next 9545"
    assert shared.device is not None and shared.device.text == "Blood glucose meter Contour Next 9545"
    told = one(valueInteger=1, device={"display": "Afinion 2"})
    assert told.device is not None and told.device.text == "Afinion 2"
    assert one(valueInteger=1).device is None
    assert one(valueInteger=1, device={"reference": "Device/elsewhere"}).device is None


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("AMB", "office"), ("IMP", "inpatient"), ("EMER", "inpatient"), ("ACUTE", "inpatient"), ("HH", "home"), ("VR", "home"),
     ("amb ", "office"), ("FLD", "unknown")],
)  # fmt: skip
def test_setting_from_the_encounter(kind: str, setting: str) -> None:
    """EN-1."""
    visit = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": kind},
        "subject": {"reference": "Patient/p1"},
    }
    read = chart(visit, observation(valueInteger=1, encounter={"reference": "Encounter/e"}))
    assert read.measurements[0].setting == setting
    assert read.measurements[0].encounter == "Encounter/e"


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        (
            {
                "meta": {
                    "security": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                            "code": "PATAST",
                        }
                    ]
                }
            },
            "home",
        ),
        (
            {
                "meta": {
                    "tag": [
                        {
                            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-tags",
                            "code": "patient-supplied",
                        }
                    ]
                }
            },
            "home",
        ),
        ({"performer": [{"reference": "Patient/p1"}]}, "home"),
        ({"performer": [{"reference": "Practitioner/x"}, {"reference": "Patient/p1"}]}, "unknown"),
        ({"device": {"display": "Home BP monitor"}}, "home"),
        ({"method": {"text": "Home measurement"}}, "home"),
        ({"method": {"text": "24 h ambulatory monitoring"}}, "ambulatory"),
        ({"device": {"display": "ABPM recorder"}, "performer": [{"reference": "Patient/p1"}]}, "ambulatory"),
        ({"code": {"text": "Systolic blood pressure, self-measured"}}, "home"),
        ({"method": {"text": "Homogeneous assay"}}, "unknown"),
    ],
)
def test_setting_from_who_and_how(more: dict[str, Any], setting: str) -> None:
    """OB-10."""
    found = one(valueInteger=1, **more)
    assert found.setting == setting


def test_patient_reported_is_flagged() -> None:
    assert "patient-reported" in one(valueInteger=1, performer=[{"reference": "Patient/p1"}]).flags


def test_reference_range_interpretation_method_category() -> None:
    """OB-7."""
    found = one(
        valueQuantity=quantity(1),
        interpretation=[coded("H", "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation")],
        referenceRange=[
            {"type": coded("treatment", ""), "low": quantity(9)},
            {"low": quantity(0.6), "high": quantity(1.2)},
        ],
        method={"text": "Jaffe"},
        category=[coded("laboratory", "x"), coded("laboratory", "y")],
    )
    assert (found.reference_low, found.reference_high) == (Decimal("0.6"), Decimal("1.2"))
    assert (found.interpretation, found.categories) == (("H",), ("laboratory",))
    assert found.method is not None and found.method.text == "Jaffe"


@pytest.mark.parametrize(
    "oid",
    ["urn:oid:2.16.840.1.113883.6.1", "2.16.840.1.113883.6.1", "http: //loinc.org", " http://loinc.org"],
)
def test_oids_and_stray_blanks_in_systems(oid: str) -> None:
    """OB-12, I4."""
    found = one(code={"coding": [{"system": oid, "code": " 2160-0 "}]}, valueInteger=1)
    assert found.concept.has(LOINC, "2160-0")


def test_codings_without_code_and_text_only_codes() -> None:
    """I1."""
    found = one(code={"coding": [{"system": LOINC}, {"display": "Kreatinin"}]}, valueInteger=1)
    assert (found.concept.codings, found.concept.text) == ((), "Kreatinin")
    assert one(code={"text": "serum creat"}, valueInteger=1).concept.text == "serum creat"


def test_no_code_at_all() -> None:
    read = chart({**observation(valueInteger=1), "code": None})
    assert read.measurements == ()
    assert "without a code" in words(read)


def test_wrong_types_cost_the_element_or_the_resource_never_the_rest() -> None:
    good = observation(id="good", valueInteger=1)
    note = observation(id="note", valueInteger=2, note="free text")
    value = observation(id="value", valueQuantity={"value": "high"})
    both = chart(note, value, good)
    assert [m.source for m in both.measurements] == ["Observation/note", "Observation/good"]
    assert [(i.severity, i.expression) for i in both.issues] == [
        ("warning", "Observation/note.note"),
        ("error", "Observation/value.valueQuantity"),
    ]


def test_counts_are_of_the_bundle() -> None:
    read = chart(observation(valueInteger=1), resource("Procedure"), about_patient("Claim"))
    assert read.counts == (("Claim", 1), ("Observation", 1), ("Patient", 1), ("Procedure", 1))


def test_the_same_value_from_two_sources_is_marked_not_dropped() -> None:
    """OB-8: a report's copy, a portal's copy with the day only."""
    first = observation(valueQuantity=quantity(90))
    copy = observation(id="copy", valueQuantity=quantity(90), effectiveDateTime="2025-03-04T08:00:00Z")
    portal = observation(id="portal", valueQuantity=quantity(90), effectiveDateTime="2025-03-04")
    other_day = observation(id="day", valueQuantity=quantity(90), effectiveDateTime="2025-03-05")
    other_value = observation(id="value", valueQuantity=quantity(91))
    other_code = observation("2345-7", id="code", valueQuantity=quantity(90))
    pair = observation(
        "85354-9", id="bp", component=[{"code": coded("8480-6"), "valueQuantity": quantity(90)}] * 2
    )
    read = chart(first, copy, portal, other_day, other_value, other_code, pair)
    marked = [m.source for m in read.measurements if "possible-duplicate" in m.flags]
    assert marked == ["Observation/copy", "Observation/portal"]
    assert len(read.measurements) == 8


@pytest.mark.parametrize(
    "value", [{"value": 4.5, "unit": "mmol/L", "comparator": "~"}, {"value": 10**400, "unit": "mmol/L"}, {"value": float("nan")}]
)  # fmt: skip
def test_a_number_that_cannot_be_taken_as_one_is_said(value: dict[str, Any]) -> None:
    """security.md 5.3 row 42: excluded with reason."""
    read = chart({**observation("2823-3"), "valueQuantity": value})
    assert [m.value for m in read.measurements] == [None]
    assert [i.severity for i in read.issues] == ["warning"]


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("5.4 H", "5.4", ""),
        ("5.4 LL", "5.4", ""),
        ("5.4 mmol/L H", "5.4", "mmol/L"),
        ("7 L/min", "7", "L/min"),
    ],
)
def test_a_flag_behind_a_number_is_no_unit(text: str, number: str, unit: str) -> None:
    """OB-3, OB-7."""
    found = one(of="2823-3", valueString=text)
    assert (str(found.value), found.unit) == (number, unit)

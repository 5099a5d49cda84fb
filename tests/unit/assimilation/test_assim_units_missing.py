"""Missing, mislabelled and odd units (OB-6, UN-1..3, I3): every unit in use is weighed, nothing is guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assim_charts import at, chart, measured

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.units import Converted, convert, parse_unit, ucum_code
from fhir_twin.model.codes import SNOMED, Coding, Concept
from mappings import Source

KNOWN = load_biomarkers(Source())


def result(number: float, unit: str, analyte: str, ucum: bool = False) -> Converted:
    code = unit if ucum else ""
    return convert(number, unit, code, ucum, KNOWN.analytes[analyte], KNOWN.aliases)


@pytest.mark.parametrize(
    ("analyte", "number"),
    [
        ("weight", 172), ("weight", 80), ("weight", 30), ("waist", 40),
        ("height", 95), ("alt", 25), ("hemoglobin", 13.5),
        ("uacr", 20), ("upcr", 300), ("phosphate", 1.1), ("hba1c", 17), ("creatinine", 15), ("glucose", 25),
        ("urine-albumin", 30), ("vitamin-d", 40), ("pth", 20), ("hs-crp", 2), ("nt-probnp", 100), ("dbp", 24),
    ],
)  # fmt: skip
def test_two_plausible_units_are_never_guessed_between(analyte: str, number: float) -> None:
    """OB-6: a weight of 172 is as plausible in pounds as in kilograms."""
    assert result(number, "", analyte) == Converted(None, "missing-unit")


@pytest.mark.parametrize(
    ("analyte", "number", "expected"),
    [
        ("weight", 600, 272.155), ("height", 170, 170), ("height", 1.7, 170),
        ("height", 67, 170.18), ("sbp", 142, 142),
        ("sbp", 17, 127.51), ("dbp", 88, 88), ("body-temperature", 98.6, 37), ("body-temperature", 37, 37),
        ("potassium", 4.2, 4.2), ("sodium", 140, 140), ("hba1c", 6.5, 6.5),
        ("hba1c", 48, 6.543), ("hba1c", 0.065, 6.5),
        ("creatinine", 88.42, 1), ("creatinine", 1.1, 1.1),
        ("calcium", 2.4, 9.62), ("total-cholesterol", 5.2, 201.08),
        ("hemoglobin", 140, 14), ("albumin", 4.2, 4.2), ("albumin", 42, 4.2),
        ("wbc", 6500, 6.5), ("tsh", 2.1, 2.1),
    ],
)  # fmt: skip
def test_the_only_possible_reading_is_taken_and_flagged(analyte: str, number: float, expected: float) -> None:
    found = result(number, "", analyte)
    assert found.value == pytest.approx(expected, rel=1e-3) and found.flags == ("unit-inferred",)


@pytest.mark.parametrize(
    ("analyte", "number", "unit"),
    [
        ("height", 67, "cm"), ("sbp", 17, "mm[Hg]"), ("hba1c", 9.5, "mmol/mol"),
        ("hba1c", 12, "mmol/mol"), ("glucose", 11.1, "mg/dL"),
        ("glucose", 16.7, "mg/dL"), ("ldl", 6.2, "mg/dL"), ("triglycerides", 12, "mg/dL"),
        ("calcium", 2.4, "mg/dL"), ("hemoglobin", 14, "g/L"),
        ("hemoglobin", 140, "g/dL"), ("albumin", 42, "g/dL"), ("albumin", 4.2, "g/L"),
        ("free-t4", 15, "ng/dL"), ("free-t4", 1.2, "pmol/L"),
        ("creatinine", 88, "mg/dL"), ("creatinine", 1.1, "umol/L"),
        ("body-temperature", 98.6, "Cel"), ("platelets", 250000, "10*3/uL"),
        ("hs-troponin-t", 0.014, "ng/L"), ("apob", 0.9, "mg/dL"), ("uric-acid", 350, "mg/dL"),
        ("lvef", 0.55, "%"), ("weight", 7, "kg"),
    ],
)  # fmt: skip
def test_a_number_that_fits_another_unit_is_named_not_mended(analyte: str, number: float, unit: str) -> None:
    """UN-3."""
    found = result(number, unit, analyte, ucum=True)
    assert found.value is None and found.reason == "mislabelled-unit"


@pytest.mark.parametrize(
    ("analyte", "number", "unit", "expected"),
    [
        ("tsh", 2, "mU/L", 2), ("tsh", 2, "uU/mL", 2),
        ("insulin", 10, "uU/mL", 10), ("insulin", 10, "mU/L", 10),
        ("hematocrit", 0.42, "L/L", 42), ("height", 1700, "mm", 170), ("platelets", 250, "10*3/mm3", 250),
        ("wbc", 6.5, "10*3/mcL", 6.5), ("ferritin", 100, "mcg/L", 100), ("uric-acid", 357, "mcmol/L", 6.0),
    ],
)  # fmt: skip
def test_spellings_that_the_analyte_settles(analyte: str, number: float, unit: str, expected: float) -> None:
    """A milliunit of thyrotropin is an international one, not one of enzyme activity; "mm" is no "mM"."""
    for ucum in (False, True):
        assert result(number, unit, analyte, ucum).value == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("analyte", "number", "unit"),
    [
        ("lvef", 0.3, "150"), ("weight", 4000, "mg/5"), ("heart-rate", 3e11, "ng/kg/min"), ("uacr", 20, "1"),
        ("uacr", 20, "Ratio"), ("uacr", 0.02, "%"), ("upcr", 20, "{ratio}"),
        ("hba1c", 65, "mg/g"), ("weight", 80, "unit"),
        ("weight", 80, "gr"), ("glucose", 100, "___"), ("glucose", 100, "mg/dose"), ("heart-rate", 70, "L/min"),
    ],
)  # fmt: skip
def test_what_is_no_unit_of_the_analyte_is_refused(analyte: str, number: float, unit: str) -> None:
    """I3: strengths, rates and bare ratios of a hospital's unit list are refused, not calculated with."""
    assert result(number, unit, analyte).value is None


def test_numbers_are_no_units() -> None:
    assert [parse_unit(n) for n in ("150", "0", "mg/100", "mg/5")] == [None] * 4
    assert parse_unit("1/min") == parse_unit("/min") and parse_unit("10*3/uL") is not None
    assert ucum_code("150", KNOWN.aliases) is None


def test_urea_is_not_urea_nitrogen() -> None:
    """Standards 2.3: urea in mg/dL / 2.14; in mmol/L the two are the same."""
    asked = [
        ("22664-7", 30.0, "mg/dL", 14.02),
        ("22664-7", 0.3, "g/L", 14.02),
        ("22664-7", 5.0, "mmol/L", 14.0),
        ("3094-0", 14.0, "mg/dL", 14.0),
    ]
    for loinc, number, unit, expected in asked:
        twin = build_twin(chart(measured("urea", loinc, number, unit, at(2024, 3))), KNOWN)
        (point,) = [p for p in twin.points if p.biomarker == "bun"]
        assert point.used and point.value == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("systolic", "diastolic", "used"), [(80, 130, False), (90, 90, False), (130, 80, True)]
)
def test_a_crossed_pair_of_pressures_is_not_used(systolic: int, diastolic: int, used: bool) -> None:
    """Nobody can say which of the two was the slip."""
    both = (
        measured("bp", "8480-6", systolic, "mm[Hg]", at(2024, 3)),
        measured("bp", "8462-4", diastolic, "mm[Hg]", at(2024, 3)),
    )
    twin = build_twin(chart(*both), KNOWN)
    assert [(p.used, p.reason) for p in twin.points] == [(used, "" if used else "crossed-pair")] * 2
    assert any("diastolic" in i.diagnostics for i in twin.issues) is not used


@pytest.mark.parametrize(
    ("systolic", "diastolic", "used"), [(80, 130, False), (90, 90, False), (130, 80, True)]
)
def test_a_crossed_pair_of_two_resources_is_not_used_either(
    systolic: int, diastolic: int, used: bool
) -> None:
    both = (
        measured("bp-1", "8480-6", systolic, "mm[Hg]", at(2024, 3)),
        measured("bp-2", "8462-4", diastolic, "mm[Hg]", at(2024, 3)),
    )
    twin = build_twin(chart(*both), KNOWN)
    assert [(p.used, p.reason) for p in twin.points] == [(used, "" if used else "crossed-pair")] * 2


@pytest.mark.parametrize(
    ("loinc", "value"),
    [("13457-7", 1.45), ("2093-3", 2.1), ("2085-9", 0.45), ("2571-8", 1.6), ("2345-7", 1.26)],
)
def test_grams_per_litre_without_a_unit_are_not_taken_for_millimoles(loinc: str, value: float) -> None:
    """A French LDL of 1.45 (g/L) read as 1.45 mmol/L would be 56 mg/dL instead of 145."""
    twin = build_twin(chart(measured("lab", loinc, value, "", at(2024, 3))), KNOWN)
    assert [p.used for p in twin.points] == [False]


@pytest.mark.parametrize(
    ("specimen", "loinc", "used"),
    [
        (Concept((Coding(SNOMED, "122575003"),)), "2345-7", False),
        (Concept((Coding("http://terminology.hl7.org/CodeSystem/v2-0487", "UR"),)), "2345-7", False),
        (Concept(text="Cerebrospinal fluid"), "2345-7", False),
        (Concept(text="Venous blood"), "2345-7", True),
        (Concept((Coding(SNOMED, "122575003"),)), "2161-8", True),
    ],
)
def test_the_specimen_decides(specimen: Concept, loinc: str, used: bool) -> None:
    """OB-9, also where the specimen has a code and no words."""
    twin = build_twin(chart(measured("s", loinc, 99, "mg/dL", at(2024, 3), specimen=specimen)), KNOWN)
    assert [(p.used, p.reason) for p in twin.points] == [(used, "" if used else "wrong-specimen")]


@pytest.mark.parametrize(("text", "said"), [("5-6 mmol/L", True), ("hemolyzed", False)])
def test_a_number_in_words_nobody_can_read_is_said(text: str, said: bool) -> None:
    given = measured("t", "2823-3", 1, "", at(2024, 3))
    unread = replace(given, measurement=replace(given.measurement, value=None, text=text))
    twin = build_twin(chart(unread), KNOWN)
    assert twin.points == () and any("text" in i.diagnostics for i in twin.issues) is said

"""UCUM parsing, aliases and conversions (UN-1, UN-2, UN-3, OB-6); oracles are published factors, not our table."""

from __future__ import annotations

from fractions import Fraction

import pytest
from assim_charts import at, chart, measured
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.units import convert, parse_unit, to_canonical, ucum_code
from mappings import Source

KNOWN = load_biomarkers(Source())


def value(number: float, unit: str, analyte: str) -> float | None:
    return convert(number, unit, unit, True, KNOWN.analytes[analyte], KNOWN.aliases).value


@pytest.mark.parametrize(
    ("analyte", "number", "unit", "expected"),
    [
        ("hba1c", 48.0, "mmol/mol", 6.54),
        ("hba1c", 42.0, "mmol/mol", 5.99),
        ("hba1c", 0.065, "1", 6.5),
        ("glucose", 5.5, "mmol/L", 99.1),
        ("fasting-glucose", 7.0, "mmol/L", 126.1),
        ("total-cholesterol", 5.0, "mmol/L", 193.4),
        ("hdl", 1.3, "mmol/L", 50.3),
        ("ldl", 3.0, "mmol/L", 116.0),
        ("ldl", 1.2, "g/L", 120.0),
        ("triglycerides", 1.7, "mmol/L", 150.6),
        ("creatinine", 88.42, "umol/L", 1.0),
        ("creatinine", 0.1, "mmol/L", 1.131),
        ("uacr", 3.0, "mg/mmol", 26.5),
        ("uacr", 30.0, "ug/mg", 30.0),
        ("uacr", 3.0, "g/mol", 26.5),
        ("calcium", 2.4, "mmol/L", 9.62),
        ("phosphate", 1.2, "mmol/L", 3.72),
        ("magnesium", 0.8, "mmol/L", 1.945),
        ("uric-acid", 360.0, "umol/L", 6.05),
        ("bilirubin", 17.1, "umol/L", 1.0),
        ("hemoglobin", 140.0, "g/L", 14.0),
        ("hemoglobin", 8.7, "mmol/L", 14.0),
        ("albumin", 40.0, "g/L", 4.0),
        ("potassium", 4.4, "meq/L", 4.4),
        ("alt", 0.5, "ukat/L", 30.0),
        ("alt", 30.0, "[IU]/L", 30.0),
        ("platelets", 250.0, "10*9/L", 250.0),
        ("platelets", 250000.0, "/uL", 250.0),
        ("vitamin-d", 50.0, "nmol/L", 20.0),
        ("nt-probnp", 100.0, "pmol/L", 845.7),
        ("bnp", 100.0, "pmol/L", 346.0),
        ("hs-troponin-t", 0.014, "ng/mL", 14.0),
        ("hs-crp", 0.3, "mg/dL", 3.0),
        ("lvef", 0.55, "1", 55.0),
        ("free-t4", 12.87, "pmol/L", 1.0),
        ("weight", 180.0, "[lb_av]", 81.65),
        ("weight", 13.0, "[stone_av]", 82.55),
        ("weight", 70000.0, "g", 70.0),
        ("height", 70.0, "[in_i]", 177.8),
        ("height", 1.78, "m", 178.0),
        ("sbp", 16.0, "kPa", 120.01),
        ("body-temperature", 98.6, "[degF]", 37.0),
        ("bun", 5.0, "mmol/L", 14.0),
        ("pth", 5.0, "pmol/L", 47.15),
        ("insulin", 60.0, "pmol/L", 10.0),
        ("c-peptide", 1.0, "nmol/L", 3.02),
        ("cystatin-c", 75.0, "nmol/L", 1.0),
        ("apob", 1.0, "g/L", 100.0),
        ("transferrin-saturation", 0.3, "1", 30.0),
    ],
)
def test_published_conversions(analyte: str, number: float, unit: str, expected: float) -> None:
    assert value(number, unit, analyte) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("printed", "ucum"),
    [
        ("mmHg", "mm[Hg]"), ("mm Hg", "mm[Hg]"), ("K/uL", "10*3/uL"), ("10^3/uL", "10*3/uL"),
        ("x10E3/uL", "10*3/uL"), ("thou/mcL", "10*3/uL"), ("bpm", "/min"), ("beats/min", "/min"),
        ("mL/min/1.73m2", "mL/min/{1.73_m2}"), ("mL/min/1.73.m2", "mL/min/{1.73_m2}"),
        ("mL/min/1.73 m²", "mL/min/{1.73_m2}"), ("lbs", "[lb_av]"), ("mEq/L", "meq/L"),
        ("MG/DL", "mg/dL"), ("mcg/mg", "ug/mg"), ("µmol/L", "umol/L"), ("uIU/mL", "u[IU]/mL"),
        ("°F", "[degF]"), ("IU/L", "[IU]/L"), ("Inch", "[in_i]"), ("{percent}", "%"),
    ],
)  # fmt: skip
def test_printed_spellings(printed: str, ucum: str) -> None:
    """UN-1: what laboratories print, read as the one unit it can mean."""
    assert parse_unit_of(ucum_code(printed, KNOWN.aliases)) == parse_unit_of(ucum)


def parse_unit_of(code: str | None) -> object:
    assert code is not None
    return code if code == "[degF]" else parse_unit(code)


def test_case_matters_in_ucum() -> None:
    """Mm (megametre) is not mm; a UCUM code is read as written."""
    mega, milli = parse_unit("Mm"), parse_unit("mm")
    assert mega is not None and milli is not None
    assert mega.factor / milli.factor == Fraction(10) ** 9


@pytest.mark.parametrize(
    "nonsense", ["foo", "mg//dL", ".g", "g.", "/", "mg/", "10*", "m m", "0", "gr", "units"]
)
def test_nonsense_is_no_unit(nonsense: str) -> None:
    assert parse_unit(nonsense) is None


def result(number: float, unit: str, code: str, analyte: str):
    return convert(number, unit, code, bool(code), KNOWN.analytes[analyte], KNOWN.aliases)


def test_mislabelled_hba1c_is_flagged_and_not_used() -> None:
    """UN-3: 48 labelled % and 6.5 labelled mmol/mol are mistakes we name, not fix."""
    assert result(48, "%", "%", "hba1c").reason == "mislabelled-unit"
    assert result(6.5, "mmol/mol", "mmol/mol", "hba1c").reason == "mislabelled-unit"
    assert result(48, "%", "%", "hba1c").value is None
    assert result(5.5, "mg/dL", "mg/dL", "fasting-glucose").reason == "mislabelled-unit"


def test_a_missing_unit_is_inferred_only_when_the_other_is_excluded() -> None:
    """OB-6: 5.2 of cholesterol can only be mmol/L, glucose 30 could be both."""
    inferred = result(5.2, "", "", "total-cholesterol")
    assert inferred.value == pytest.approx(201.084) and inferred.flags == ("unit-inferred",)
    ambiguous = result(30, "", "", "glucose")
    assert ambiguous.value is None and ambiguous.reason == "missing-unit"
    assert result(9999, "", "", "sbp").reason == "missing-unit"


def test_unknown_foreign_and_contradicting_units_are_refused() -> None:
    assert result(5, "wibble", "", "ldl").reason == "unknown-unit"
    assert result(5, "", "kg", "ldl").reason == "unit-not-of-analyte"
    assert result(5, "mg/dL", "mmol/L", "ldl").reason == "unit-conflict"
    assert result(100, "mg/dl", "mg/dL", "ldl").value == 100
    assert result(-3, "mg/dL", "mg/dL", "ldl").reason == "implausible"


def test_lipoprotein_a_mass_and_moles_never_convert() -> None:
    """standards 2.3: there is no valid fixed factor."""
    assert value(100, "nmol/L", "lpa-mass") is None
    assert value(50, "mg/dL", "lpa-molar") is None


@given(st.sampled_from(sorted(KNOWN.analytes)), st.floats(0, 1))
def test_the_canonical_unit_is_the_identity(key: str, share: float) -> None:
    analyte = KNOWN.analytes[key]
    low, high = analyte.plausible
    number = low + share * (high - low)
    assert to_canonical(number, analyte.unit, analyte) == number


@given(
    st.floats(1e-3, 1e3), st.sampled_from([("mg/dL", "g/L"), ("mmol/L", "umol/L"), ("kg", "g"), ("cm", "m")])
)
def test_scaling_there_and_back_is_exact(number: float, pair: tuple[str, str]) -> None:
    left, right = (parse_unit(u) for u in pair)
    assert left is not None and right is not None and left.powers == right.powers
    assert (left.factor / right.factor) * (right.factor / left.factor) == 1


@given(st.text(max_size=12))
def test_any_text_is_parsed_or_refused_without_an_exception(text: str) -> None:
    parse_unit(text)
    ucum_code(text, KNOWN.aliases)


@pytest.mark.parametrize("unit", ["{INR}", "1", "", "INR", "inr", "{ratio}", "ratio"])
@pytest.mark.parametrize("loinc", ["6301-6", "34714-6", "46418-0", "38875-1"])
def test_inr_has_no_unit_however_it_is_written(loinc: str, unit: str) -> None:
    (point,) = build_twin(chart(measured("i", loinc, "2.4", unit, at(2025))), KNOWN).points
    assert (point.biomarker, point.used, point.value) == ("inr", True, pytest.approx(2.4))

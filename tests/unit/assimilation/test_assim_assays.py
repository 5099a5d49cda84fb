"""Assays: which way of measuring a record names, and how much less (or more) such a value moves the twin."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from assim_charts import NOW, at, chart, measured

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.clock import years
from fhir_twin.assimilation.expect import expect
from fhir_twin.assimilation.pooling import pool
from fhir_twin.dynamics.forecast import forecast
from fhir_twin.dynamics.prior import level_prior, noise_parts, visit_variance
from fhir_twin.errors import InvalidInput
from fhir_twin.model.codes import SNOMED, Coding, Concept
from fhir_twin.model.twin import Point
from mappings import ROOT, Source

KNOWN = load_biomarkers(Source())
A1C, FASTING, METER, WEIGHT, CREATININE, SBP = "4548-4", "1558-6", "41604-0", "29463-7", "2160-0", "8480-6"
POC = Concept(text="DCA Vantage analyser")


def assay(loinc: str, unit: str, **more) -> str:
    value = {"%": 7, "mg/dL": 110, "mm[Hg]": 130, "kg": 80, "mg/g": 40}[unit]
    twin = build_twin(chart(measured("1", loinc, value, unit, at(2025), **more)), KNOWN)
    return twin.points[0].assay


def test_what_the_record_says_names_the_assay() -> None:
    capillary = Concept((Coding(SNOMED, "122554006"),))
    assert assay(METER, "mg/dL") == "meter"
    assert assay(FASTING, "mg/dL", specimen=capillary) == "meter"
    assert assay(FASTING, "mg/dL", device=Concept((Coding(SNOMED, "337414009"),))) == "meter"
    assert assay(FASTING, "mg/dL", flags=("patient-reported",)) == "meter"
    assert assay(A1C, "%", device=POC) == "point-of-care"
    assert assay(A1C, "%", panel=Concept(text="POCT HbA1c")) == "point-of-care"
    assert assay(A1C, "%", device=Concept(text="A1CNow+ (POC)")) == "a1cnow"
    assert assay(SBP, "mm[Hg]", device=Concept(text="Wrist cuff")) == "wrist"
    assert assay(SBP, "mm[Hg]", panel=Concept(text="BP, AOBP mean")) == "aobp"
    assert assay("3142-7", "kg") == "stated"
    assert assay("9318-7", "mg/g", method=Concept(text="Test strip")) == "strip"
    assert assay("9318-7", "mg/g", specimen=Concept(text="Urine, first morning")) == "first-morning"
    assert (
        assay("14958-3", "mg/g", method=Concept(text="dipstick")) == "24-h"
    )  # the code decides before the words


def test_what_says_nothing_is_the_usual_assay() -> None:
    assert assay(FASTING, "mg/dL") == assay(A1C, "%") == assay(SBP, "mm[Hg]") == ""
    assert assay(A1C, "%", method=Concept(text="HPLC"), specimen=Concept(text="Apocrine")) == ""
    assert assay(SBP, "mm[Hg]", flags=("patient-reported",)) == ""
    assert assay(WEIGHT, "kg", device=Concept(text="Scale")) == ""


def shift(loinc: str, value: float, unit: str, key: str, **more) -> float:
    """Move of the usual value (log) by one value, from the prior."""
    mean = build_twin(chart(now=at(2025)), KNOWN).mean
    twin = build_twin(chart(measured("1", loinc, value, unit, at(2025), **more), now=at(2025)), KNOWN)
    i = twin.index(key)
    return float(twin.mean[i] - mean[i])


def test_a_fingerstick_moves_less_than_the_laboratory_by_what_the_formula_says() -> None:
    """One value y on a Gaussian prior: shift = P / (P + R) (y - mu), with R + (7.65 / 110 or .0765)^2 for a meter."""
    model = KNOWN.model("fasting-glucose")
    coded = chart(now=at(2025))
    empty = build_twin(coded, KNOWN)
    mu, sd = level_prior(model, empty.profile, empty.profile.age)
    p, r, y = sd**2 + model.fluctuation_sd**2, model.noise.visit**2, math.log(110)
    laboratory, meter = (shift(c, 110, "mg/dL", "fasting-glucose") for c in (FASTING, METER))
    assert laboratory == pytest.approx(p / (p + r) * (y - mu), abs=1e-12)
    assert meter == pytest.approx(p / (p + r + 0.0765**2) * (y - mu), abs=1e-12)
    assert 0 < meter < 0.95 * laboratory
    low = shift(METER, 60, "mg/dL", "fasting-glucose")  # below 100 mg/dL the error is one in mg/dL
    assert low == pytest.approx(p / (p + r + (7.65 / 60) ** 2) * (math.log(60) - mu), abs=1e-12)


def test_a_bias_is_taken_out() -> None:
    """JDS 6.64 % is NGSP 7.0 %; the mean of an unattended series of 135 is an office pressure of 140."""
    jds, ngsp = shift("62388-4", 6.64, "%", "hba1c"), shift(A1C, 7.0, "%", "hba1c")
    assert jds == pytest.approx(ngsp, rel=0.02)
    unattended = shift(SBP, 135, "mm[Hg]", "sbp", panel=Concept(text="AOBP"))
    assert unattended == pytest.approx(shift(SBP, 140, "mm[Hg]", "sbp"), rel=0.02)


WAYS = ("", "point-of-care", "a1cnow", "dried-blood-spot")
DEVICE = {
    "": None,
    "point-of-care": POC,
    "a1cnow": Concept(text="A1CNow"),
    "dried-blood-spot": Concept(text="DBS"),
}


@pytest.mark.parametrize("seed", range(12))
def test_a_twin_with_mixed_assays_equals_dense_gaussian_conditioning(seed: int) -> None:
    """Several assays on one day share the noise of the day; each has its own error. One joint Gaussian, one solve."""
    rng = np.random.default_rng(seed)
    model = KNOWN.model("hba1c")
    rows, days, time = [], [], at(2020)
    for visit in range(6):
        time += timedelta(days=int(rng.integers(30, 300)))
        for way in rng.choice(WAYS[1:] if visit % 2 else WAYS, size=rng.integers(1, 4), replace=False):
            rows.append((time, str(way), round(float(rng.uniform(5.3, 5.8)), 2)))
            days.append(visit)
    values = [measured(f"{i}", A1C, v, "%", t, device=DEVICE[w]) for i, (t, w, v) in enumerate(rows)]
    twin = build_twin(chart(*values), KNOWN)
    assert all(p.weight == 1.0 and p.used for p in twin.points)
    mu, sd = level_prior(model, twin.profile, twin.profile.age)
    when = np.array([years(t) for t, _, _ in rows] + [years(NOW)])
    gap = np.abs(when[:, None] - when[None, :])
    joint = sd**2 + model.fluctuation_sd**2 * np.exp(-gap / model.fluctuation_tau)
    own = [noise_parts(model, "unknown", 1, None, w, v)[1] for _, w, v in rows]
    noise = np.equal.outer(days, days) * model.noise.visit**2 + np.diag(own)
    y = np.array([math.log(v) - model.assay(w).bias for _, w, v in rows])
    gain = np.linalg.solve(joint[:-1, :-1] + noise, joint[:-1, -1])
    i = twin.index("hba1c")
    assert twin.mean[i] == pytest.approx(mu + gain @ (y - mu), abs=1e-8)
    assert twin.covariance[i, i] == pytest.approx(joint[-1, -1] - gain @ joint[:-1, -1], abs=1e-8)


def point(value: float, way: str, readings: int = 1) -> Point:
    return Point("sbp", f"Observation/{value}", at(2025), value, "mm[Hg]", readings=readings, assay=way)


def test_pooling_is_the_sufficient_statistic_of_correlated_readings() -> None:
    """Generalised least squares with the common visit noise in the covariance, readings in different numbers."""
    model = KNOWN.model("sbp")
    points = [point(140, "", 3), point(150, "wrist"), point(146, "kiosk", 2)]
    value, variance, shares = pool(points, model, 60.0)
    parts = [noise_parts(model, "unknown", p.readings, 60.0, p.assay, p.value) for p in points]
    s = np.full((3, 3), parts[0][0]) + np.diag([own for _, own in parts])
    weights = np.linalg.solve(s, np.ones(3)) / (np.ones(3) @ np.linalg.solve(s, np.ones(3)))
    assert value == pytest.approx(weights @ np.log([140, 150, 146]), abs=1e-12)
    assert variance == pytest.approx(1 / (np.ones(3) @ np.linalg.solve(s, np.ones(3))), abs=1e-12)
    assert shares == pytest.approx(weights) and sum(shares) == pytest.approx(1)
    assert shares[0] > shares[2] > shares[1]


def test_derived_values_keep_the_assay_and_every_key_is_known_there() -> None:
    values = [
        measured("h", "8302-2", 170, "cm", at(2020)),
        measured("w", "3142-7", 80, "kg", at(2025)),
        measured("c", CREATININE, 1.1, "mg/dL", at(2025), device=Concept(text="i-STAT")),
    ]
    twin = build_twin(chart(*values), KNOWN)
    told = {p.biomarker: p.assay for p in twin.points}
    assert told["weight"] == told["bmi"] == "stated" and told["creatinine"] == told["egfr"] == "point-of-care"
    for base, derived in (("weight", "bmi"), ("creatinine", "egfr")):
        assert {a.key for a in KNOWN.analytes[base].assays} <= set(KNOWN.model(derived).noise.assays)
    venous = replace(values[2].measurement, device=None)
    usual = build_twin(chart(*values[:2], replace(values[2], measurement=venous)), KNOWN)
    i = twin.index("egfr")
    assert twin.covariance[i, i] > usual.covariance[i, i]


def test_plain_arrays_give_what_a_chart_gives() -> None:
    """`forecast` with covariates["assay"] is the twin's own filter: same state, batch or one by one."""
    ways = ["", "a1cnow", "point-of-care", ""]
    values = [7.0, 7.4, 6.8, 7.1]
    when = [at(2021), at(2022), at(2023), at(2024)]
    rows = [
        measured(f"{i}", A1C, v, "%", t, device=DEVICE[w])
        for i, (v, t, w) in enumerate(zip(values, when, ways, strict=True))
    ]
    twin = build_twin(chart(*rows), KNOWN)
    times = np.array([[years(t) for t in when]] * 2)
    age = twin.profile.age - years(NOW) + times[:, 0] * 0
    given = {"age": age, "sex": "male", "assay": {"hba1c": [ways, [""] * 4]}}
    answer = forecast(
        times, [values] * 2, given, [years(NOW)], biomarkers=("hba1c",), known=KNOWN, of="usual"
    )
    i = twin.index("hba1c")
    assert answer.log_mean[0, 0, 0] == pytest.approx(twin.mean[i], abs=1e-9)
    assert answer.log_sd[0, 0, 0] ** 2 == pytest.approx(twin.covariance[i, i], abs=1e-9)
    plain = forecast(
        times, [values] * 2, {"age": age, "sex": "male"}, [years(NOW)], biomarkers=("hba1c",), known=KNOWN
    )
    assert plain.log_mean[1, 0, 0] == plain.log_mean[0, 0, 0] != answer.log_mean[0, 0, 0]
    with pytest.raises(InvalidInput, match="no assay"):
        forecast(times, [values] * 2, {"assay": {"hba1c": "x"}}, [99], biomarkers=("hba1c",), known=KNOWN)
    with pytest.raises(InvalidInput, match="one key, or one per"):
        forecast(
            times, [values] * 2, {"assay": {"hba1c": ["a"] * 3}}, [99], biomarkers=("hba1c",), known=KNOWN
        )
    with pytest.raises(InvalidInput, match="not among"):
        forecast(times, [values] * 2, {"assay": {"ldl": "x"}}, [99], biomarkers=("hba1c",), known=KNOWN)


def test_the_next_reading_of_a_meter_is_less_sure() -> None:
    rows = [measured(f"{i}", FASTING, 110, "mg/dL", at(2020 + i)) for i in range(5)]
    twin = build_twin(chart(*rows), KNOWN)
    usual, meter = (expect(twin, KNOWN, "fasting-glucose", NOW, assay=a).quantiles for a in ("", "meter"))
    assert meter[0] < usual[0] < usual[2] < meter[2] and meter[1] == pytest.approx(usual[1])


def test_an_unread_source_changes_nothing_and_a_wrong_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "biomarkers").mkdir()
    path = tmp_path / "biomarkers" / "hba1c.toml"
    good = (ROOT / "biomarkers" / "hba1c.toml").read_text("utf-8")

    def load(old: str, new: str):
        assert old in good
        path.write_text(good.replace(old, new), "utf-8")
        return load_biomarkers(Source(overlay=tmp_path)).model("hba1c")

    head, _, tail = good.partition('id = "poc-a1c"')
    unread = tail.replace('mark = "D"\nverified = true', 'mark = "R"\nverified = false', 1)
    model = load(tail, unread)
    assert head and visit_variance(model, "", 1, None, "a1cnow") == visit_variance(model, "", 1, None)
    assert visit_variance(KNOWN.model("hba1c"), "", 1, None, "a1cnow") > 1.5 * visit_variance(
        model, "", 1, None
    )
    for old, new, words in (
        ("cv = 0.055\n", "", "has no number"),
        ("cv = 0.055", "cv = -0.055", "negative"),
        ("cv = 0.055", "sv = 0.055", "unknown keys"),
        ('assay = "jds"', 'assay = "sdj"', "sdj is not described"),
        ('key = "a1cnow"', 'key = "jds"', "stands twice"),
        ('evidence = ["jds-a1c"]', "evidence = []", "without evidence"),
    ):
        with pytest.raises(ValueError, match=words):
            load(old, new)

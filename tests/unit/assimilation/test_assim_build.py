"""build_twin: what becomes of every value, and that it is a pure function of the chart."""

from __future__ import annotations

import random
from datetime import UTC, date, timedelta, timezone

import numpy as np
import pytest
from assim_charts import NOW, at, chart, drug, measured, problem

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.dynamics.equations.ckd_epi import ckd_epi_2021_creatinine
from fhir_twin.model.codes import Concept
from fhir_twin.model.twin import Point, Twin
from mappings import Source

KNOWN = load_biomarkers(Source())


def point(twin: Twin, source: str, biomarker: str) -> Point:
    return next(p for p in twin.points if p.source == f"Observation/{source}" and p.biomarker == biomarker)


def same(left: Twin, right: Twin) -> None:
    np.testing.assert_array_equal(left.state, right.state)
    np.testing.assert_array_equal(left.state_covariance, right.state_covariance)
    np.testing.assert_array_equal(left.mean, right.mean)


def test_without_values_the_twin_is_the_population() -> None:
    twin = build_twin(chart(), KNOWN)
    estimate = twin.estimate("sbp")
    assert estimate.basis == "population" and estimate.observations == 0
    assert 115 < estimate.mean < 135 and not twin.refused
    assert set(KNOWN.keys) >= {
        "sbp", "dbp", "total-cholesterol", "ldl", "hdl", "triglycerides", "hba1c", "fasting-glucose", "egfr",
        "uacr", "bmi", "heart-rate",
    }  # fmt: skip


def test_values_move_the_estimate_and_narrow_it() -> None:
    before = build_twin(chart(), KNOWN).estimate("sbp")
    values = [measured(f"s{y}", "8480-6", 160, "mm[Hg]", at(y)) for y in range(2020, 2026)]
    twin = build_twin(chart(*values), KNOWN)
    after = twin.estimate("sbp")
    assert after.basis == "personal" and after.observations == 6 and after.last == at(2025)
    assert 150 < after.mean < 162 and after.high - after.low < before.high - before.low
    first = point(twin, "s2020", "sbp")
    assert first.used and 0 < first.gain < 1 and first.shift > 0 and first.weight == 1
    assert twin.estimate("dbp").mean > build_twin(chart(), KNOWN).estimate("dbp").mean  # they go together


def test_unknown_sex_and_age_give_a_wider_prior() -> None:
    known, unknown = (build_twin(c, KNOWN) for c in (chart(), chart(sex="unknown", born=None)))
    assert unknown.refused == "age unknown"
    for key in ("sbp", "egfr", "hdl"):
        i = KNOWN.keys.index(key)
        assert unknown.covariance[i, i] > known.covariance[i, i]


def test_the_order_of_the_chart_does_not_matter() -> None:
    values = [
        measured(f"s{i}", "8480-6", 120 + 7 * (i % 5), "mm[Hg]", at(2019 + i // 4, 1 + 3 * (i % 4)))
        for i in range(20)
    ]
    values += [measured(f"c{i}", "2160-0", 1 + i / 10, "mg/dL", at(2020 + i)) for i in range(5)]
    shuffled = list(values)
    random.Random(4).shuffle(shuffled)
    same(build_twin(chart(*values), KNOWN), build_twin(chart(*shuffled), KNOWN))


def test_units_and_time_zones_change_nothing() -> None:
    mmol = chart(
        measured("a", "14646-4", 1.3, "mmol/L", at(2024)), measured("b", "22748-8", 3.0, "mmol/L", at(2025))
    )
    mass = chart(
        measured("a", "2085-9", 1.3 * 38.67, "mg/dL", at(2024)),
        measured("b", "13457-7", 3.0 * 38.67, "mg/dL", at(2025)),
    )
    left, right = build_twin(mmol, KNOWN), build_twin(mass, KNOWN)
    np.testing.assert_allclose(left.state, right.state, rtol=1e-12)
    zone = timezone(timedelta(hours=-5))
    local = chart(measured("a", "2085-9", 50, "mg/dL", at(2024).astimezone(zone)), now=NOW.astimezone(zone))
    same(build_twin(local, KNOWN), build_twin(chart(measured("a", "2085-9", 50, "mg/dL", at(2024))), KNOWN))


def test_every_unusable_value_says_why() -> None:
    twin = build_twin(
        chart(
            measured("unit", "13457-7", 3, "wibble", at(2024)),
            measured("wrong", "4548-4", 48, "%", at(2024)),
            measured("late", "8480-6", 120, "mm[Hg]", NOW + timedelta(days=1)),
            measured("error", "8480-6", 120, "mm[Hg]", at(2024), status="entered-in-error"),
            measured("undated", "8480-6", 120, "mm[Hg]", None),
            measured("strip", "30001-2", 100, "mg/g", at(2024)),
            measured("urine", "2160-0", 5, "mg/dL", at(2024), specimen=Concept(text="Random Urine")),
            measured("wild", "8480-6", 1200, "mm[Hg]", at(2024)),
            measured("child", "8480-6", 90, "mm[Hg]", at(1970)),
        ),
        KNOWN,
    )
    reasons = {p.source.split("/")[1]: p.reason for p in twin.points if not p.used}
    assert reasons == {
        "unit": "unknown-unit", "wrong": "mislabelled-unit", "late": "after-as-of", "error": "entered-in-error",
        "undated": "no-time", "strip": "excluded-code", "urine": "wrong-specimen",
        "wild": "implausible", "child": "before-adulthood",
    }  # fmt: skip
    assert twin.estimate("sbp").basis == "population"
    told = {i.expression for i in twin.issues}
    assert {"Observation/unit", "Observation/wrong", "Observation/undated", "Observation/wild"} <= told
    assert not any(
        any(c.isdigit() for c in i.diagnostics.replace("hba1c", "")) for i in twin.issues
    )  # no value leaks


def test_duplicates_count_once_and_keep_their_provenance() -> None:
    """OB-8: report, portal copy (dated to the day) and device tell one value three times."""
    copies = [
        measured("lab", "4548-4", 7.1, "%", at(2024, 5, 3, 9)),
        measured("copy", "4548-4", 7.1, "%", at(2024, 5, 3, 0)),
        measured("ifcc", "59261-8", 54, "mmol/mol", at(2024, 5, 3, 9)),
    ]
    twin = build_twin(chart(*copies), KNOWN)
    assert {p.source: p.reason for p in twin.points if not p.used} == {
        "Observation/copy": "duplicate",
        "Observation/ifcc": "duplicate",
    }
    assert "also:Observation/copy" in point(twin, "lab", "hba1c").flags
    same(twin, build_twin(chart(copies[0]), KNOWN))


def test_two_equal_values_on_different_days_are_no_duplicates() -> None:
    values = [
        measured("a", "8480-6", 120, "mm[Hg]", at(2024)),
        measured("b", "8480-6", 120, "mm[Hg]", at(2024, 2)),
    ]
    assert all(p.used for p in build_twin(chart(*values), KNOWN).points)


def test_egfr_comes_from_creatinine_and_equations_are_not_mixed() -> None:
    twin = build_twin(
        chart(
            measured("cr", "2160-0", 1.2, "mg/dL", at(2024)),
            measured("sameday", "98979-8", 70, "mL/min/{1.73_m2}", at(2024)),
            measured("new", "98979-8", 68, "mL/min/{1.73_m2}", at(2025)),
            measured("mdrd", "33914-3", 55, "mL/min/{1.73_m2}", at(2025, 6)),
            measured("race", "48643-1", 75, "mL/min/{1.73_m2}", at(2025, 6)),
        ),
        KNOWN,
    )
    derived = point(twin, "cr", "egfr")
    assert derived.value == pytest.approx(float(ckd_epi_2021_creatinine(1.2, 64.0, False)), rel=1e-3)
    assert "derived:creatinine" in derived.flags and derived.gain > 0
    assert point(twin, "sameday", "egfr").reason == "creatinine-preferred"
    assert point(twin, "new", "egfr").used
    assert point(twin, "mdrd", "egfr").reason == "other-equation"
    assert point(twin, "race", "egfr").reason == "excluded-code"


def test_reported_egfr_is_used_when_there_is_no_creatinine_and_only_one_equation() -> None:
    twin = build_twin(
        chart(
            measured("a", "33914-3", 55, "mL/min/{1.73_m2}", at(2023)),
            measured("b", "33914-3", 52, "mL/min/{1.73_m2}", at(2024)),
            measured("c", "62238-1", 60, "mL/min/{1.73_m2}", at(2025)),
        ),
        KNOWN,
    )
    assert [p.used for p in twin.points] == [True, True, False]


def test_creatinine_without_sex_gives_no_egfr() -> None:
    twin = build_twin(chart(measured("cr", "2160-0", 1.2, "mg/dL", at(2024)), sex="unknown"), KNOWN)
    assert twin.estimate("egfr").basis == "population" and point(twin, "cr", "creatinine").used


def test_bmi_from_weight_and_the_nearest_height_beats_a_reported_one() -> None:
    twin = build_twin(
        chart(
            measured("h", "8302-2", 180, "cm", at(2020)),
            measured("w", "29463-7", 198.416, "[lb_av]", at(2024)),
            measured("b", "39156-5", 35, "kg/m2", at(2024)),
        ),
        KNOWN,
    )
    assert point(twin, "w", "bmi").value == pytest.approx(90 / 1.8**2, rel=1e-4)
    assert point(twin, "b", "bmi").reason == "recomputed"
    assert twin.estimate("bmi").basis == "personal"


def test_a_bound_pulls_less_than_a_value_and_only_to_its_side() -> None:
    """OB-3: "<5" is a bound, not a five."""
    none, bound, exact = (
        build_twin(chart(*m), KNOWN).estimate("uacr")
        for m in (
            (),
            (measured("u", "9318-7", 5, "mg/g", at(2025), comparator="<"),),
            (measured("u", "9318-7", 5, "mg/g", at(2025)),),
        )
    )
    assert bound.mean < none.mean
    assert bound.high - bound.low < none.high - none.low
    low = build_twin(chart(measured("u", "9318-7", 1000, "mg/g", at(2025), comparator="<")), KNOWN).estimate(
        "uacr"
    )
    assert low.mean == pytest.approx(none.mean, rel=1e-2)  # a bound that was clear already says nothing
    assert exact.basis == "personal"


def test_an_outlier_is_turned_down_once_there_is_a_history() -> None:
    history = [measured(f"h{y}", "29463-7", 80, "kg", at(y)) for y in range(2018, 2025)]
    height = measured("h", "8302-2", 180, "cm", at(2018))
    typo = measured("typo", "29463-7", 180, "kg", at(2025))
    twin = build_twin(chart(height, *history, typo), KNOWN)
    assert point(twin, "typo", "bmi").weight < 0.1
    assert twin.estimate("bmi").mean < 27
    alone = build_twin(chart(height, typo), KNOWN)
    assert point(alone, "typo", "bmi").weight == 1


def test_a_second_value_as_far_off_is_a_change_of_the_person() -> None:
    """Kidney function that stays low after falling must not be explained away as two outliers."""
    history = [measured(f"c{y}", "2160-0", 0.9, "mg/dL", at(y)) for y in range(2016, 2024)]
    fall = [
        measured("f1", "2160-0", 3.0, "mg/dL", at(2024, 3)),
        measured("f2", "2160-0", 3.0, "mg/dL", at(2024, 9)),
    ]
    once, twice = (build_twin(chart(*history, *fall[:n]), KNOWN) for n in (1, 2))
    assert point(once, "f1", "egfr").weight < 0.2 and once.estimate("egfr").mean > 70
    assert point(twice, "f2", "egfr").weight == 1 and twice.estimate("egfr").mean < 27
    back = build_twin(chart(*history, fall[0], measured("b", "2160-0", 0.9, "mg/dL", at(2024, 9))), KNOWN)
    assert back.estimate("egfr").mean > 75


def test_readings_of_one_day_are_one_visit() -> None:
    one = build_twin(chart(measured("a", "8480-6", 150, "mm[Hg]", at(2025))), KNOWN)
    two = build_twin(
        chart(*(measured(f"a{i}", "8480-6", 150, "mm[Hg]", at(2025, 1, 1, 10 + i)) for i in range(3))), KNOWN
    )
    i = KNOWN.keys.index("sbp")
    assert one.mean[i] < two.mean[i]
    assert two.covariance[i, i] > 0.8 * one.covariance[i, i]  # far from three independent visits
    gains = [p.gain for p in two.points]
    assert sum(gains) < 1 and len(set(gains)) == 1


def test_other_analytes_become_points() -> None:
    twin = build_twin(
        chart(measured("k", "2823-3", 4.4, "meq/L", at(2025)), measured("a", "1742-6", 30, "U/L", at(2025))),
        KNOWN,
    )
    assert [(p.biomarker, p.value, p.unit) for p in twin.used("potassium")] == [("potassium", 4.4, "mmol/L")]
    assert twin.used("alt")[0].gain == 0


def test_profile_has_facts_with_sources_and_no_assumptions() -> None:
    twin = build_twin(
        chart(problems=(problem("dm", "diabetes", "diabetes-type-2"), problem("mi", "myocardial-infarction", "ascvd")),
              drugs=(drug("s", at(2020), "statin"), drug("l", at(2021), "ace-inhibitor", "bp-lowering"))),
        KNOWN,
    )  # fmt: skip
    p = twin.profile
    assert p.diabetes and p.cvd and p.statin and p.treated_bp
    assert (
        p.smoker is None and p.pregnant is None and p.sex == "male" and p.age == pytest.approx(66.0, abs=0.02)
    )
    assert ("diabetes", "Condition/dm") in p.sources and ("statin", "MedicationRequest/s") in p.sources


@pytest.mark.parametrize(
    ("more", "reason", "state"),
    [
        ({"born": date(2015, 1, 1)}, "minor", False),
        ({"deceased": True}, "deceased", False),
        ({"born": None}, "age unknown", True),
        (
            {"problems": (problem("p", "pregnancy"),), "sex": "female", "born": date(1995, 1, 1)},
            "pregnant",
            True,
        ),
        ({"problems": (problem("h", "hospice"),)}, "end of life", True),
    ],
)
def test_refusals(more: dict, reason: str, state: bool) -> None:
    twin = build_twin(chart(measured("k", "2823-3", 4.4, "mmol/L", at(2025)), **more), KNOWN)
    assert twin.refused == reason
    assert bool(twin.biomarkers) is state
    assert len(twin.points) == 1
    assert any(i.code == "business-rule" for i in twin.issues)


def test_bit_identical_and_read_only() -> None:
    c = chart(
        measured("a", "8480-6", 150, "mm[Hg]", at(2025)), drugs=(drug("l", at(2025, 6), "ace-inhibitor"),)
    )
    left, right = build_twin(c, KNOWN), build_twin(c, KNOWN)
    same(left, right)
    assert left.points == right.points and left.responses == right.responses
    with pytest.raises(ValueError, match="read-only"):
        left.mean[0] = 1.0
    assert "150" not in repr(left)
    assert NOW.tzinfo is UTC


def test_any_kind_of_diabetes_has_the_diabetes_prior() -> None:
    for kind in ("diabetes", "diabetes-type-1", "diabetes-type-2"):
        assert build_twin(chart(problems=(problem("c", kind),)), KNOWN).estimate(
            "hba1c"
        ).mean == pytest.approx(7.4)
    assert build_twin(chart(), KNOWN).estimate("hba1c").mean == pytest.approx(5.4)

"""Plain columns in, risks out: the public interface of the simulation, and trials replayed through it."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from fhir_twin import science
from fhir_twin.errors import InvalidInput

PEOPLE = {
    "age": [55.0, 62.0, 70.0],
    "sex": ["male", "female", "male"],
    "smoker": [True, False, False],
    "sbp": [148.0, 150, 140],
    "total-cholesterol": [230.0, 220, 200],
    "hdl": [45.0, 55, 48],
    "ldl": [150.0, 140, 120],
    "egfr": [80.0, 75, 65],
    "bmi": [28.0, 31, 26],
}


def test_risks_are_those_of_the_equation_and_options_lower_them() -> None:
    found = science.risks(PEOPLE, ("statin:high", [{"intervention": "statin"}, {"intervention": "ccb-dhp"}]))
    assert found.scenarios[0] == "continue" and found.risk.shape == (3, 3, len(found.outcomes))
    given = {k: PEOPLE[k] for k in ("age", "sex", "smoker", "sbp", "hdl", "egfr", "bmi")}
    equation = science.calculate(
        "prevent_base_10y_cvd",
        **given,
        total_cholesterol=PEOPLE["total-cholesterol"],
        diabetes=False,
        bp_treated=False,
        statin=False,
    )
    np.testing.assert_allclose(found.of("cvd")[:, 0], equation.value, rtol=0.01)
    assert (found.of("ascvd")[:, 2] < found.of("ascvd")[:, 1]).any()
    assert (found.of("cvd")[:, 1:] < found.of("cvd")[:, :1]).all() and (found.qaly[:, 1:] > 0).all()
    assert found.refusals == ((), (), ())
    assert (found.low <= found.risk + 1e-12).all() and (found.risk <= found.high + 1e-12).all()


def test_a_batch_is_one_by_one_and_order_does_not_matter() -> None:
    whole = science.risks(PEOPLE, ("statin",), draws=200)
    for i in (2, 0, 1):
        one = science.risks({k: v[i] for k, v in PEOPLE.items()}, ("statin",), draws=200)
        np.testing.assert_array_equal(one.risk[0], whole.risk[i])


def test_refusals_are_told_per_person() -> None:
    people = PEOPLE | {"age": [85.0, 62.0, 16.0], "smoker": [None, True, False]}
    found = science.risks(people, draws=200)
    assert np.isnan(found.of("cvd")[[0, 2], 0]).all() and found.of("cvd")[1, 0] > 0
    assert any("age must be at most 79" in r or "smoker is not known" in r for r in found.refusals[0])
    assert found.refusals[2]


@pytest.mark.parametrize(
    ("option", "outcome", "years", "groups", "low", "high"),
    [
        (science.lowering("ldl", 38.67), "ascvd", 4.8, (), 0.76, 0.80),  # CTT 2010
        (science.lowering("ldl", 38.67), "death", 4.8, (), 0.87, 0.93),
        (science.lowering("sbp", 5), "cvd", 4.0, (), 0.88, 0.92),  # BPLTTC 2021
        (science.lowering("sbp", 5), "stroke", 4.0, (), 0.84, 0.90),
        (science.lowering("sbp", 14.8), "cvd", 3.26, (), 0.64, 0.89),  # SPRINT 2015, not a source
        ("sglt2-inhibitor", "heart-failure", 3.1, ("diabetes", "ascvd"), 0.50, 0.85),  # EMPA-REG 2015
        ("glp1-ra", "mi", 3.8, ("diabetes", "ascvd"), 0.78, 0.97),  # LEADER 2016
        ("glp1-ra", "death", 3.8, ("diabetes", "ascvd"), 0.74, 0.97),
        ("semaglutide-weight", "ascvd", 3.3, ("ascvd",), 0.72, 0.90),  # SELECT 2023
    ],
)
def test_trials(option, outcome, years, groups, low, high) -> None:  # type: ignore[no-untyped-def]
    people = PEOPLE | ({"groups": set(groups)} if groups else {})
    ratio, below, above = science.hazard_ratio(people, option, outcome, years=years)
    assert low <= ratio <= high and below < ratio < above


def test_diabetes_prevention_program() -> None:
    people = PEOPLE | {"hba1c": 6.0, "fasting-glucose": 107.0, "groups": {"prediabetes"}, "age": 51.0}
    for option, low, high in (("metformin", 0.57, 0.83), ("weight-loss", 0.34, 0.52)):
        ratio, *_ = science.hazard_ratio(people, option, "diabetes", years=2.8)
        assert low <= ratio <= high


def test_what_does_not_fit_is_named() -> None:
    for people, words in (
        ({"pressure": 1.0}, "pressure"),
        (PEOPLE | {"sbp": [1.0, 2.0]}, "length"),
        (PEOPLE | {"sbp": -3.0}, "positive"),
    ):
        with pytest.raises(InvalidInput, match=words):
            science.risks(people)
    with pytest.raises(InvalidInput, match="unknown intervention"):
        science.risks(PEOPLE, ("snake-oil",))
    with pytest.raises(InvalidInput, match="horizon"):
        science.risks(PEOPLE, horizon_years=99)
    with pytest.raises(InvalidInput, match="nothing is known"):
        science.hazard_ratio(PEOPLE, "statin", "diabetes", years=3)
    with pytest.raises(InvalidInput, match="say which, of sbp"):
        science.forecast([[0.0]], [[120.0]], {}, [1.0])


def test_forecast_takes_the_biomarker_either_way() -> None:
    times, values, who = [[0.0, 1, 2]], [[130.0, 140, 150]], {"age": [50.0], "sex": ["male"]}
    one = science.forecast(times, values, who, [3.0], biomarkers="sbp")
    two = science.forecast(times, values, who | {"biomarkers": ("sbp",)}, [3.0])
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    assert one.quantiles.shape == (1, 1, 1, 3) and one.quantiles[0, 0, 0, 1] == pytest.approx(
        one.mean[0, 0, 0]
    )


def test_the_interface_loads_no_server_and_no_learning_library() -> None:
    heavy = "{'flask', 'sklearn', 'pyspark', 'requests', 'numba'}"
    code = f"import sys, fhir_twin.science; sys.exit(sorted({heavy} & set(sys.modules)) or None)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_shorter_horizons_take_their_share() -> None:
    five = science.risks(PEOPLE, horizon_years=5.0, draws=200)
    ten = science.risks(PEOPLE, draws=200)
    assert five.years[five.outcomes.index("cvd")] == 5.0
    share = -np.log1p(-five.of("cvd")) / -np.log1p(-ten.of("cvd"))
    assert ((share > 0.3) & (share < 0.5)).all()  # hazards grow with age: less than half in the first half
    assert math.isclose(float(five.qaly[0, 0]), 0.0)


def test_what_the_answer_hangs_on() -> None:
    """Less is left to measure where the values are known better; without an absolute risk there is no answer."""
    loose = science.hangs_on(PEOPLE, "statin:high", spread=0.15)
    tight = science.hangs_on(PEOPLE, "statin:high", spread=0.01)
    for (swings, worth), (less, little) in zip(loose, tight, strict=True):
        assert swings[0].swing >= swings[-1].swing and swings[0].swing > less[0].swing > 0
        find = {row.input: row for row in worth}, {row.input: row for row in little}
        assert find[0]["ldl"].explained > find[1]["ldl"].explained
    assert science.hangs_on(PEOPLE | {"groups": {"ascvd"}}, "statin")[0] == ((), ())


@pytest.mark.parametrize(("words", "word"), [("F", "female"), (" Male", "male"), ("m", "male")])
def test_a_sex_is_read_as_the_equations_read_it(words: str, word: str) -> None:
    left, right = (science.risks(PEOPLE | {"sex": s}, ("statin",), draws=20) for s in (words, word))
    assert left.outcomes == right.outcomes
    np.testing.assert_array_equal(left.risk, right.risk)
    np.testing.assert_array_equal(left.qaly, right.qaly)


def test_one_group_as_a_word_is_that_group() -> None:
    left, right = (science.risks(PEOPLE | {"groups": g}, draws=20) for g in ("diabetes", {"diabetes"}))
    np.testing.assert_array_equal(left.risk, right.risk)
    assert (left.of("cvd") > science.risks(PEOPLE | {"groups": [None] * 3}, draws=20).of("cvd")).all()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("smoker", "no"), ("smoker", 2), ("pregnant", "x"), ("age", "x"), ("sbp", "x"), ("sbp", [[1, 2]]),
        ("sbp", np.inf), ("sbp", 0), ("height", 0), ("height", "x"), ("sex", 1), ("groups", 5),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_read_is_named(column: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=column):
        science.risks(PEOPLE | {column: value}, draws=20)


def test_two_lowerings_of_one_biomarker_are_two() -> None:
    ten, forty = science.lowering("ldl", 10.0), science.lowering("ldl", 40.0)
    both = science.risks(PEOPLE, (ten, forty, ten), draws=20)
    alone = science.risks(PEOPLE, (ten,), draws=20)
    assert (both.of("ascvd")[:, 2] < both.of("ascvd")[:, 1]).all()
    np.testing.assert_array_equal(both.of("ascvd")[:, 1], alone.of("ascvd")[:, 1])
    np.testing.assert_array_equal(both.of("ascvd")[:, 3], both.of("ascvd")[:, 1])


def test_what_would_silently_do_nothing_is_refused() -> None:
    """A made-up treatment nobody knows the effect of, a stop of what is not taken, an effect without a ratio."""
    for key in ("egfr", "no-such-thing"):
        with pytest.raises(InvalidInput, match=key):
            science.risks(PEOPLE, (science.lowering(key, 1.0),), draws=20)
    stop = [{"intervention": "statin", "stop": True}]
    with pytest.raises(InvalidInput, match="statin is not taken"):
        science.risks(PEOPLE, (stop,), draws=20)
    taken = science.risks(PEOPLE | {"classes": "statin"}, (stop,), draws=20)
    assert (taken.of("cvd")[:, 1] > taken.of("cvd")[:, 0]).all()
    with pytest.raises(InvalidInput, match="nothing is known of ascvd"):
        science.hazard_ratio(PEOPLE, "influenza-vaccination", "ascvd", years=4.0)
    with pytest.raises(InvalidInput, match="by must be"):
        science.lowering("ldl", float("nan"))


@pytest.mark.parametrize("draws", [0, 1, -2, 1.5, None])
def test_draws_come_in_pairs(draws: object) -> None:
    with pytest.raises(InvalidInput, match="draws"):
        science.risks(PEOPLE, draws=draws)


def test_settings_of_the_science_that_cannot_be_read_are_named() -> None:
    with pytest.raises(InvalidInput, match="overlay"):
        science.risks(PEOPLE, overlay="/no/such/folder")
    with pytest.raises(InvalidInput, match="spread"):
        science.hangs_on(PEOPLE, "statin", spread=-1.0)
    with pytest.raises(InvalidInput, match="options"):
        science.risks(PEOPLE, (5,))
    with pytest.raises(InvalidInput, match="horizon"):
        science.risks(PEOPLE, horizon_years="x")


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_ends_of_the_published_ranges_belong_to_them(end: str) -> None:
    """exp(log(20)) is not 20: a value at the end of a range is inside, and an eGFR of 60 is not below 60."""
    low = {"age": 30, "sbp": 90, "total-cholesterol": 130, "hdl": 20, "bmi": 18.5, "egfr": 60, "uacr": 0.1}
    high = {
        "age": 79,
        "sbp": 200,
        "total-cholesterol": 320,
        "hdl": 100,
        "bmi": 39.999,
        "egfr": 150,
        "uacr": 25000,
    }
    found = science.risks({"sex": "female", "smoker": False} | (low if end == "low" else high), draws=20)
    assert found.refusals == ((),)
    assert 0.0 < found.of("cvd")[0, 0] < 1.0
    assert "kidney-failure" not in found.outcomes

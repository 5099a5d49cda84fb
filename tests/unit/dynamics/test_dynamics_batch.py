"""The compiled filter against the numpy one; the person's own spread; intervals learned from histories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.dynamics import batch, compiled, fast
from fhir_twin.dynamics.beliefs import CAP, Trace
from fhir_twin.dynamics.forecast import forecast
from fhir_twin.dynamics.intervals import own_scale, quantile_scores, scaled
from fhir_twin.dynamics.kalman import Belief, Filtered, Loading, Robust, Visits, kalman_filter
from fhir_twin.dynamics.learn import learn_intervals, one_step
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.errors import InvalidInput
from mappings import Source

KNOWN = load_biomarkers(Source())


def _task(people: int) -> tuple[Belief, Dynamics, np.ndarray, Visits]:
    """Every part at once: levels (one walks), correlated fluctuations, two varying loadings, missing values and
    visits, a few wild values in a row."""
    rng = np.random.default_rng(5)
    k, m, v = 3, 8, 12
    root = rng.normal(size=(k, k))
    stationary = np.zeros((m, m))
    stationary[3:6, 3:6] = 0.1 * (root @ root.T + 3 * np.eye(k))
    dynamics = Dynamics(
        np.array([0, 0, 0, 0.5, 0.9, 0.5, 0, 0.0]), stationary, np.array([0.02, 0, 0, 0, 0, 0, 0, 0.0])
    )
    design = np.zeros((k, m))
    design[:, :3] = design[:, 3:6] = np.eye(k)
    design[1, 2] = 0.5
    covariance = np.tile(0.5 * np.eye(m), (people, 1, 1))
    covariance[:, 3:6, 3:6] = stationary[3:6, 3:6]
    start = Belief(
        rng.normal(size=(people, m)), covariance, np.zeros(people), np.zeros((people, k), dtype=np.int64)
    )
    times = np.sort(rng.uniform(0, 5, (people, v)), axis=1)
    times[: people // 9, 8:] = np.nan
    values = 2 * rng.normal(size=(people, v, k))
    values[rng.uniform(size=values.shape) < 0.05] *= 15
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    values[np.isnan(times)] = np.nan
    loads = (Loading(0, 6, rng.uniform(size=(people, v))), Loading(2, 7, rng.uniform(size=(people, v))))
    return start, dynamics, design, Visits(times, values, np.array([0.3, 0.2, 0.4]), None, loads)


def _same(left: Filtered, right: Filtered) -> None:
    for name in ("mean", "covariance", "time", "seen", "doubt"):
        np.testing.assert_allclose(
            getattr(left.belief, name), getattr(right.belief, name), rtol=1e-11, atol=1e-11, err_msg=name
        )
    np.testing.assert_allclose(left.log_likelihood, right.log_likelihood, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(left.squares, right.squares, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("robust", [None, Robust()], ids=["plain", "robust"])
@pytest.mark.parametrize("people", [512, 641])
def test_compiled_and_numpy_agree(
    robust: Robust | None, people: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compiled.compiled() is not None, "numba is a dependency"
    monkeypatch.setattr(batch, "WORK", 0.0)
    task = _task(people)
    quick = kalman_filter(*task, robust=robust)
    monkeypatch.setattr(batch, "WORK", float("inf"))
    slow = kalman_filter(*task, robust=robust)
    _same(quick, slow)
    if robust is not None:
        assert (slow.belief.doubt != 0).any()  # the gate had something to do


@pytest.mark.parametrize("robust", [None, Robust()], ids=["plain", "robust"])
@pytest.mark.parametrize("people", [1, 2, 5, 40])
@pytest.mark.parametrize("trace", [False, True])
def test_few_people_as_machine_code_bit_for_bit(
    robust: Robust | None, people: int, trace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, dynamics, design, visits = _task(600)
    design = design.copy()
    design[0, 3] = 0.0  # a biomarker that has no fluctuation of its own
    start = Belief(start.mean[:people], start.covariance[:people], start.time[:people], start.seen[:people])
    noise = np.broadcast_to(visits.noise, visits.values.shape)[:people] * 1.1
    loads = tuple(Loading(x.row, x.column, x.values[:people]) for x in visits.loadings)
    first = Visits(visits.times[:people, :5], visits.values[:people, :5], noise[:, :5], None,
                   tuple(Loading(x.row, x.column, x.values[:, :5]) for x in loads))  # fmt: skip
    rest = Visits(visits.times[:people, 5:], visits.values[:people, 5:], noise[:, 5:], None,
                  tuple(Loading(x.row, x.column, x.values[:, 5:]) for x in loads))  # fmt: skip

    def both() -> list[Filtered]:
        half = kalman_filter(start, dynamics, design, first, robust=robust, trace=trace)
        return [half, kalman_filter(half.belief, dynamics, design, rest, robust=robust, trace=trace)]

    monkeypatch.setattr(fast, "_loaded", {})
    before = start.mean.copy(), start.covariance.copy()
    slow = both()
    assert np.array_equal(start.mean, before[0])  # what is given is not changed
    assert np.array_equal(start.covariance, before[1])
    assert fast.load(), "numba is a dependency"
    for left, right in zip(slow, both(), strict=True):
        for name in ("mean", "covariance", "time", "seen", "doubt"):
            assert np.array_equal(getattr(left.belief, name), getattr(right.belief, name)), name
        assert np.array_equal(left.log_likelihood, right.log_likelihood)
        assert np.array_equal(left.squares, right.squares)
        assert (left.trace is not None) is trace
        for name in Trace.__slots__ if trace else ():
            assert np.array_equal(getattr(left.trace, name), getattr(right.trace, name), equal_nan=True), name


@pytest.mark.parametrize("machine_code", [False, True], ids=["numpy", "machine-code"])
def test_a_confirmed_change_opens_a_level_that_stands_alone(
    machine_code: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One constant state seen as it is: the second far value z has gain (P + z^2) / (P + z^2 + R), by hand."""
    monkeypatch.setattr(fast, "_loaded", {})
    assert not machine_code or fast.load()
    p, r, rule = 0.01, 0.04, Robust()
    one = Belief(
        np.zeros((1, 1)), np.full((1, 1, 1), p), np.zeros(1), np.ones((1, 1), dtype=np.int64), np.ones((1, 1))
    )
    dynamics = Dynamics(np.zeros(1), np.zeros((1, 1)), np.zeros(1))
    visits = Visits(np.array([[1.0]]), np.array([[[3.0]]]), np.array([r]))
    done = kalman_filter(one, dynamics, np.eye(1), visits, robust=rule)
    opened = p + 3.0**2
    gain = opened / (opened + r)
    assert done.belief.mean[0, 0] == pytest.approx(3.0 * gain, rel=1e-12)
    assert done.belief.covariance[0, 0, 0] == pytest.approx(opened * (1.0 - gain), rel=1e-9)


def test_bounds_and_traces_go_through_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "WORK", 0.0)
    start, dynamics, design, visits = _task(600)
    bound = np.zeros(visits.values.shape, dtype=np.int8)
    bound[:50, 3, 1] = -1
    both = kalman_filter(
        start, dynamics, design, Visits(visits.times, visits.values, visits.noise, bound, visits.loadings)
    )
    exact = kalman_filter(start, dynamics, design, visits)
    assert np.abs(both.belief.mean[:50] - exact.belief.mean[:50]).max() > 1e-3
    np.testing.assert_allclose(both.belief.mean[50:], exact.belief.mean[50:], atol=1e-11)
    assert kalman_filter(start, dynamics, design, visits, trace=True).trace is not None


def test_the_switch_turns_the_compiler_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.SWITCH, "1")
    assert compiled.compiled.__wrapped__() is None
    monkeypatch.setattr(batch, "WORK", 0.0)
    monkeypatch.setattr(batch, "compiled", lambda: None)
    task = _task(520)
    _same(kalman_filter(*task), kalman_filter(*task, trace=True))


def test_own_scale_is_the_posterior_of_a_variance() -> None:
    """nu = 6; 4 errors with squares 16 in all: (6 + 16)/(6 + 4); nobody differs with infinite nu."""
    scale, df = own_scale(np.array([16.0, 0.0]), np.array([4, 0]), 6.0)
    np.testing.assert_allclose(scale, [np.sqrt(2.2), 1.0])
    np.testing.assert_allclose(df, [10, 6])
    np.testing.assert_allclose(own_scale(np.array([16.0]), np.array([4]), np.inf)[0], 1.0)
    found = quantile_scores(
        {}, "sbp", np.array([[50.0], [50.0]]), ["home"] * 2, (0.1, 0.9), np.array([6.0, np.inf])
    )
    np.testing.assert_allclose(found[:, 0], [student.ppf((0.1, 0.9), 6), norm.ppf((0.1, 0.9))], rtol=1e-9)


def test_scaled_uses_only_what_was_before() -> None:
    errors = np.array([np.nan, 2.0, 2.0, np.nan, 5.0])
    expected = [np.nan, 2.0, 2.0 / np.sqrt(10 / 7), np.nan, 5.0 / np.sqrt(14 / 8)]
    np.testing.assert_allclose(scaled(errors, 6.0), expected)
    assert scaled(np.array([100.0, 1.0]), 6.0)[1] == pytest.approx(
        1 / np.sqrt((6 + CAP) / 7)
    )  # one slip is capped


def _people(count: int, noise: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 8, (count, 10)), axis=1)
    level = np.log(125) + 0.1 * rng.standard_normal((count, 1))
    return times, np.exp(level + noise * rng.standard_normal(times.shape))


def test_a_restless_person_gets_wider_and_a_steady_one_narrower_intervals() -> None:
    width = {}
    for noise in (0.02, 0.08, 0.16):
        times, values = _people(200, noise)
        answer = forecast(times, values, {"age": 60.0}, times[:, -1:] + 1, biomarkers=("sbp",), known=KNOWN)
        q = np.log(answer.quantiles[:, 0, 0])
        width[noise] = float((q[:, 2] - q[:, 0]).mean())
    assert width[0.02] < 0.85 * width[0.08] < 0.75 * width[0.16]


def test_learned_intervals_hold_where_the_constants_do_not() -> None:
    """A clinic three times as noisy as the constants say: tables of half of the people make the others' 80 % hold."""
    times, values = _people(1200, 0.2)
    setting = {"age": 60.0, "setting": "office"}
    site = learn_intervals(times[:600], values[:600], setting, biomarkers=("sbp",), known=KNOWN)
    assert ("sbp", "middle", "office") in site.calibration and ("hdl", "old", "any") in site.calibration
    held = {}
    for name, known in (("before", KNOWN), ("after", site)):
        answer = forecast(
            times[600:, :-1], values[600:, :-1], setting, times[600:, -1:], biomarkers=("sbp",), known=known
        )
        low, high = answer.quantiles[:, 0, 0, 0], answer.quantiles[:, 0, 0, 2]
        held[name] = float(((values[600:, -1] >= low) & (values[600:, -1] <= high)).mean())
    assert held["before"] < 0.74 and 0.76 <= held["after"] <= 0.84


def test_one_step_leaves_out_first_values_and_gaps() -> None:
    times = np.array([[0.0, 1.0, 2.0, np.nan]])
    values = np.array([[np.nan, 120.0, 150.0, np.nan]])
    found = one_step(times, values, {"age": 50.0}, biomarkers=("sbp",), known=KNOWN)
    assert np.isnan(found.z[0, :, 0]).tolist() == [True, True, False, True] and found.z[0, 2, 0] > 1
    assert found.age[0, 2] == 52.0


def test_padding_warns_of_nothing_and_changes_nothing() -> None:
    times, values = np.array([[0.0, 1.0]]), np.array([[120.0, 130.0]])
    padded = np.full((1, 5), np.nan)
    padded[:, :2] = times
    more = np.full((1, 5), np.nan)
    more[:, :2] = values
    plain = forecast(times, values, {"age": 50.0}, [3.0], biomarkers=("sbp",), known=KNOWN)
    wide = forecast(padded, more, {"age": 50.0}, [3.0], biomarkers=("sbp",), known=KNOWN)
    np.testing.assert_allclose(plain.quantiles, wide.quantiles, rtol=1e-12)


@pytest.mark.parametrize(
    ("times", "values", "at", "words"),
    [
        ([[0.0, 1.0]], [[120.0, np.inf]], [2.0], "finite"),
        ([[0.0, np.inf]], [[120.0, 120.0]], [2.0], "finite"),
        ([[0.0, 1.0]], [[120.0, -1.0]], [2.0], "positive"),
        ([[1.0, 0.0]], [[120.0, 120.0]], [2.0], "rise"),
        ([[0.0, 1.0]], [[120.0, 120.0]], [0.5], "before the last visit"),
    ],
)
def test_histories_that_cannot_be_are_named(
    times: list[list[float]], values: list[list[float]], at: list[float], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        forecast(times, values, {}, at, biomarkers=("sbp",), known=KNOWN)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_nobody_and_no_visits_are_no_error(shape: tuple[int, int]) -> None:
    answer = forecast(np.zeros(shape), np.zeros(shape), {}, [1.0], biomarkers=("sbp",), known=KNOWN)
    assert answer.quantiles.shape == (shape[0], 1, 1, 3) and not np.isnan(answer.quantiles).any()


@pytest.mark.parametrize("key", ["sbp", "glucose", "hdl", "egfr"])
def test_without_a_value_the_interval_is_the_prior_and_a_value_narrows_it(key: str) -> None:
    """Tables and own spread speak of people with a history; more of it makes the usual value surer."""
    widths = []
    for visits in range(4):
        times = np.linspace(0, 2, 3)[None, :visits]
        values = np.full((1, visits), {"sbp": 140.0, "glucose": 110.0, "hdl": 48.0, "egfr": 70.0}[key])
        who = {"age": 70.0, "sex": "male"}
        usual, seen = (
            forecast(times, values, who, [3.0], biomarkers=(key,), known=KNOWN, of=of)
            for of in ("usual", "measurement")
        )
        width = np.log(usual.quantiles[0, 0, 0, 2] / usual.quantiles[0, 0, 0, 0])
        widths.append(width)
        if visits == 0:
            assert np.log(seen.quantiles[0, 0, 0, 2] / seen.quantiles[0, 0, 0, 0]) > width
    assert np.all(np.diff(widths) < 0)


def test_shapes_that_do_not_go_together_are_named() -> None:
    """Visits of more people than beliefs were dropped without a word."""
    start, dynamics, design, visits = _task(20)
    fewer = Belief(start.mean[:9], start.covariance[:9], start.time[:9], start.seen[:9])
    with pytest.raises(InvalidInput, match=r"visits: times .* 9 people"):
        kalman_filter(fewer, dynamics, design, visits)
    with pytest.raises(InvalidInput, match="design"):
        kalman_filter(start, dynamics, design[:, :-1], visits)
    wide = Visits(visits.times, np.ones((20, 12, 4)), visits.noise, None, visits.loadings)
    with pytest.raises(InvalidInput, match="values"):
        kalman_filter(start, dynamics, design, wide)

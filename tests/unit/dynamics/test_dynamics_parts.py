"""The small parts of the physics, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.dynamics.censoring import truncated_moments
from fhir_twin.dynamics.equations.ckd_epi import ckd_epi_2021_creatinine, ckd_epi_2021_creatinine_cystatin
from fhir_twin.dynamics.forecast import forecast, subset
from fhir_twin.dynamics.intervals import GRID, alarms, coverage, interpolate, quantile_scores
from fhir_twin.dynamics.layout import build_layout, term_exposure
from fhir_twin.dynamics.smoother import smooth
from fhir_twin.dynamics.state_space import Dynamics, exposure, propagate
from fhir_twin.errors import InvalidInput
from fhir_twin.model.twin import TreatmentTerm
from mappings import Source

KNOWN = load_biomarkers(Source())


@given(st.floats(-30, 30), st.sampled_from([-1, 1]))
def test_truncated_moments_are_those_of_scipy(cut: float, side: int) -> None:
    mean, variance = truncated_moments(np.array([cut]), np.array([side], dtype=np.int8))
    if abs(cut) < 8:  # beyond, scipy itself loses the variance to cancellation
        oracle = stats.truncnorm(cut, np.inf) if side > 0 else stats.truncnorm(-np.inf, cut)
        assert mean[0] == pytest.approx(oracle.mean(), rel=1e-7, abs=1e-9)
        assert variance[0] == pytest.approx(oracle.var(), rel=1e-5, abs=1e-9)
    assert 0.0 <= variance[0] <= 1.0 and (mean[0] - cut) * side >= -1e-9


def test_no_bound_changes_nothing() -> None:
    mean, variance = truncated_moments(np.array([1.7, np.nan]), np.zeros(2, dtype=np.int8))
    assert mean.tolist() == [0, 0] and variance.tolist() == [1, 1]


def test_ornstein_uhlenbeck_forgets_and_becomes_stationary() -> None:
    dynamics = Dynamics(np.array([0.5]), np.array([[2.0]]), np.zeros(1))
    mean, covariance = propagate(dynamics, np.array([3.0]), np.array([[0.0]]), np.array(2.0))
    assert mean[0] == pytest.approx(3.0 * np.exp(-1.0))
    assert covariance[0, 0] == pytest.approx(2.0 * (1 - np.exp(-2.0)))
    mean, covariance = propagate(dynamics, np.array([3.0]), np.array([[9.0]]), np.array(1e3))
    assert mean[0] == pytest.approx(0.0) and covariance[0, 0] == pytest.approx(2.0)


def test_only_fluctuations_are_stationary_and_only_levels_walk() -> None:
    with pytest.raises(ValueError, match="stationary"):
        Dynamics(np.zeros(1), np.ones((1, 1)), np.zeros(1))
    with pytest.raises(ValueError, match="walk"):
        Dynamics(np.ones(1), np.ones((1, 1)), np.ones(1))
    impossible = Dynamics(np.array([0.01, 10.0]), np.array([[1.0, 0.99], [0.99, 1.0]]), np.zeros(2))
    with pytest.raises(ValueError, match="fit together"):
        impossible.check()


def test_exposure_rises_after_the_start_and_falls_after_the_end() -> None:
    np.testing.assert_allclose(exposure(np.array([-1.0, 0.0, 0.1, 50.0]), 0.1), [0, 0, 1 - np.exp(-1), 1])
    term = TreatmentTerm("sbp", "arb", 1.0, 3.0, 0.1, -0.06, 0.03)
    x = term_exposure(term, np.array([0.5, 1.0, 2.0, 3.0, 3.1, 9.0]))
    assert x[0] == x[1] == 0 and x[2] == pytest.approx(1, abs=1e-4)
    assert x[3] == pytest.approx(1, abs=1e-8) and x[4] == pytest.approx(np.exp(-1), abs=1e-6) and x[5] < 1e-9
    before = TreatmentTerm("sbp", "arb", -np.inf, 3.0, 0.1, -0.06, 0.03)
    assert term_exposure(before, np.array([-5.0, 2.0])).tolist() == [1, 1]


def test_layout_sees_slopes_and_responses_through_time() -> None:
    term = TreatmentTerm("sbp", "arb", 1.0, np.inf, 0.1, -0.06, 0.03)
    layout = build_layout(KNOWN, (term,))
    load = layout.loadings(np.array([0.0, 5.0]), reference=2.0)
    slope, arb = layout.names.index("egfr:slope"), layout.names.index("sbp:arb")
    egfr, sbp = KNOWN.keys.index("egfr"), KNOWN.keys.index("sbp")
    assert load[:, egfr, slope].tolist() == [-2.0, 3.0]
    assert load[0, sbp, arb] == 0 and load[1, sbp, arb] == pytest.approx(1)
    assert load[1, egfr].sum() == pytest.approx(1 + 3.0)  # level and slope, nothing of the others
    assert build_layout(KNOWN) is build_layout(KNOWN)


def test_smoother_equals_conditioning_on_everything() -> None:
    """A level and a fluctuation seen at five times; the past state given all values, in one Gaussian step."""
    rng = np.random.default_rng(1)
    dynamics = Dynamics(np.array([0.0, 0.8]), np.diag([0.0, 1.5]), np.array([0.2, 0.0]))
    start, noise, h = np.diag([2.0, 1.5]), 0.4, np.ones(2)
    times, y = np.sort(rng.uniform(0, 4, 5)), rng.normal(size=5)
    means, covariances, m, p, last = [], [], np.zeros(2), start, 0.0
    for t, value in zip(times, y, strict=True):
        m, p = propagate(dynamics, m, p, np.array(t - last))
        k = p @ h / (h @ p @ h + noise)
        m, p, last = m + k * (value - h @ m), p - np.outer(k, h @ p), t
        means.append(m)
        covariances.append(p)
    found, spread = smooth(dynamics, times, means, covariances)
    joint = np.zeros((10, 10))
    for i in range(5):
        for j in range(i, 5):
            f = np.exp(-dynamics.rate * (times[j] - times[i]))
            own = propagate(dynamics, np.zeros(2), start, np.array(times[i]))[1]
            joint[2 * j : 2 * j + 2, 2 * i : 2 * i + 2] = f[:, None] * own
            joint[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = (f[:, None] * own).T
    big = np.kron(np.eye(5), h[None])
    gain = joint @ big.T @ np.linalg.inv(big @ joint @ big.T + noise * np.eye(5))
    exact, covariance = gain @ y, joint - gain @ big @ joint
    np.testing.assert_allclose(np.concatenate(found), exact, atol=1e-9)
    for i in range(5):
        np.testing.assert_allclose(spread[i], covariance[2 * i : 2 * i + 2, 2 * i : 2 * i + 2], atol=1e-9)


def test_ckd_epi_2021_published_example_and_bad_input() -> None:
    assert float(ckd_epi_2021_creatinine(1.2, 55, False)) == pytest.approx(71, abs=0.5)
    both = ckd_epi_2021_creatinine([0.7, 0.7 * (1 - 1e-9)], 50, True)
    assert both[0] == pytest.approx(both[1])  # continuous at the knot
    assert np.isnan(ckd_epi_2021_creatinine([-1.0, 0.0, np.nan], 50, True)).all()
    alone, joint = (
        ckd_epi_2021_creatinine(1.5, 60, True),
        ckd_epi_2021_creatinine_cystatin(1.5, 2.0, 60, True),
    )
    assert joint < alone  # a high cystatin C lowers it


def test_calibrated_scores_fall_back_cell_by_cell() -> None:
    row = tuple(2.0 * stats.norm.ppf(GRID))
    tables = {("sbp", "old", "any"): row}
    scores = quantile_scores(
        tables, "sbp", np.array([[70.0], [40.0], [np.nan]]), ["home"] * 3, (0.1, 0.5, 0.9)
    )
    np.testing.assert_allclose(scores[0, 0], [-2.563, 0.0, 2.563], atol=1e-3)
    np.testing.assert_allclose(scores[1:, 0], [[-1.2816, 0.0, 1.2816]] * 2, atol=1e-3)
    tail = interpolate(row, (0.001, 0.999))
    assert tail[0] < row[0] and tail[1] > row[-1]


def test_alarms_ring_outside_76_to_84_but_not_by_chance() -> None:
    held = {"all": (0.70, 1000), "few": (0.5, 4), "fine": (0.79, 1000), "wide": (0.90, 1000)}
    assert alarms(held) == ("all", "wide")
    assert coverage(np.zeros(3), np.ones(3), np.array([0.5, 2.0, np.nan]), ["a"] * 3) == {"a": (0.5, 2)}


def test_forecast_names_what_does_not_fit() -> None:
    good = {"times": [[0.0, 1.0]], "values": [[120.0, 130.0]], "covariates": {}, "at": [2.0]}

    def ask(**change: object) -> None:
        forecast(**(good | change), biomarkers=("sbp",), known=KNOWN)  # type: ignore[arg-type]

    ask()
    for change, words in (
        ({"times": [[1.0, 0.0]]}, "times"),
        ({"values": [[120.0]]}, "values"),
        ({"values": [[120.0, -1.0]]}, "positive"),
        ({"at": [0.5]}, "at"),
        ({"covariates": {"age": [1, 2]}}, "age"),
    ):
        with pytest.raises(InvalidInput, match=words):
            ask(**change)
    with pytest.raises(InvalidInput, match="not modelled"):
        forecast([[0.0]], [[1.0]], {}, [1.0], biomarkers=("karma",), known=KNOWN)


def test_forecast_does_not_depend_on_the_clock_or_on_the_others() -> None:
    rng = np.random.default_rng(6)
    times, values = np.sort(rng.uniform(0, 5, (40, 6)), axis=1), np.exp(rng.normal(4.8, 0.1, (40, 6)))
    ages, sexes = rng.uniform(30, 80, 40), ["female", "male"] * 20

    def run(shift: float, who: slice):
        people = {"age": ages[who] - shift, "sex": sexes[who]}
        return forecast(
            times[who] + shift, values[who], people, [6.0 + shift], biomarkers=("sbp",), known=KNOWN
        )

    everybody, shifted, one = run(0, slice(None)), run(2000.0, slice(None)), run(0, slice(7, 8))
    np.testing.assert_allclose(everybody.quantiles, shifted.quantiles, rtol=1e-8)
    np.testing.assert_allclose(everybody.quantiles[7], one.quantiles[0], rtol=1e-12)


def test_forecast_without_history_is_the_population_and_unknown_covariates_widen_it() -> None:
    empty = np.zeros((1, 0))
    known = forecast(empty, empty, {"age": 30, "sex": "female"}, [1.0], biomarkers=("sbp",), known=KNOWN)
    unknown = forecast(empty, empty, {}, [1.0], biomarkers=("sbp",), known=KNOWN)
    assert known.mean[0, 0, 0] == pytest.approx(109, abs=3)
    assert unknown.log_sd[0, 0, 0] > known.log_sd[0, 0, 0]


def test_flat_prior_believes_the_first_value() -> None:
    flat = forecast([[0.0]], [[310.0]], {}, [0.1], biomarkers=("bmi",), known=KNOWN, prior="flat")
    assert flat.mean[0, 0, 0] == pytest.approx(310, rel=0.01)


def test_a_subset_is_an_exact_marginal() -> None:
    """Forecasting SBP alone equals forecasting it with biomarkers that were never measured."""
    times, values = np.array([[0.0, 1.0, 2.0]]), np.array([[130.0, 140.0, 150.0]])
    alone = forecast(times, values, {}, [3.0], biomarkers=("sbp",), known=KNOWN)
    wide = np.full((1, 3, 3), np.nan)
    wide[0, :, 0] = values
    joint = forecast(times, wide, {}, [3.0], biomarkers=("sbp", "dbp", "egfr"), known=KNOWN)
    np.testing.assert_allclose(joint.quantiles[0, 0, 0], alone.quantiles[0, 0, 0], rtol=1e-10)
    assert subset(KNOWN, ("dbp",)).level_correlation.shape == (1, 1)


def test_weight_and_creatinine_are_forecast_though_the_state_has_bmi_and_egfr() -> None:
    assert {m.key for m in KNOWN.others} >= {"weight", "creatinine", "glucose"}
    values = np.array([[[80.0, 130.0, 1.0], [81.0, 128.0, 1.1]]])
    answer = forecast(
        [[0.0, 1.0]], values, {}, [1.5], biomarkers=("weight", "sbp", "creatinine"), known=KNOWN
    )
    assert 79 < answer.mean[0, 0, 0] < 82 and 0.95 < answer.mean[0, 0, 2] < 1.15
    low, high = answer.quantiles[0, 0, 0, [0, 2]]
    assert 3 < high - low < 15

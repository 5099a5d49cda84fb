"""Hazards and effects: closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.dynamics import effects, hazards


@given(st.floats(1e-6, 0.999))
def test_risk_and_hazard_are_inverse(p: float) -> None:
    assert float(hazards.risk(hazards.cumulative_hazard(np.array(p)))) == pytest.approx(p, rel=1e-12)


@given(st.floats(-0.05, 0.2), st.floats(1, 30))
def test_time_weights_are_shares_of_a_gompertz_integral(rate: float, horizon: float) -> None:
    edges = np.linspace(0.0, horizon, 7)
    weights = hazards.time_weights(edges, rate)
    assert weights.sum() == pytest.approx(1.0)
    if abs(rate) > 1e-6:
        first = math.expm1(rate * edges[1]) / math.expm1(rate * horizon)
        assert weights[0] == pytest.approx(first, rel=1e-6)


def test_growth_is_the_log_slope_of_the_hazard() -> None:
    p = np.array([0.1])
    later = hazards.risk(hazards.cumulative_hazard(p) * math.exp(0.08))
    assert float(hazards.growth(p, later, 1.0)[0]) == pytest.approx(0.08)


@given(st.floats(0.001, 0.99), st.floats(-1, 1), st.floats(0.3, 2))
def test_recalibration_is_linear_in_the_logit(p: float, intercept: float, slope: float) -> None:
    q = float(hazards.recalibrate(np.array(p), intercept, slope))
    assert math.log(q / (1 - q)) == pytest.approx(intercept + slope * math.log(p / (1 - p)), abs=1e-7)


def test_identity_recalibration_changes_nothing() -> None:
    p = np.array([0.0, 0.2, 1.0])
    np.testing.assert_array_equal(hazards.recalibrate(p, 0.0, 1.0), p)


def test_effect_grows_with_baseline_but_never_turns_round() -> None:
    base, zero = np.array([154.0, 164.0, 60.0]), np.zeros(3)
    size = effects.effect_size(base, -8.5, 0.5, 5.0, zero, zero, reference=154.0, slope=-0.1)
    np.testing.assert_allclose(size, [-8.5, -9.5, 0.0])


def test_effect_spreads_as_stated() -> None:
    one, zero = np.ones(1), np.zeros(1)
    base = np.array([100.0])
    assert effects.effect_size(base, -5.0, 0.5, 3.0, one, zero)[0] == -4.5
    assert effects.effect_size(base, -5.0, 0.5, 3.0, zero, one)[0] == -2.0


def test_percent_to_log_is_capped() -> None:
    np.testing.assert_allclose(
        effects.percent_to_log(np.array([-50.0, 100.0, -200.0])), [math.log(0.5), math.log(2), math.log(0.05)]
    )


def test_log_ratio_gives_back_the_interval() -> None:
    z = np.array([0.0, effects.Z95, -effects.Z95])
    ratio = np.exp(effects.log_ratio(0.78, 0.76, 0.80, z))
    assert ratio[0] == pytest.approx(0.78)
    assert ratio[1] / ratio[2] == pytest.approx(0.80 / 0.76)


def test_onset_and_full_effect() -> None:
    assert effects.onset(np.array([-1.0, 0.0, 1.0]), 0.0).tolist() == [0.0, 0.0, 1.0]
    assert float(effects.onset(np.array(0.5), 0.5)) == pytest.approx(1 - math.exp(-1))
    assert effects.full_effect(0.0, 5.0) == effects.full_effect(1.0, 0.0) == 1.0
    times = (np.arange(48000) + 0.5) / 10000
    mean = float(effects.onset(times, 0.63).mean())
    assert effects.full_effect(0.63, 4.8) == pytest.approx(1 / mean, rel=1e-6)


def test_cumulative_incidence_is_the_closed_form_of_constant_hazards() -> None:
    """Two constant hazards a, b over t: a/(a + b) (1 - exp(-(a + b) t)); without the other one: 1 - exp(-a t)."""
    even = np.full(7, 1 / 7)
    a, b = np.array([0.3, 0.02, 0.0]), np.array([0.5, 0.0, 0.4])
    got = hazards.cumulative_incidence(a, even, b, even)
    np.testing.assert_allclose(got, [0.3 / 0.8 * -np.expm1(-0.8), -np.expm1(-0.02), 0.0], rtol=1e-12)


def test_cumulative_incidence_against_simulated_times() -> None:
    """Deaths that come late take fewer events than deaths that come early."""
    rng = np.random.default_rng(1)
    edges = np.linspace(0, 5, 26)
    late = hazards.time_weights(edges, 0.4)
    early = late[::-1]
    event = hazards.time_weights(edges, 0.0)
    got = [
        float(hazards.cumulative_incidence(np.array([0.4]), event, np.array([0.9]), w)[0])
        for w in (early, late)
    ]
    times = -np.log(rng.uniform(size=400_000)) / 0.4 * 5
    dead = np.interp(
        -np.log(rng.uniform(size=400_000)), np.append(0, np.cumsum(0.9 * late)), edges, right=np.inf
    )
    assert got[0] < got[1]
    assert got[1] == pytest.approx(np.mean((times < 5) & (times < dead)), abs=0.003)

"""Statistics against other people's: statsmodels, scikit-learn, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.rates import confint_poisson

from fhir_twin.population import statistics as st


@pytest.mark.parametrize(("hits", "count"), [(0, 12), (3, 12), (12, 12), (470, 1000)])
def test_share_is_wilson(hits: int, count: int) -> None:
    low, high = proportion_confint(hits, count, method="wilson")
    found = st.share(hits, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("seen", "expected"), [(0, 3.0), (4, 5.5), (120, 100.0)])
def test_observed_over_expected_is_exact_poisson(seen: int, expected: float) -> None:
    low, high = confint_poisson(seen, expected, method="exact-c")
    found = st.observed_expected(seen, expected)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)


def test_concordance_without_censoring_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(3)
    risk, event = rng.random(300), rng.random(300) < 0.3
    years = np.where(event, 1.0, 2.0)  # all events come first, at one time
    assert st.concordance(risk, years, event).value == pytest.approx(roc_auc_score(event, risk), abs=1e-12)


def test_concordance_counts_usable_pairs_only() -> None:
    risk, years, event = [0.9, 0.5, 0.7, 0.1], [1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0]
    # pairs: 1-2, 1-3, 1-4 (all right), 3-4 (right); 2 was censored before 3's event and is no pair with it
    assert st.concordance(risk, years, event).value == 1.0
    assert st.concordance([0.5] * 4, years, event).value == 0.5


def test_concordance_interval_covers() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((2, 1_000_000))
    # of two people with hazards exp(0.8 x) and exp(0.8 y), x comes first with probability 1 / (1 + exp(0.8 (y - x)))
    truth = float(np.mean(1 / (1 + np.exp(-0.8 * np.abs(x - y)))))
    held = 0
    for _ in range(200):
        x = rng.standard_normal(150)
        years = rng.standard_exponential(150) / np.exp(0.8 * x)
        found = st.concordance(x, years, np.ones(150))
        held += found.low <= truth <= found.high
    assert held >= 180


def test_event_curve_is_kaplan_meier() -> None:
    rng = np.random.default_rng(5)
    years, event = np.round(rng.exponential(3, 200), 1) + 0.1, rng.random(200) < 0.6
    found, oracle = st.event_curve(years, event), SurvfuncRight(years, event.astype(int))
    assert found.years[1:] == pytest.approx(oracle.surv_times)
    assert found.share[1:] == pytest.approx(1 - oracle.surv_prob)
    inner = oracle.surv_prob > 0
    survival = oracle.surv_prob[inner]
    green = oracle.surv_prob_se[inner] / survival / np.abs(np.log(survival))
    assert found.low[1:][inner] == pytest.approx(1 - survival ** np.exp(-1.959964 * green), abs=1e-6)


def test_cox_is_phreg() -> None:
    rng = np.random.default_rng(8)
    x = np.column_stack([rng.random(400) < 0.5, rng.standard_normal(400)]).astype(float)
    when = rng.standard_exponential(400) / np.exp(x @ [-0.4, 0.7])
    years, event = np.round(np.minimum(when, 1.5), 2) + 0.01, (when <= 1.5).astype(float)
    oracle = PHReg(years, x, status=event, ties="breslow").fit()
    found = st.cox(x, years, event)
    assert found.converged
    assert found.beta == pytest.approx(oracle.params, abs=1e-6)
    assert found.se == pytest.approx(oracle.bse, rel=1e-5)


def test_clustered_share_is_wider_when_values_come_in_clusters() -> None:
    hits, counts = np.repeat([10, 0], 20), np.repeat([10, 10], 20)
    clustered, plain = st.clustered_share(hits, counts), st.share(200, 400)
    assert clustered.value == plain.value == 0.5
    assert clustered.high - clustered.low > 2.5 * (plain.high - plain.low)

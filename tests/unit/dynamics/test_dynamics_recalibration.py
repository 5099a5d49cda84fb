"""Site recalibration: recovered from simulated sites, equal to statsmodels, refused with too little data."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from fhir_twin.dynamics.hazards import recalibrate
from fhir_twin.dynamics.recalibration import fit_recalibration
from fhir_twin.errors import InvalidInput, NotEnoughData


def _site(intercept: float, slope: float, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    p = 1 / (1 + np.exp(-rng.normal(-2.3, 0.9, n)))
    return p, (rng.uniform(size=n) < recalibrate(p, intercept, slope)).astype(float)


@pytest.mark.parametrize(("intercept", "slope"), [(0.0, 1.0), (0.6, 1.2), (-0.5, 0.8)])
def test_the_site_is_recovered(intercept: float, slope: float) -> None:
    p, y = _site(intercept, slope)
    found = fit_recalibration(p, y)
    assert abs(found.intercept - intercept) < 3 * found.intercept_se
    assert abs(found.slope - slope) < 3 * found.slope_se
    fixed = recalibrate(p, found.intercept, found.slope)
    assert fixed.mean() == pytest.approx(y.mean(), rel=1e-6)  # calibration in the large is exact


def test_equal_to_statsmodels() -> None:
    import statsmodels.api as sm

    p, y = _site(0.3, 0.9, 4000)
    logit = np.log(p / (1 - p))
    oracle = sm.Logit(y, sm.add_constant(logit)).fit(disp=0, tol=1e-12)
    found = fit_recalibration(p, y)
    np.testing.assert_allclose([found.intercept, found.slope], oracle.params, rtol=1e-7)
    np.testing.assert_allclose([found.intercept_se, found.slope_se], oracle.bse, rtol=1e-6)
    alone = fit_recalibration(p, y, slope=False)
    fixed = sm.GLM(y, np.ones((len(y), 1)), family=sm.families.Binomial(), offset=logit).fit()
    assert alone.intercept == pytest.approx(fixed.params[0], rel=1e-7) and alone.slope == 1.0


def test_the_row_is_one_that_a_site_can_load() -> None:
    found = fit_recalibration(*_site(0.6, 1.2))
    (row,) = tomllib.loads(found.toml("prevent_base_10y_cvd"))["recalibration"]
    assert row["equation"] == "prevent_base_10y_cvd" and row["slope"] == pytest.approx(found.slope, abs=1e-4)
    assert "events" in row["note"]


def test_too_little_or_wrong_data_are_refused() -> None:
    p, y = _site(0.0, 1.0, 400)
    with pytest.raises(NotEnoughData, match="100 people"):
        fit_recalibration(p, y)
    assert fit_recalibration(p, y, slope=False).people == 400
    for bad in ((p, y[:-1]), (p + 1, y), (p, y + 1), (p[:, None], y[:, None])):
        with pytest.raises(InvalidInput):
            fit_recalibration(*bad)
    p, y = _site(0.0, 1.0)
    with pytest.raises(InvalidInput, match="no best"):
        fit_recalibration(np.full_like(p, 0.1), y)
    y[:10] = np.nan
    assert fit_recalibration(p, y).people == len(p) - 10

"""Fit a site's recalibration of a risk equation: logit(p') = intercept + slope logit(p), by maximum likelihood.

The published equation keeps its coefficients; the site corrects how high its risks are (intercept) and how far apart
(slope). With few events the slope is not worth estimating: `slope=False` fits the intercept alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fhir_twin.errors import InvalidInput, NotEnoughData
from fhir_twin.model.twin import Array

LEAST_EVENTS, LEAST_FOR_SLOPE = 20, 100
STEPS, CLOSE = 50, 1e-10


@dataclass(frozen=True, slots=True)
class Recalibration:
    """intercept and slope with their standard errors (slope_se 0 when it was not fitted); people, events: how many
    it rests on; observed, expected: share with the event, and the published equation's mean risk."""

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    people: int
    events: int
    observed: float
    expected: float

    def toml(self, equation: str, note: str = "") -> str:
        """A row of mappings/outcomes/recalibration.toml in a site's overlay."""
        words = note or (
            f"{self.people} people, {self.events} events: observed {self.observed:.4f}, expected {self.expected:.4f}"
        )
        return (
            f'[[recalibration]]\nequation = "{equation}"\nintercept = {self.intercept:.4f}\n'
            f'slope = {self.slope:.4f}\nnote = "{words}"\n'
        )


def fit_recalibration(predicted: ArrayLike, observed: ArrayLike, *, slope: bool = True) -> Recalibration:
    """predicted (N,): the published risks, inside 0..1; observed (N,): 1 with the event within the horizon, else 0
    (people lost before it do not belong in here). Rows with a missing value are left out. Raises InvalidInput, and
    NotEnoughData below 20 events (100 for the slope) or as many people without."""
    try:
        p, y = np.asarray(predicted, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("predicted, observed: must be numbers") from None
    if p.shape != y.shape or p.ndim != 1:
        raise InvalidInput("predicted, observed: two columns of the same length")
    known = ~(np.isnan(p) | np.isnan(y))
    p, y = p[known], y[known]
    if ((p <= 0) | (p >= 1)).any() or not np.isin(y, (0.0, 1.0)).all():
        raise InvalidInput("predicted must lie between 0 and 1, observed must be 0 or 1")
    events = int(y.sum())
    least = LEAST_FOR_SLOPE if slope else LEAST_EVENTS
    if min(events, len(y) - events) < least:
        raise NotEnoughData(f"recalibration needs {least} people with and without the event")
    logit = np.log(p / (1.0 - p))
    design = np.column_stack([np.ones_like(logit), logit]) if slope else np.ones((len(logit), 1))
    offset = np.zeros_like(logit) if slope else logit
    beta, errors = _newton(design, offset, y)
    steepness, its_error = (float(beta[1]), float(errors[1])) if slope else (1.0, 0.0)
    return Recalibration(
        float(beta[0]),
        steepness,
        float(errors[0]),
        its_error,
        len(y),
        events,
        float(y.mean()),
        float(p.mean()),
    )


def _newton(design: Array, offset: Array, y: Array) -> tuple[Array, Array]:
    """Maximum likelihood of a logistic regression and its standard errors. Raises InvalidInput without a maximum."""
    beta = np.zeros(design.shape[1])
    if design.shape[1] == 2:
        beta[1] = 1.0
    for _ in range(STEPS):
        mean = 1.0 / (1.0 + np.exp(-(design @ beta + offset)))
        weight = mean * (1.0 - mean)
        information = design.T @ (design * weight[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (y - mean))
        except np.linalg.LinAlgError:
            break
        beta = beta + step
        if np.abs(step).max() < CLOSE:
            return beta, np.sqrt(np.diagonal(np.linalg.inv(information)))
    raise InvalidInput("these risks and events have no best recalibration (are all risks equal?)")

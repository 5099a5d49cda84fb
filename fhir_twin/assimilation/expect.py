"""What the next measurement should be: the forecast of a reading, with the person's own spread and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy.special import ndtri

from fhir_twin.assimilation.assimilate import regime_weights
from fhir_twin.assimilation.clock import years
from fhir_twin.dynamics.intervals import own_scale, quantile_scores
from fhir_twin.dynamics.layout import build_layout
from fhir_twin.dynamics.prior import ageing_rates, visit_variance
from fhir_twin.dynamics.state_space import propagate
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Memory, Twin

LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, repr=False)
class Expected:
    """quantiles (q,) of the reading at `levels`, canonical unit; scale: how much more (or less) this person varies than
    others (1: as others); basis: "personal", or "population" without a value of the biomarker."""

    biomarker: str
    unit: str
    at: datetime
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    scale: float
    basis: str


def expect(
    twin: Twin,
    known: BiomarkerSet,
    biomarker: str,
    at: datetime,
    *,
    setting: str = "unknown",
    readings: int = 1,
    assay: str = "",
    levels: Sequence[float] = LEVELS,
) -> Expected:
    """The next reading of `biomarker` at `at`, by the usual assay or another one (its key). Raises InvalidInput for a
    biomarker that is not modelled, a moment before the twin's last value, or a twin without a state."""
    memory = twin.memory
    if memory is None or biomarker not in twin.biomarkers or twin.biomarkers != known.keys:
        raise InvalidInput("nothing can be expected: no state, or the biomarker is not modelled")
    when, row = years(at), twin.index(biomarker)
    if when < memory.time - 1e-9:
        raise InvalidInput("at must not lie before the last value")
    model = known.models[row]
    age = None if twin.profile.age is None else twin.profile.age + when - years(twin.as_of)
    shift = model.shift(setting)
    mean, variance = _at(memory, known, row, when, away=shift is not None)
    mean += float(ageing_rates(known.models, twin.profile.sex)[row]) * (when - memory.reference)
    mean += (shift or 0.0) + model.assay(assay).bias
    spread = np.sqrt(variance + visit_variance(model, setting, readings, age, assay, float(np.exp(mean))))
    scale, scores = _scores(memory, known, row, biomarker, age, setting, tuple(levels))
    quantiles = np.exp(mean + spread * scores)
    return Expected(
        biomarker,
        twin.units[row],
        at,
        tuple(levels),
        tuple(float(q) for q in quantiles),
        scale,
        "personal" if memory.seen[row] else "population",
    )


def _at(memory: Memory, known: BiomarkerSet, row: int, when: float, *, away: bool) -> tuple[float, float]:
    """Mean and variance of what is measured (without noise and ageing), over the mixture of slope regimes."""
    layout = build_layout(known, memory.terms)
    gap = np.full(len(memory.log_weights), max(when - memory.time, 0.0))
    means, covariances = propagate(layout.dynamics, memory.mean, memory.covariance, gap)
    load = layout.loadings(np.array([when]), memory.reference)[0, row].copy()
    for r, column in layout.offsets:
        if r == row and away:
            load[column] = 1.0
    weights = regime_weights(memory)
    each = means @ load
    mean = float(weights @ each)
    inside = np.einsum("m,cmn,n->c", load, covariances, load)
    return mean, float(weights @ (inside + (each - mean) ** 2))


def _scores(
    memory: Memory,
    known: BiomarkerSet,
    row: int,
    key: str,
    age: float | None,
    setting: str,
    levels: tuple[float, ...],
) -> tuple[float, np.ndarray]:
    """The own scale, and the standardised quantiles times it."""
    if not memory.seen[row] or memory.squares is None:
        return 1.0, np.asarray(ndtri(np.array(levels)))
    squares = np.array([float(regime_weights(memory) @ memory.squares[:, row])])
    scale, df = own_scale(squares, np.array([max(memory.seen[row] - 1, 0)]), known.own_df)
    ages = np.array([[np.nan if age is None else age]])
    scores = quantile_scores(known.calibration, key, ages, (setting,), levels, df)[0, 0]
    return float(scale[0]), np.asarray(scores * scale[0])

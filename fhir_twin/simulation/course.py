"""The natural course of the biomarkers: what the twin expects when nothing changes.

Levels stay (or walk), fluctuations return to the level, slopes and known ageing go on, drugs already taken keep
their effect. Exact for the twin's linear Gaussian model: no draws are needed here.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from fhir_twin.dynamics.layout import build_layout
from fhir_twin.dynamics.state_space import propagate
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Twin

YEAR_SECONDS = 365.25 * 86400.0
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def natural_course(twin: Twin, known: BiomarkerSet, times: Array) -> tuple[Array, Array]:
    """Mean and variance (T, n) of the usual values on the model scale, `times` (T,) years from as_of."""
    drift = times[:, None] * _ageing(twin, known)[None, :]
    layout = build_layout(known, twin.terms)
    if twin.memory is None or layout.names != twin.state_names or twin.biomarkers != known.keys:
        return _without_state(twin, known, times, drift)
    now = (twin.as_of - EPOCH).total_seconds() / YEAR_SECONDS
    mean, covariance = propagate(layout.dynamics, twin.state, twin.state_covariance, times)
    loads = layout.loadings(now + np.append(times, 0.0), twin.memory.reference, twin.memory.away)
    here = loads[-1] @ twin.state
    change = np.einsum("tnm,tm->tn", loads[:-1], mean) - here
    variance = ((loads[:-1] @ covariance) * loads[:-1]).sum(axis=2)
    return twin.mean + change + drift, np.maximum(variance, 0.0)


def _ageing(twin: Twin, known: BiomarkerSet) -> Array:
    """Known change per year (model scale), in the twin's order; the mean of both sexes when sex is unknown."""
    rates = []
    models = {m.key: m for m in known.models}
    for key in twin.biomarkers:
        ageing = models[key].ageing if key in models else {}
        if twin.profile.sex in ageing:
            rates.append(ageing[str(twin.profile.sex)])
        else:
            rates.append(float(np.mean(list(ageing.values()))) if ageing else 0.0)
    return np.array(rates)


def _without_state(twin: Twin, known: BiomarkerSet, times: Array, drift: Array) -> tuple[Array, Array]:
    """For a twin that carries only current values: they stay, and uncertainty grows by the walk and the fluctuation."""
    variance = np.tile(np.diagonal(twin.covariance), (len(times), 1))
    models = {m.key: m for m in known.models}
    for i, key in enumerate(twin.biomarkers):
        if key in models:
            model = models[key]
            decay = (
                np.exp(-times / model.fluctuation_tau) if model.fluctuation_sd > 0 else np.ones_like(times)
            )
            variance[:, i] += model.walk**2 * times + 2.0 * model.fluctuation_sd**2 * (1.0 - decay)
    return twin.mean + drift, variance

"""Options against each other in the same random draws: which is best how often, and what a wrong choice would cost.

The draws are common: draw d is the same world (the same true values, the same trial effects, the same personal
response) under every option, so differences are taken draw by draw, and "continue as now" (no change) is one of
the choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from fhir_twin.model.guidelines import Ranking
from fhir_twin.model.scenario import RiskChange, Trajectory
from fhir_twin.model.twin import Array


@dataclass(frozen=True, slots=True)
class Comparison:
    """Shares of draws (0..1) and weighted 10-year events per person. harm: share with more events than now."""

    best: float
    harm: float
    regret: float


def weighted_draws(trajectory: Trajectory, changes: tuple[RiskChange, ...], ranking: Ranking) -> Array | None:
    """Weighted change of events (D,) over the outcomes that count; None without any draw."""
    wanted = {(c.outcome, c.horizon_years): ranking.weights[c.outcome] for c in changes}
    parts = [
        wanted[outcome, years] * d for outcome, years, d in trajectory.draws if (outcome, years) in wanted
    ]
    return np.asarray(np.sum(parts, axis=0)) if parts and len(parts) == len(wanted) else None


def compare(draws: dict[str, Array]) -> dict[str, Comparison]:
    """key -> Comparison of all options given, each (D,) of one length. Equal bests share the draw."""
    if not draws:
        return {}
    values = np.stack(list(draws.values()))
    least = np.minimum(values.min(axis=0), 0.0)
    winners = values <= least
    shared = winners.sum(axis=0)
    share = np.where(winners, 1.0 / np.maximum(shared, 1), 0.0).mean(axis=1)
    harm = (values > 0.0).mean(axis=1)
    regret = (values - least).mean(axis=1)
    return {key: Comparison(float(share[i]), float(harm[i]), float(regret[i])) for i, key in enumerate(draws)}


def paired_error(a: Array, b: Array) -> float:
    """Monte-Carlo standard error of the mean difference of two options in common draws."""
    return float(np.std(a - b)) / sqrt(len(a))

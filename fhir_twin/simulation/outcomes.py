"""Event risks of a scenario: baseline hazard times the trial ratios as they build up, integrated over the horizon.

Composite events (ascvd = mi or stroke, cvd = ascvd or heart failure) follow from their parts, weighted by this
patient's own hazards, unless a trial gives the composite's ratio itself; each intervention counts by one of the two.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.dynamics.hazards import risk, time_weights
from fhir_twin.model.scenario import EventRisk, RelativeEffect, RiskChange
from fhir_twin.model.twin import Array
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.responses import EventTerm

PARTS = {"ascvd": ("mi", "stroke"), "cvd": ("ascvd", "heart-failure")}
WHOLE = {"mi": "ascvd", "stroke": "ascvd"}


def hazards(baselines: list[Baseline], terms: list[EventTerm]) -> dict[str, Array]:
    """Outcome -> cumulative hazard (D,) over the baseline's horizon under the scenario's `terms`."""
    base = {b.outcome: b for b in baselines}
    found = {}
    for outcome, item in base.items():
        times = edges(item.horizon)
        ratio = _ratio(outcome, midpoints(times), terms, base, frozenset())
        if ratio is None:
            found[outcome] = item.hazard
        else:
            found[outcome] = item.hazard * (ratio @ time_weights(times, item.growth))
    return found


def _ratio(
    outcome: str, times: Array, terms: list[EventTerm], base: dict[str, Baseline], done: frozenset[str]
) -> Array | None:
    """Hazard ratio (D, T) against "continue as now"; None = 1 throughout. done: interventions whose ratio for a
    composite above is direct and must not act again through its parts."""
    direct = [t for t in terms if t.outcome == outcome and t.intervention not in done]
    own = {t.intervention for t in direct}
    if outcome in WHOLE:  # a part without its own ratio shares that of its composite
        whole = WHOLE[outcome]
        direct += [t for t in terms if t.outcome == whole and t.intervention not in own | done]
    total = _product(direct, times)
    parts = PARTS.get(outcome, ())
    if not parts or any(p not in base for p in parts):
        return total
    below = done | own
    split = [_ratio(p, times, terms, base, below) for p in parts]
    if all(r is None for r in split):
        return total
    weights = np.stack([base[p].hazard for p in parts])
    ones = np.ones((weights.shape[1], len(times)))
    each = np.stack([ones if r is None else r for r in split])
    mixed = np.einsum("pd,pdt->dt", weights / weights.sum(axis=0), each)
    return np.asarray(mixed if total is None else mixed * total)


def _product(terms: Iterable[EventTerm], times: Array) -> Array | None:
    rows = list(terms)
    if not rows:
        return None
    growth = np.stack([onset(times - t.delay, t.tau) for t in rows])
    return np.asarray(np.exp(np.stack([t.log_ratio for t in rows], axis=1) @ growth))


def event_risks(baselines: list[Baseline], hazard: dict[str, Array]) -> tuple[EventRisk, ...]:
    """Mean over draws with the 80 % interval, in the order of the baselines."""
    if not baselines:
        return ()
    draws = risk(np.stack([hazard[b.outcome] for b in baselines]))
    low, high = np.quantile(draws, [0.1, 0.9], axis=1)
    return tuple(
        EventRisk(
            b.outcome, b.horizon, float(draws[i].mean()), float(low[i]), float(high[i]), b.title, b.basis
        )
        for i, b in enumerate(baselines)
    )


def risk_changes(
    baselines: list[Baseline], now: dict[str, Array], then: dict[str, Array]
) -> tuple[RiskChange, ...]:
    """Difference of risk draw by draw (common random numbers)."""
    if not baselines:
        return ()
    before = risk(np.stack([now[b.outcome] for b in baselines]))
    difference = risk(np.stack([then[b.outcome] for b in baselines])) - before
    low, high = np.quantile(difference, [0.1, 0.9], axis=1)
    better = (difference < 0.0).mean(axis=1)
    return tuple(
        RiskChange(
            b.outcome, b.horizon, float(difference[i].mean()), float(low[i]), float(high[i]), float(better[i])
        )
        for i, b in enumerate(baselines)
    )


def relative_effects(terms: list[EventTerm], basis: dict[str, str]) -> tuple[RelativeEffect, ...]:
    """Hazard ratio at full onset of every outcome that a trial ratio speaks of, independent of any equation."""
    found = []
    for outcome in dict.fromkeys(t.outcome for t in terms):
        total = np.exp(np.sum([t.log_ratio for t in terms if t.outcome == outcome], axis=0))
        low, high = np.quantile(total, [0.1, 0.9])
        words = "; ".join(dict.fromkeys(basis[t.intervention] for t in terms if t.outcome == outcome))
        share = float((total < 1.0).mean())
        found.append(RelativeEffect(outcome, float(np.median(total)), float(low), float(high), share, words))
    return tuple(found)

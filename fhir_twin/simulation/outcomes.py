"""Event risks of a scenario: baseline hazard times the trial ratios as they build up, integrated over the horizon.

Composite events (ascvd = mi or stroke, cvd = ascvd or heart failure) follow from their parts, weighted by this
patient's own hazards, unless a trial gives the composite's ratio itself; each intervention counts by one of the two.
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.dynamics.hazards import cumulative_incidence, risk, time_weights
from fhir_twin.model.scenario import EventRisk, RelativeEffect, RiskChange
from fhir_twin.model.twin import Array, readonly
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.responses import EventTerm

PARTS = {"ascvd": ("mi", "stroke"), "cvd": ("ascvd", "heart-failure")}
WHOLE = {"mi": "ascvd", "stroke": "ascvd"}
COMPETES = frozenset({"kidney-failure"})  # KFRE censors deaths; PREVENT is adjusted for them by its authors
ENDS = (0.1, 0.9)


def hazards(baselines: list[Baseline], terms: list[EventTerm]) -> dict[str, Array]:
    """Outcome -> cumulative hazard (D,) over the baseline's horizon under the scenario's `terms`; the baseline's own
    array where no term speaks of it."""
    ratios = _Ratios({b.outcome: b for b in baselines}, terms)
    means = {b.outcome: ratios.mean(b.outcome) for b in baselines}
    return {
        b.outcome: b.hazard if isinstance(means[b.outcome], float) else b.hazard * means[b.outcome]
        for b in baselines
    }


class _Ratios:
    """Hazard ratios over time for one scenario; every product of terms is worked out once."""

    def __init__(self, base: dict[str, Baseline], terms: list[EventTerm]) -> None:
        self.base = base
        self.terms = terms
        self.made: dict[tuple[float, tuple[int, ...]], Array] = {}

    def mean(self, outcome: str) -> Array | float:
        """Hazard ratio averaged over the horizon with the weights of the baseline hazard, (D,) or 1."""
        item = self.base[outcome]
        times = edges(item.horizon)
        average = self.average(outcome, times, time_weights(times, item.growth))
        return 1.0 if average is None else average

    def average(self, outcome: str, times: Array, weights: Array) -> Array | None:
        """Time average (D,). A composite without a direct ratio is the mixture of its parts' averages."""
        parts = PARTS.get(outcome, ())
        direct = any(t.outcome in (outcome, WHOLE.get(outcome)) for t in self.terms)
        if direct or not parts or any(p not in self.base for p in parts):
            ratio = self.over_time(outcome, times, frozenset())
            return None if ratio is None else np.asarray(ratio @ weights)
        split = [self.average(p, times, weights) for p in parts]
        return self.mixed(parts, split)

    def mixed(self, parts: tuple[str, ...], split: list[Array | None]) -> Array | None:
        """Parts' ratios (None = 1) weighted by this patient's hazards."""
        if all(r is None for r in split):
            return None
        hazard = sum(self.base[p].hazard for p in parts)
        total: Array | float = 1.0
        for part, ratio in zip(parts, split, strict=True):
            if ratio is not None:
                share = self.base[part].hazard / hazard
                total = total + (share[:, None] if ratio.ndim == 2 else share) * (ratio - 1.0)
        return np.asarray(total)

    def over_time(self, outcome: str, times: Array, done: frozenset[str]) -> Array | None:
        """Ratio (D, T) against "continue as now"; None = 1 throughout. done: interventions whose ratio for a
        composite above is direct and must not act again through its parts."""
        direct = [t for t in self.terms if t.outcome == outcome and t.intervention not in done]
        own = {t.intervention for t in direct}
        whole = WHOLE.get(outcome)  # a part without its own ratio shares that of its composite
        direct += [t for t in self.terms if t.outcome == whole and t.intervention not in own | done]
        total = self.product(direct, times)
        parts = PARTS.get(outcome, ())
        if not parts or any(p not in self.base for p in parts):
            return total
        split = [self.over_time(p, times, done | own) for p in parts]
        mixture = self.mixed(parts, split)
        if mixture is None or total is None:
            return total if mixture is None else mixture
        return np.asarray(mixture * total)

    def product(self, terms: list[EventTerm], times: Array) -> Array | None:
        if not terms:
            return None
        key = (float(times[-1]), tuple(sorted(id(t) for t in terms)))
        if key not in self.made:
            middle = midpoints(times)
            log = terms[0].log_ratio[:, None] * _growth(terms[0], middle)
            for term in terms[1:]:
                log += term.log_ratio[:, None] * _growth(term, middle)
            self.made[key] = np.exp(log, out=log)
        return self.made[key]


def _growth(term: EventTerm, times: Array) -> Array:
    return term.boost * onset(times - term.delay, term.tau)


def interval(draws: Array) -> tuple[Array, Array]:
    """Ends of the 80 % interval over the last axis (linear interpolation, as np.quantile does)."""
    last = draws.shape[-1] - 1
    below = [int(share * last) for share in ENDS]
    above = [min(b + 1, last) for b in below]
    ordered = np.partition(draws, sorted({*below, *above}), axis=-1)
    parts = [share * last - b for share, b in zip(ENDS, below, strict=True)]
    low, high = (
        ordered[..., b] * (1.0 - part) + ordered[..., a] * part
        for b, a, part in zip(below, above, parts, strict=True)
    )
    return low, high


def stacked(baselines: list[Baseline], hazard: dict[str, Array], before: Array | None = None) -> Array:
    """Risks (outcomes, D) in the order of the baselines. Who dies first cannot have the event: outcomes whose equation
    leaves that out (COMPETES) get their cumulative incidence, with death as under "continue as now" in every scenario
    (a drug that saves lives is not to look as if it harmed the kidney). before: the risks of "continue as now", kept
    where the hazard is the baseline's own."""
    if not baselines:
        return np.zeros((0, 2))
    found = risk(np.stack([hazard[b.outcome] for b in baselines]))
    death = _death(baselines)
    for row, item in enumerate(baselines):
        if before is not None and hazard[item.outcome] is item.hazard:
            found[row] = before[row]
        elif death is not None and item.outcome in COMPETES and item.horizon <= death.horizon:
            times = np.append(np.arange(0.0, item.horizon), item.horizon)  # years: both hazards are smooth
            own = time_weights(times, item.growth)
            until = np.unique(np.append(times, death.horizon))
            dying = time_weights(until, death.growth)[: len(own)]
            found[row] = cumulative_incidence(hazard[item.outcome], own, death.hazard, dying)
    return found


def _death(baselines: list[Baseline]) -> Baseline | None:
    return next((b for b in baselines if b.outcome == "death"), None)


def _title(item: Baseline, baselines: list[Baseline]) -> str:
    competes = item.outcome in COMPETES and _death(baselines) is not None
    return f"{item.title}, less those who die first (life table)" if competes else item.title


def event_risks(baselines: list[Baseline], draws: Array) -> tuple[EventRisk, ...]:
    """Mean over draws (outcomes, D) with the 80 % interval, in the order of the baselines."""
    low, high = interval(draws)
    mean = draws.mean(axis=1)
    return tuple(
        EventRisk(
            b.outcome, b.horizon, float(mean[i]), float(low[i]), float(high[i]), _title(b, baselines), b.basis
        )
        for i, b in enumerate(baselines)
    )


def risk_changes(baselines: list[Baseline], before: Array, after: Array) -> tuple[RiskChange, ...]:
    """Difference of risk (outcomes, D) draw by draw (common random numbers)."""
    difference = after - before
    low, high = interval(difference)
    mean, better = difference.mean(axis=1), (difference < 0.0).mean(axis=1)
    return tuple(
        RiskChange(b.outcome, b.horizon, float(mean[i]), float(low[i]), float(high[i]), float(better[i]))
        for i, b in enumerate(baselines)
    )


def relative_effects(terms: list[EventTerm], basis: dict[str, str]) -> tuple[RelativeEffect, ...]:
    """Hazard ratio, as trials averaged it, of every outcome that a trial ratio speaks of; needs no equation."""
    found = []
    for outcome in dict.fromkeys(t.outcome for t in terms):
        total = np.sum([t.log_ratio for t in terms if t.outcome == outcome], axis=0)
        low, high = np.exp(interval(total))
        words = "; ".join(dict.fromkeys(basis[t.intervention] for t in terms if t.outcome == outcome))
        share, middle = float((total < 0.0).mean()), float(np.exp(total.mean()))
        found.append(RelativeEffect(outcome, middle, float(low), float(high), share, words))
    return tuple(found)


def change_draws(
    baselines: list[Baseline], before: Array, after: Array
) -> tuple[tuple[str, float, Array], ...]:
    """(outcome, horizon, difference of risk (D,)) for comparing scenarios draw by draw."""
    difference = readonly(after - before)
    return tuple((b.outcome, b.horizon, difference[i]) for i, b in enumerate(baselines))

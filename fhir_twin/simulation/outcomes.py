"""Event risks of a scenario: baseline hazard times the trial ratios as they build up, integrated over the horizon.

Composite events (ascvd = mi or stroke, cvd = ascvd or heart failure) follow from their parts, weighted by this
patient's own hazards, unless a trial gives the composite's ratio itself; each intervention counts by one of the two
(`mixture`). An outcome that a scenario does not touch keeps the very numbers of "continue as now".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fhir_twin.dynamics.hazards import cumulative_incidence, risk, time_weights
from fhir_twin.model.intervention import Outcomes
from fhir_twin.model.scenario import EventRisk, RelativeEffect, RiskChange
from fhir_twin.model.twin import Array
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.ledger import Ledger
from fhir_twin.simulation.mixture import Shares, averages, shares_of
from fhir_twin.simulation.mortality import losses
from fhir_twin.simulation.responses import EventTerm

COMPETES = frozenset({"kidney-failure"})  # KFRE censors deaths; PREVENT is adjusted for them by its authors


@dataclass(frozen=True, slots=True, repr=False)
class Start:
    """What all scenarios of one horizon start from. base: baselines within it; before (outcomes, D): their risks;
    shares: see `mixture`."""

    base: list[Baseline]
    before: Array
    shares: Shares


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """`Start` in numbers. risks: mean and interval of each; lost: see `mortality.losses`."""

    risks: tuple[EventRisk, ...]
    lost: tuple[tuple[int, Array], ...]


def start(base: list[Baseline], draws: int) -> Start:
    """Risks of "continue as now"."""
    before = (
        np.stack(_risks(base, {row: b.hazard for row, b in enumerate(base)}))
        if base
        else np.zeros((0, draws))
    )
    return Start(base, before, shares_of({b.outcome: b for b in base}))


def told(begin: Start, outcomes: Outcomes, draws: int) -> Told:
    """The risks of "continue as now" in numbers."""
    base, ledger = begin.base, Ledger()
    places = [ledger.add(row) for row in begin.before]
    ledger.settle()
    risks = tuple(
        EventRisk(b.outcome, b.horizon, *ledger.numbers(place), _title(b, base), b.basis)
        for b, place in zip(base, places, strict=True)
    )
    return Told(risks, losses(base, outcomes, draws))


def risks_under(
    starts: Sequence[Start], terms: Sequence[list[EventTerm]], draws: int, only: str = ""
) -> list[dict[int, Array]]:
    """Per scenario, which starts at `starts[i]` and does `terms[i]`: row of the baseline -> its risk (D,); rows that no
    term speaks of are left out."""
    found = []
    for begin, ratios in zip(
        starts,
        averages([(s.shares, t) for s, t in zip(starts, terms, strict=True)], draws, only),
        strict=True,
    ):
        rows = {row: b for row, b in enumerate(begin.base) if b.outcome in ratios}
        after = _risks(begin.base, {row: b.hazard * ratios[b.outcome] for row, b in rows.items()})
        found.append(dict(zip(rows, after, strict=True)))
    return found


def _risks(base: list[Baseline], hazard: Mapping[int, Array]) -> list[Array]:
    """Risks (D,) of the rows in `hazard`. Who dies first cannot have the event: outcomes whose equation leaves that out
    (COMPETES) get their cumulative incidence, with death as under "continue as now" in every scenario (a drug that
    saves lives is not to look as if it harmed the kidney)."""
    death = _death(base)
    found = []
    for row, each in hazard.items():
        item = base[row]
        if death is not None and item.outcome in COMPETES and item.horizon <= death.horizon:
            times = np.append(np.arange(0.0, item.horizon), item.horizon)  # years: both hazards are smooth
            own = time_weights(times, item.growth)
            until = np.unique(np.append(times, death.horizon))
            dying = time_weights(until, death.growth)[: len(own)]
            found.append(cumulative_incidence(each, own, death.hazard, dying))
        else:
            found.append(risk(each))
    return found


def _death(baselines: list[Baseline]) -> Baseline | None:
    return next((b for b in baselines if b.outcome == "death"), None)


def _title(item: Baseline, baselines: list[Baseline]) -> str:
    competes = item.outcome in COMPETES and _death(baselines) is not None
    return f"{item.title}, less those who die first (life table)" if competes else item.title


def event_risks(begin: Told, after: Mapping[int, int], ledger: Ledger) -> tuple[EventRisk, ...]:
    """after: row -> place in the ledger of its risk under the scenario, where it is another one."""
    return tuple(
        EventRisk(r.outcome, r.horizon_years, *ledger.numbers(after[row]), r.equation, r.basis)
        if row in after
        else r
        for row, r in enumerate(begin.risks)
    )


def risk_changes(begin: Start, changes: Mapping[int, int], ledger: Ledger) -> tuple[RiskChange, ...]:
    """changes: row -> place in the ledger of its difference draw by draw (common random numbers)."""
    return tuple(
        RiskChange(b.outcome, b.horizon, *ledger.numbers(changes[row]), ledger.below_zero(changes[row]))
        if row in changes
        else RiskChange(b.outcome, b.horizon, 0.0, 0.0, 0.0, 0.0)
        for row, b in enumerate(begin.base)
    )


def relative_totals(terms: list[EventTerm]) -> dict[str, Array]:
    """Outcome -> log hazard ratio (D,), as trials averaged it, of every outcome that a trial ratio speaks of."""
    found: dict[str, Array] = {}
    for term in terms:
        known = found.get(term.outcome)
        found[term.outcome] = term.log_ratio if known is None else known + term.log_ratio
    return found


def relative_effects(
    terms: list[EventTerm], basis: dict[str, str], totals: Mapping[str, int], ledger: Ledger
) -> tuple[RelativeEffect, ...]:
    """Hazard ratios in numbers; they need no equation. totals: outcome -> place of `relative_totals` in the ledger."""
    found = []
    for outcome, place in totals.items():
        middle, low, high = (float(np.exp(v)) for v in ledger.numbers(place))
        words = "; ".join(dict.fromkeys(basis[t.intervention] for t in terms if t.outcome == outcome))
        found.append(RelativeEffect(outcome, middle, low, high, ledger.below_zero(place), words))
    return tuple(found)

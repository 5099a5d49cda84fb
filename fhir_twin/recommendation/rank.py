"""Rank options: expected 10-year events first, then how far they bring the patient towards the goals.

Two options whose difference is smaller than two Monte-Carlo standard errors share a rank: the simulation cannot
tell them apart, and an order that a new seed would turn around is not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from fhir_twin.model.guidelines import Ranking
from fhir_twin.model.intervention import EventEffect, Intervention
from fhir_twin.model.scenario import Choice, RiskChange, Trajectory
from fhir_twin.model.twin import Z80
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.goals import Target

STRENGTH = {"strong": 0, "moderate": 1, "conditional": 1, "weak": 2}


@dataclass(frozen=True, slots=True, repr=False)
class Option:
    """One allowed option of one choice. events: weighted 10-year change (negative is better), None when no risk
    equation applied; error: its Monte-Carlo standard error; better: share of draws with fewer events; closed: share
    of the distance to the unmet goals that it closes, 0..1; met: goals it serves."""

    trajectory: Trajectory
    intervention: Intervention
    choice: Choice
    events: float | None
    error: float
    better: float
    closed: float
    met: tuple[str, ...]
    proven: bool = False

    @property
    def key(self) -> str:
        return self.trajectory.scenario.key

    @property
    def family(self) -> str:
        return self.intervention.family or self.intervention.key


def options(case: Case, targets: tuple[Target, ...]) -> tuple[Option, ...]:
    """Every simulated scenario of exactly one choice, scored; in the order of the trajectories."""
    found = []
    for trajectory in case.trajectories:
        if len(trajectory.scenario.choices) != 1:
            continue
        choice = trajectory.scenario.choices[0]
        events, error, better = _events(
            counted(trajectory.changes, case.guidelines.ranking), case.guidelines.ranking
        )
        closed, met = _closed(trajectory, targets, case)
        intervention = case.interventions.get(choice.intervention)
        proven = bool(unpriced(intervention, trajectory, case))
        found.append(Option(trajectory, intervention, choice, events, error, better, closed, met, proven))
    return tuple(found)


def unpriced(intervention: Intervention, trajectory: Trajectory, case: Case) -> tuple[EventEffect, ...]:
    """Trial ratios below 1 (whole 95 % interval) that hold for this patient's condition groups, on outcomes whose
    absolute risk no equation gave."""
    priced = {c.outcome for c in trajectory.changes}
    groups = case.twin.profile.groups | case.twin.profile.ever
    return tuple(
        e
        for e in intervention.events
        if not e.via
        and e.outcome not in priced
        and e.high < 1.0
        and (not e.groups_any or groups & set(e.groups_any))
        and not groups & set(e.groups_none)
    )


def counted(changes: tuple[RiskChange, ...], ranking: Ranking) -> tuple[RiskChange, ...]:
    """The changes that count: one per outcome (the longest horizon up to 10 years), no part of a composite twice."""
    longest: dict[str, RiskChange] = {}
    for change in changes:
        known = longest.get(change.outcome)
        if change.outcome not in ranking.weights or change.horizon_years > 10:
            continue
        if known is None or change.horizon_years > known.horizon_years:
            longest[change.outcome] = change
    inside = {part for outcome in longest for part in ranking.covers.get(outcome, ())}
    return tuple(longest[key] for key in sorted(longest) if key not in inside)


def _events(changes: tuple[RiskChange, ...], ranking: Ranking) -> tuple[float | None, float, float]:
    """Weighted sum, its Monte-Carlo standard error (spread of the draws / sqrt(draws)), share of better draws of the
    outcome that moves most."""
    if not changes:
        return None, 0.0, 0.0
    total = sum(ranking.weights[c.outcome] * c.difference for c in changes)
    spread = sqrt(sum((ranking.weights[c.outcome] * (c.high - c.low) / (2 * Z80)) ** 2 for c in changes))
    lead = max(changes, key=lambda c: (abs(ranking.weights[c.outcome] * c.difference), c.outcome))
    return total, spread / sqrt(ranking.draws), lead.better


def _closed(trajectory: Trajectory, targets: tuple[Target, ...], case: Case) -> tuple[float, tuple[str, ...]]:
    changes = {key: mean for key, mean, *_ in trajectory.biomarker_changes}
    shares: list[float] = []
    met: list[str] = []
    for target in targets:
        analyte = "bmi" if target.analyte == "weight" else target.analyte
        now = case.estimate(analyte)
        if now is None or analyte == "bmi":
            if analyte == "bmi" and changes.get("bmi", 0.0) < 0:
                met.append(target.goal)
            continue
        distance = now.mean - target.limit
        if distance <= 0:
            continue
        fall = -changes.get(target.analyte, 0.0)
        share = max(0.0, min(1.0, fall / distance))
        shares.append(share)
        ranking = case.guidelines.ranking
        if share >= ranking.least_gap or fall >= ranking.least_change.get(target.analyte, float("inf")):
            met.append(target.goal)
    return (sum(shares) / len(shares) if shares else 0.0), tuple(dict.fromkeys(met))


def worth(option: Option, ranking: Ranking) -> bool:
    """Does it help enough to be proposed? Fewer events in most draws, or a real step towards an unmet goal, or,
    where no equation gives an absolute risk, a strong recommendation with proven fewer events."""
    fewer = option.events is not None and option.events <= -ranking.least_events
    if fewer and option.better >= ranking.least_better:
        return True
    if option.proven and option.intervention.strength.split(" ")[0] in ("strong", "moderate"):
        return True
    harmful = option.events is not None and option.events > ranking.least_events
    return not harmful and bool(option.met)


def best_of_families(found: tuple[Option, ...]) -> tuple[tuple[Option, tuple[Option, ...]], ...]:
    """Per family the best option and the others, best families first."""
    families: dict[str, list[Option]] = {}
    for option in sorted(found, key=order):
        families.setdefault(option.family, []).append(option)
    return tuple((group[0], tuple(group[1:])) for group in families.values())


def order(option: Option) -> tuple[float, float, int, bool, float, str]:
    """Most events saved, then most of the goals reached, then guideline strength, no drug before a drug, burden."""
    strength = STRENGTH.get(option.intervention.strength.split(" ")[0].lower(), 3)
    events = option.events if option.events is not None else 0.0
    drug = option.intervention.kind == "medication"
    return (events, -option.closed, strength, drug, option.intervention.burden, option.key)


def ranks(ordered: tuple[Option, ...], first: int) -> tuple[int, ...]:
    """Ranks from `first`; within 2 Monte-Carlo SE of the best of the group is a tie. Without events: by goals."""
    found: list[int] = []
    head: Option | None = None
    for position, option in enumerate(ordered):
        if head is not None and _tied(head, option):
            found.append(found[-1])
            continue
        head = option
        found.append(first + position)
    return tuple(found)


def _tied(a: Option, b: Option) -> bool:
    if a.events is None or b.events is None:
        return a.events is b.events and abs(a.closed - b.closed) < 0.05
    return abs(a.events - b.events) <= 2 * sqrt(a.error**2 + b.error**2)

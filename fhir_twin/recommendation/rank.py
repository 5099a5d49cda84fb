"""Rank options: expected 10-year events first, then how far they bring the patient towards the goals.

What the patient asks for has a price that is added to the events (recommendation/wishes.py); without a stated
preference it is zero. Two options whose difference is smaller than two Monte-Carlo standard errors, or too small to be
worth an order, share a rank: an order that a new seed would turn around is not shown.
"""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import numpy as np

from fhir_twin.model.guidelines import Ranking
from fhir_twin.model.intervention import EventEffect, Intervention
from fhir_twin.model.scenario import RiskChange, Trajectory
from fhir_twin.model.twin import Z80
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.compare import Comparison, compare, paired_error, weighted_draws
from fhir_twin.recommendation.goals import Target
from fhir_twin.recommendation.option import Option
from fhir_twin.recommendation.wishes import priced

RATIO_TIE = 0.03  # log hazard ratios closer than 3 % are not told apart by trials
STRENGTH = {"strong": 0, "moderate": 1, "conditional": 1, "weak": 2}


def options(case: Case, targets: tuple[Target, ...]) -> tuple[Option, ...]:
    """Every simulated scenario of exactly one choice, scored; in the order of the trajectories."""
    found = []
    for trajectory in case.trajectories:
        if len(trajectory.scenario.choices) != 1:
            continue
        choice = trajectory.scenario.choices[0]
        changes = counted(trajectory.changes, case.guidelines.ranking)
        events, error, better = _events(changes, case.guidelines.ranking)
        closed, met = _closed(trajectory, targets, case)
        intervention = case.interventions.get(choice.intervention)
        proven = bool(unpriced(intervention, trajectory, case))
        draws = weighted_draws(trajectory, changes, case.guidelines.ranking)
        option = Option(trajectory, intervention, choice, events, error, better, closed, met, proven, draws)
        found.append(priced(replace(option, relative=_relative(trajectory, case)), case))
    return tuple(found)


# Outcomes that count first in whoever has had one of them; each is the log ratio of one event.
VASCULAR = ("cvd", "ascvd", "mi", "stroke", "heart-failure", "death")


def _relative(trajectory: Trajectory, case: Case) -> float:
    """Log hazard ratio of the vascular outcome it lowers most, where known cardiovascular disease leaves no absolute
    risk to rank by; only a ratio whose 80 % interval is below 1 counts. 0 otherwise."""
    if not case.twin.profile.cvd:
        return 0.0
    sure = [r.ratio for r in trajectory.relative if r.outcome in VASCULAR and r.high < 1.0]
    return log(min(sure)) if sure else 0.0


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
    shares: list[tuple[float, float]] = []
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
        shares.append((share, target.weight))
        ranking = case.guidelines.ranking
        if share >= ranking.least_gap or fall >= ranking.least_change.get(target.analyte, float("inf")):
            met.append(target.goal)
    total = sum(weight for _, weight in shares)
    mean = sum(share * weight for share, weight in shares) / total if total else 0.0
    return mean, tuple(dict.fromkeys(met))


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


def order(option: Option) -> tuple[float, float, float, int, bool, float, str]:
    """With known cardiovascular disease the best trial ratio first; then most events saved, then most of the goals
    reached, then guideline strength, no drug before a drug, burden."""
    strength = STRENGTH.get(option.intervention.strength.split(" ")[0].lower(), 3)
    drug = option.intervention.kind == "medication"
    closed = option.closed - option.price_goal
    relative = option.relative + 2.0 * option.price
    first, second, third = (round(v, 9) for v in (relative, option.score, -closed))  # no last bit decides
    return (first, second, third, strength, drug, option.intervention.burden, option.key)


def ranks(ordered: tuple[Option, ...], first: int, ranking: Ranking) -> tuple[int, ...]:
    """Ranks from `first`; what cannot be told from the best of the group is a tie. Without events: by goals."""
    found: list[int] = []
    head: Option | None = None
    for position, option in enumerate(ordered):
        if head is not None and tied(head, option, ranking):
            found.append(found[-1])
            continue
        head = option
        found.append(first + position)
    return tuple(found)


def tied(a: Option, b: Option, ranking: Ranking) -> bool:
    """Closer than two standard errors of the difference in common draws, or than `tie`; what the patient prefers is
    no tie with what he does not."""
    if a.price != b.price:
        return False
    if a.relative or b.relative:
        return abs(a.relative - b.relative) < RATIO_TIE
    if a.events is None or b.events is None:
        return a.events is b.events and abs(a.closed - b.closed) < 0.05
    both = a.draws is not None and b.draws is not None
    error = paired_error(a.draws, b.draws) if both else sqrt(a.error**2 + b.error**2)  # type: ignore[arg-type]
    return abs(a.events - b.events) <= max(2 * error, ranking.tie)


def compared(families: tuple[tuple[Option, tuple[Option, ...]], ...]) -> dict[str, Comparison]:
    """The best options of all families against each other, by scenario key. Empty when some of them act on outcomes
    without an absolute risk (known cardiovascular disease): the others would win by default."""
    if any(best.relative for best, _ in families):
        return {}
    return compare({best.key: np.asarray(best.draws) for best, _ in families if best.draws is not None})

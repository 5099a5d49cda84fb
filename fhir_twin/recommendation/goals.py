"""Goals: targets that this patient's conditions call for, made individual; goals in the record come first (GO-10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from fhir_twin.model.chart import GoalTarget, PatientGoal
from fhir_twin.model.codes import LOINC, Coding
from fhir_twin.model.guidelines import GoalRule, GoalVariant
from fhir_twin.model.plan import Citation, ProposedGoal
from fhir_twin.recommendation.case import Case

SAME = Decimal("0.02")
LIVE = ("proposed", "planned", "accepted", "active", "on-hold")


@dataclass(frozen=True, slots=True)
class Target:
    """One limit that ranking looks at: bring `analyte` below `limit` (canonical unit). weight: what it counts beside
    the other goals (the priority of the Goal on the record)."""

    goal: str
    analyte: str
    limit: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class Contrast:
    """A recorded Goal whose limit is not that of the guideline for this patient."""

    rule: str
    analyte: str
    recorded: Decimal
    guideline: Decimal
    why: str
    source: str
    citation: Citation | None


def contrasts(case: Case) -> tuple[Contrast, ...]:
    """Recorded limits at least 2 % away from ours (130 and 129 mmHg are the same); none of relative goals."""
    found = []
    for rule in case.guidelines.goals:
        if not rule.verified or rule.relative or not case.holds(rule.when) or case.holds(rule.unless):
            continue
        variant = _variant(rule, case)
        limits = _limits(rule, variant, case) if variant is not None else None
        existing = _existing(limits, case) if limits else None
        if variant is None or limits is None or existing is None:
            continue
        source, own = existing
        found += [
            Contrast(
                rule.key, key, own[key], limits[key], variant.why, source, next(iter(_citations(rule)), None)
            )
            for key in own
            if abs(own[key] - limits[key]) > limits[key] * SAME
        ]
    return tuple(found)


def propose_goals(case: Case) -> tuple[tuple[ProposedGoal, ...], tuple[Target, ...]]:
    """Goals in the order of the file, and their limits by analyte."""
    goals: list[ProposedGoal] = []
    targets: list[Target] = []
    for rule in case.guidelines.goals:
        if not rule.verified or not case.holds(rule.when) or case.holds(rule.unless):
            continue
        variant = _variant(rule, case)
        if variant is None:
            continue
        limits = _limits(rule, variant, case)
        if limits is None:
            continue
        existing = _existing(limits, case)
        if existing:
            limits = {key: existing[1].get(key, value) for key, value in limits.items()}
        goals.append(_goal(rule, variant, limits, existing[0] if existing else "", case))
        weight = _weight(existing[0] if existing else "", case)
        targets += [Target(rule.key, key, float(value), weight) for key, value in limits.items()]
    return tuple(goals), tuple(targets)


def _weight(source: str, case: Case) -> float:
    """Of the recorded Goal's priority; 1 for a goal that only we propose."""
    given = next((g.priority for g in case.coded.chart.goals if g.source == source), "")
    return case.guidelines.ranking.priority.get(given, 1.0)


def _variant(rule: GoalRule, case: Case) -> GoalVariant | None:
    for variant in rule.variants:
        if variant.when is None or case.holds(variant.when):
            return variant
    return None


def _limits(rule: GoalRule, variant: GoalVariant, case: Case) -> dict[str, Decimal] | None:
    """analyte -> limit; a relative one from the present value, None when there is none to start from."""
    if not rule.relative:
        return dict(variant.limits)
    found = {}
    for analyte, share in variant.limits:
        now = _present(analyte, case)
        if now is None:
            return None
        found[analyte] = Decimal(round(now * float(share)))
    return found


def _present(analyte: str, case: Case) -> float | None:
    """The present value. Weight comes from the twin's BMI and the height, so that one odd weight does no harm."""
    bmi, height = case.estimate("bmi"), case.patient.latest("height")
    if analyte == "weight" and bmi is not None and height is not None:
        return bmi.mean * (height.value / 100) ** 2
    estimate = case.estimate(analyte)
    if estimate is not None:
        return estimate.mean
    point = case.patient.latest(analyte)
    return point.value if point else None


def _existing(limits: dict[str, Decimal], case: Case) -> tuple[str, dict[str, Decimal]] | None:
    """A live Goal in the record about the same measure: its source and its own limits."""
    for goal in sorted(case.coded.chart.goals, key=lambda g: g.source):
        if goal.status not in LIVE:
            continue
        own = _own_limits(goal, limits, case)
        if own:
            return goal.source, own
    return None


def _own_limits(goal: PatientGoal, limits: dict[str, Decimal], case: Case) -> dict[str, Decimal]:
    own: dict[str, Decimal] = {}
    for target in goal.targets:
        for analyte in limits:
            codes = (case.guidelines.measures[analyte].code, *case.guidelines.aliases.get(analyte, ()))
            if target.measure and set(target.measure.codes(LOINC)) & set(codes):
                value = _upper(target, case.guidelines.units[analyte])
                if value is not None:
                    own[analyte] = value
    return own


def _upper(target: GoalTarget, units: tuple[str, str]) -> Decimal | None:
    """The upper limit of a recorded target, if it is in our unit."""
    if target.unit and target.unit not in units:
        return None
    if target.high is not None:
        return target.high
    return target.value if target.comparator in (None, "<", "<=") else None


def _goal(
    rule: GoalRule, variant: GoalVariant, limits: dict[str, Decimal], existing: str, case: Case
) -> ProposedGoal:
    words = {key: plain_number(value) for key, value in limits.items()}
    description = rule.description.format(**words)
    if variant.why and not existing:
        description = f"{description}. {variant.why}"
    parts = [
        (_coding(key, case), rule.comparator, value, *case.guidelines.units[key])
        for key, value in limits.items()
    ]
    single = parts[0] if len(parts) == 1 else None
    return ProposedGoal(
        key=rule.key,
        description=description,
        measure=single[0] if single else None,
        comparator=rule.comparator if single else "",
        value=single[2] if single else None,
        unit=single[3] if single else "",
        unit_code=single[4] if single else "",
        due=_due(case.as_of, rule.due_days),
        category=rule.category,
        priority=rule.priority,
        addresses=tuple(dict.fromkeys(s for g in rule.addresses for s in case.patient.sources(g, "now"))),
        components=tuple(parts) if len(parts) > 1 else (),
        citations=_citations(rule),
        existing=existing,
    )


def plain_number(value: Decimal) -> str:
    """Without trailing zeros: 8.0 -> "8"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _coding(analyte: str, case: Case) -> Coding:
    return case.guidelines.measures[analyte]


def _citations(rule: GoalRule) -> tuple[Citation, ...]:
    return tuple(e.citation(f"{rule.key}-{i}") for i, e in enumerate(rule.evidence))


def _due(as_of: datetime, days: int) -> datetime:
    """The first of the month after: the same all month long, so that a daily run changes nothing."""
    day = (as_of + timedelta(days=days)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=32)).replace(day=1)

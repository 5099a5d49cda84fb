"""What the patient asks for, applied: the price of an option, options that give way, and the Pareto set.

A preference moves options; it never lifts a safety rule and never adds one. What it costs is said: how many events the
preferred order avoids less.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.guidelines import PreferenceRule
from fhir_twin.model.scenario import Rejection
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.option import Option, belongs

COST = {"none": 0.0, "low": 0.1, "medium": 0.4, "high": 0.7, "very-high": 1.0}
MOST_TABLETS = 4.0


def priced(option: Option, case: Case) -> Option:
    """The option with what the stated preferences count against it."""
    stated = {p.key for p in case.preferences}
    rules = [rule for rule in case.guidelines.preferences.rules if rule.key in stated]
    amounts = [(rule, amount) for rule in rules if (amount := criterion(rule, option)) > 0]
    against = [rule for rule, amount in amounts if amount >= _noticed(rule)]
    return replace(
        option,
        price=sum(rule.price * amount for rule, amount in amounts),
        price_goal=sum(rule.price_goal * amount for rule, amount in amounts),
        wishes=tuple(rule.label for rule in against),
        gives_way=any(rule.gives_way for rule in against),
    )


def _noticed(rule: PreferenceRule) -> float:
    """How much of the criterion speaks against an option: a cheap generic is no matter of cost."""
    return {"cost": 0.7, "burden": 0.3, "pills": 1.0}.get(rule.criterion, 0.01)


def criterion(rule: PreferenceRule, option: Option) -> float:
    """How much of what the patient does not want the option brings, about 0 to 1 (tablets: a day, at most four)."""
    item = option.intervention
    if rule.criterion == "injection":
        return float(item.injection)
    if rule.criterion == "pills":
        return tablets(option)
    if rule.criterion == "cost":
        return COST[item.cost] if item.kind == "medication" else 0.0
    if rule.criterion == "weight-gain":
        return float(_gains(rule, option))
    return item.burden if rule.criterion == "burden" else 0.0


def tablets(option: Option) -> float:
    """Tablets a day that come on top of what is taken; none for an injection or a mere change of dose."""
    dose = option.dose
    if option.intervention.kind != "medication" or option.intervention.injection or option.choice.from_dose:
        return 0.0
    return min(MOST_TABLETS, max(1.0, (dose.per_day if dose and dose.per_day else 1.0)))


def _gains(rule: PreferenceRule, option: Option) -> bool:
    raised = any(
        key in ("weight", "bmi") and mean > 0 for key, mean, *_ in option.trajectory.biomarker_changes
    )
    return raised or bool(rule.raises_weight & set(option.intervention.classes))


def giving_way(found: tuple[Option, ...], case: Case) -> tuple[tuple[Option, ...], list[Rejection]]:
    """Options that a preference speaks against are left out while a rival of the same aim that it does not speak
    against is open; the reason says what that costs."""
    kept: list[Option] = []
    left: list[Rejection] = []
    for option in found:
        rivals = []
        if option.gives_way:
            rivals = [
                o for o in found if rivals_of(option, o, case) and not set(option.wishes) & set(o.wishes)
            ]
        if not rivals:
            kept.append(option)
            continue
        wish = ", ".join(option.wishes)
        names = " or ".join(dict.fromkeys(f'"{o.intervention.title}"' for o in rivals[:2]))
        text = f"The patient asks for: {wish}. {names} serves the same aim without it.{_cost(option, rivals)}"
        sources = tuple(s for p in case.preferences if p.text in option.wishes for s in p.sources)
        left.append(Rejection(option.trajectory.scenario, "preference", "preference", text, sources))
    return tuple(kept), left


def _cost(option: Option, rivals: list[Option]) -> str:
    known = [o.events for o in rivals if o.events is not None]
    if option.events is None or not known or min(known) - option.events < 0.0005:
        return ""
    more = 1000 * (min(known) - option.events)
    return f" It would avoid about {more:.0f} more events per 1,000 people in 10 years: worth telling the patient."


def rivals_of(option: Option, other: Option, case: Case) -> bool:
    """Another option with the same aim, or of the same family."""
    if option.key == other.key:
        return False
    if option.family == other.family:
        return True
    return any(belongs(option, aim) and belongs(other, aim) for aim in case.guidelines.aims)


def dominated(option: Option, found: tuple[Option, ...], case: Case) -> tuple[bool | None, Option | None]:
    """(in the Pareto set, who dominates it): events, goals, burden, injection, tablets, cost and gain of
    weight against every rival; None without a rival."""
    drug = option.intervention.kind
    rivals = [o for o in found if o.intervention.kind == drug and rivals_of(option, o, case)]
    if drug != "medication" or not rivals:  # changes of habit do not exclude one another
        return None, None
    mine = _respects(option)
    for rival in rivals:
        other = _respects(rival)
        if all(o <= m for o, m in zip(other, mine, strict=True)) and other != mine:
            return False, rival
    return True, None


def _respects(option: Option) -> tuple[float, ...]:
    """Smaller is better in every place."""
    item = option.intervention
    gain = any(key in ("weight", "bmi") and mean > 0 for key, mean, *_ in option.trajectory.biomarker_changes)
    return (
        round(option.events or 0.0, 4),
        -round(option.closed, 2),
        item.burden,
        float(item.injection),
        tablets(option),
        COST[item.cost],
        float(gain),
    )

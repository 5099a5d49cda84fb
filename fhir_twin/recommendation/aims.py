"""Not everything at once: of the drugs with one aim the best are proposed, the others named as next steps."""

from __future__ import annotations

from fhir_twin.model.guidelines import Aim
from fhir_twin.model.scenario import Rejection
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.option import Option, belongs
from fhir_twin.recommendation.sentence import small

Family = tuple[Option, tuple[Option, ...]]


def first_and_later(families: tuple[Family, ...], case: Case) -> tuple[tuple[Family, ...], list[Rejection]]:
    """families: best first. Those beyond what an aim allows become rejections that say so."""
    room = {aim.key: _room(aim, case) for aim in case.guidelines.aims}
    first: list[Family] = []
    later: list[Rejection] = []
    for family in families:
        option = family[0]
        aims = [aim for aim in case.guidelines.aims if belongs(option, aim)]
        full = next((aim for aim in aims if room[aim.key] <= 0), None)
        if full is not None:
            scenario = option.trajectory.scenario
            later.append(Rejection(scenario, f"aim-{full.key}", "next-step", _words(full, option)))
            continue
        for aim in aims:
            room[aim.key] -= 1
        first.append(family)
    return tuple(first), later


def safer_first(families: tuple[Family, ...], case: Case) -> tuple[tuple[Family, ...], dict[str, str]]:
    """An option with a caution of high severity comes after those of the same aim without one that do nearly as much
    (`similar` of its events, or as much for the goals). Also intervention key -> why it was moved."""
    grave = {rule.key for rule in case.safety.rules if rule.severity == "high"}
    warned = {scenario for scenario, rule, *_ in case.proposals.cautions if rule in grave}
    ordered = list(families)
    moved: dict[str, str] = {}
    for family in families:
        option = family[0]
        if option.key not in warned:
            continue
        here = ordered.index(family)
        rivals = [f for f in ordered[here + 1 :] if f[0].key not in warned and _rivals(option, f[0], case)]
        if rivals:
            ordered.remove(family)
            ordered.insert(ordered.index(rivals[-1]) + 1, family)
            names = " and ".join(f'"{small(f[0].intervention.title)}"' for f in rivals)
            moved[option.choice.intervention] = (
                f"Placed after {names} because of its caution, although the expected benefit is not smaller."
            )
    return tuple(ordered), moved


def _rivals(option: Option, other: Option, case: Case) -> bool:
    shared = any(belongs(option, aim) and belongs(other, aim) for aim in case.guidelines.aims)
    share = case.guidelines.ranking.similar
    if option.relative and other.relative:  # after a cardiovascular event all of them act on the same events
        return True
    if option.events is None or other.events is None:
        return shared and option.events is other.events and other.closed >= share * option.closed
    return shared and other.events <= share * option.events


def _room(aim: Aim, case: Case) -> int:
    return aim.more if aim.more and case.holds(aim.more_when) else aim.at_first


def _words(aim: Aim, option: Option) -> str:
    if option.events is None or option.events > -0.0005:
        return aim.next
    saved = f"about {1000 * -option.events:.0f} events avoided per 1,000 people in 10 years"
    return f"{aim.next} Expected then: {saved}, if it acts as it would alone."

"""Not everything at once: of the drugs with one aim the best are proposed, the others named as next steps."""

from __future__ import annotations

from fhir_twin.model.guidelines import Aim
from fhir_twin.model.scenario import Rejection
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.rank import Option

Family = tuple[Option, tuple[Option, ...]]


def first_and_later(families: tuple[Family, ...], case: Case) -> tuple[tuple[Family, ...], list[Rejection]]:
    """families: best first. Those beyond what an aim allows become rejections that say so."""
    room = {aim.key: _room(aim, case) for aim in case.guidelines.aims}
    first: list[Family] = []
    later: list[Rejection] = []
    for family in families:
        option = family[0]
        aims = [aim for aim in case.guidelines.aims if _belongs(option, aim)]
        full = next((aim for aim in aims if room[aim.key] <= 0), None)
        if full is not None:
            scenario = option.trajectory.scenario
            later.append(Rejection(scenario, f"aim-{full.key}", "next-step", _words(full, option)))
            continue
        for aim in aims:
            room[aim.key] -= 1
        first.append(family)
    return tuple(first), later


def _belongs(option: Option, aim: Aim) -> bool:
    named = option.intervention.key in aim.interventions
    return named or bool(aim.classes & set(option.intervention.classes))


def _room(aim: Aim, case: Case) -> int:
    return aim.more if aim.more and case.holds(aim.more_when) else aim.at_first


def _words(aim: Aim, option: Option) -> str:
    if option.events is None or option.events > -0.0005:
        return aim.next
    saved = f"about {1000 * -option.events:.0f} events avoided per 1,000 people in 10 years"
    return f"{aim.next} Expected then: {saved}, if it acts as it would alone."

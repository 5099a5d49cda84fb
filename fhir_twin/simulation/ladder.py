"""Which step of an intervention's dose ladder the patient is on already."""

from __future__ import annotations

from fhir_twin.model.coded import CodedChart, CodedMedication
from fhir_twin.model.intervention import Dose, Intervention


def taken(coded: CodedChart, item: Intervention) -> tuple[CodedMedication, ...]:
    """Current drugs that are this intervention: of its own class (the first named), or one of its ingredients when
    it has no class of its own (metformin, ezetimibe)."""
    if item.kind != "medication":
        return ()
    names = {*item.classes[:1], *item.ingredients} if item.key in item.classes else {*item.ingredients}
    found = {m.medication.source: m for name in sorted(names) for m in coded.taking(name)}
    return tuple(found[source] for source in sorted(found))


def step(item: Intervention, drugs: tuple[CodedMedication, ...]) -> Dose | None:
    """The ladder's step of what is taken; None when the daily dose cannot be told or is off the ladder."""
    if len(drugs) != 1 or drugs[0].daily_dose is None:
        return None
    drug, daily = drugs[0], float(drugs[0].daily_dose)
    for ingredient, steps in item.current:
        if ingredient in drug.ingredients:
            return next((item.dose(key) for up_to, key in steps if daily <= up_to), None)
    own = [d for d in item.doses if d.ingredient in drug.ingredients and d.amount is not None]
    reached = [d for d in own if float(d.amount or 0) * (d.per_day or 1.0) <= daily * 1.001]
    return reached[-1] if reached else (own[0] if own else None)


def next_step(item: Intervention, current: Dose) -> Dose | None:
    """One step up; None at the top."""
    keys = [d.key for d in item.doses]
    position = keys.index(current.key) + 1
    return item.doses[position] if position < len(keys) else None

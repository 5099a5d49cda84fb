"""What a scenario does: change of each biomarker and log hazard ratio of each event, per draw, at full onset.

Two routes to an event, never both for one intervention and event (the knowledge loader refuses that):
via a biomarker (trial ratio per unit times this patient's own change) or the class's own trial ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fhir_twin.dynamics.effects import effect_size, full_effect, log_ratio, percent_to_log
from fhir_twin.model.intervention import (
    Effect,
    EventEffect,
    Intervention,
    Interventions,
    Outcomes,
    TrialRatio,
)
from fhir_twin.model.scenario import Choice, Scenario
from fhir_twin.model.twin import Array, Profile
from fhir_twin.simulation.draws import normal

FOLLOWERS = {"ldl": "total-cholesterol"}


@dataclass(frozen=True, slots=True)
class Person:
    """What effects depend on. values: biomarker -> draws (D,), canonical; point: its central value; groups: conditions
    that hold or held; height: metres, None when not known; learned: (biomarker, drug class) -> mean and sd of this
    person's own response to a drug now taken, on the twin's scale, and whether that is the log."""

    values: dict[str, Array]
    point: dict[str, float]
    profile: Profile
    height: float | None
    draws: int
    learned: dict[tuple[str, str], tuple[float, float, bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventTerm:
    """log_ratio (D,): as the trials averaged it over their follow-up; `boost` times it is the full effect, reached
    with time constant tau after `delay` years."""

    outcome: str
    intervention: str
    log_ratio: Array
    tau: float
    delay: float
    boost: float = 1.0


@dataclass(frozen=True, slots=True)
class BiomarkerTerm:
    """Change of a biomarker at full onset: absolute (D,) in its unit, or of its log when `logged`."""

    biomarker: str
    intervention: str
    change: Array
    logged: bool
    tau: float
    delay: float


@dataclass(slots=True)
class Response:
    biomarkers: list[BiomarkerTerm] = field(default_factory=list)
    events: list[EventTerm] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)


def respond(scenario: Scenario, person: Person, interventions: Interventions, outcomes: Outcomes) -> Response:
    """All terms of a scenario. Raises KeyError for an unknown intervention or dose."""
    response = Response()
    for choice in scenario.choices:
        item = interventions.get(choice.intervention)
        terms = _biomarker_terms(choice, item, person, response)
        response.biomarkers += terms
    full = _full_changes(response.biomarkers, person)
    response.biomarkers += _followers(response.biomarkers, full, person)
    for choice in scenario.choices:
        item = interventions.get(choice.intervention)
        response.events += _event_terms(choice, item, person, full, outcomes)
    return response


def _adherence(choice: Choice, item: Intervention) -> float:
    return item.adherence if choice.adherence is None else choice.adherence


def _biomarker_terms(
    choice: Choice, item: Intervention, person: Person, response: Response
) -> list[BiomarkerTerm]:
    found = []
    for effect in item.effects:
        size = _size(effect, choice, item, person)
        if size is None:
            continue
        biomarker, logged = effect.biomarker, effect.kind == "percent"
        share = _factor(effect, choice, item) * _adherence(choice, item) * (-1.0 if choice.stop else 1.0)
        size = (percent_to_log(size) if logged else size) * share
        if biomarker == "weight":
            if person.height is None:
                response.unusable.add("weight")
                continue
            biomarker = "bmi"
            size = size if logged else size / person.height**2
        if biomarker not in person.values:
            response.unusable.add(biomarker)
            continue
        own = person.learned.get((biomarker, item.key)) if choice.stop else None
        if own is not None:
            mean, sd, logged = (
                own  # seen in this person, adherence included: before what trials saw in others
            )
            size = -(mean + sd * normal(f"person:{item.family or item.key}:{biomarker}", person.draws))
        found.append(BiomarkerTerm(biomarker, item.key, size, logged, item.onset_years, choice.delay_years))
    return found


def _size(effect: Effect, choice: Choice, item: Intervention, person: Person) -> Array | None:
    """Full effect (D,) in the effect's own scale, before `_factor`; None when it does not apply."""
    if not applies(effect, person) or _factor(effect, choice, item) == 0.0:
        return None
    scale = effect.biomarker
    baseline = person.values.get(scale, np.zeros(person.draws))
    return effect_size(
        baseline,
        effect.mean,
        effect.se,
        effect.personal_sd,
        normal(f"effect:{item.key}:{scale}", person.draws),
        normal(f"person:{item.family or item.key}:{scale}", person.draws),
        reference=effect.reference,
        slope=effect.slope,
    )


def _factor(effect: Effect, choice: Choice, item: Intervention) -> float:
    """Share of `effect` that the choice adds. Effects of one dose step: this step's effect counts in full, and of the
    step left behind it is taken back."""
    if effect.dose:
        return float(effect.dose == choice.dose) - float(effect.dose == choice.from_dose)
    before = item.dose(choice.from_dose).factor if choice.from_dose else 0.0
    return item.dose(choice.dose).factor - before


def applies(effect: Effect | EventEffect, person: Person) -> bool:
    """Do the effect's condition groups and baseline ranges fit this person?"""
    groups = person.profile.groups | person.profile.ever
    if not set(effect.groups_all) <= groups or set(effect.groups_none) & groups:
        return False
    if effect.groups_any and not set(effect.groups_any) & groups:
        return False
    if isinstance(effect, Effect):
        for biomarker, low, high in effect.when:
            value = person.point.get(biomarker)
            if value is None or (low is not None and value < low) or (high is not None and value >= high):
                return False
    return True


def _full_changes(terms: list[BiomarkerTerm], person: Person) -> dict[tuple[str, str], Array]:
    """Each intervention's share (D,) of the joint change of each biomarker, canonical unit, at full onset.

    Percent effects multiply, so of 100 two times -30 % is -51, not -60; the joint change is shared by log."""
    joint: dict[str, Array] = {}
    for term in terms:
        if term.logged:
            joint[term.biomarker] = joint.get(term.biomarker, np.zeros(person.draws)) + term.change
    full: dict[tuple[str, str], Array] = {}
    for term in terms:
        key = (term.intervention, term.biomarker)
        change = term.change
        if term.logged:
            total = joint[term.biomarker]
            safe = np.where(np.abs(total) > 1e-12, total, 1.0)
            per_log = np.where(np.abs(total) > 1e-12, np.expm1(total) / safe, 1.0)
            change = person.values[term.biomarker] * per_log * term.change
        full[key] = full.get(key, np.zeros(person.draws)) + change
    return full


def _followers(
    terms: list[BiomarkerTerm], full: dict[tuple[str, str], Array], person: Person
) -> list[BiomarkerTerm]:
    """What is in LDL is in total cholesterol, too, mg/dL for mg/dL; no trial ratio is asked of it again."""
    return [
        BiomarkerTerm(
            FOLLOWERS[t.biomarker], t.intervention, full[t.intervention, t.biomarker], False, t.tau, t.delay
        )
        for t in terms
        if t.biomarker in FOLLOWERS and FOLLOWERS[t.biomarker] in person.values
    ]


def _event_terms(
    choice: Choice,
    item: Intervention,
    person: Person,
    full: dict[tuple[str, str], Array],
    outcomes: Outcomes,
) -> list[EventTerm]:
    found = []
    for event in item.events:
        if not applies(event, person) or (event.dose and event.dose != choice.dose):
            continue
        if event.via:
            trial = _trial(outcomes, event.via, event.outcome)
            change = full.get((item.key, event.via))
            if trial is None or change is None:
                continue
            per_unit = log_ratio(
                trial.ratio, trial.low, trial.high, normal(f"ratio:{event.via}:{event.outcome}", person.draws)
            )
            term, tau = per_unit * change / trial.per, max(trial.onset_years, item.onset_years)
            follow_up = trial.follow_up_years
        elif choice.from_dose:
            continue  # a class ratio says nothing about a higher dose of the same drug
        else:
            z = normal(f"event:{item.key}:{event.outcome}", person.draws)
            kept = (
                1.0 if choice.adherence is None else choice.adherence
            )  # trial ratios are by intention to treat
            share = -kept if choice.stop else kept
            term, tau = log_ratio(event.ratio, event.low, event.high, z) * share, event.onset_years
            follow_up = event.follow_up_years
        boost = full_effect(tau, follow_up)
        found.append(EventTerm(event.outcome, item.key, term, tau, choice.delay_years, boost))
    return found


def _trial(outcomes: Outcomes, biomarker: str, outcome: str) -> TrialRatio | None:
    return next((r for r in outcomes.trial_ratios if r.biomarker == biomarker and r.outcome == outcome), None)

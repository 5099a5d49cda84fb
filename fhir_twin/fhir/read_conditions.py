"""Condition -> Problem (CO-1) and AllergyIntolerance -> Allergy (AL-1)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.model.chart import Allergy, Problem
from fhir_twin.model.codes import SNOMED, Concept

DROPPED = frozenset(["refuted", "entered-in-error"])
POSSIBLE = frozenset(["provisional", "differential", "unconfirmed", "presumed"])
OVER = frozenset(["inactive", "remission", "resolved"])
# AL-1: a stated absence. 716186003 no known allergy, 409137002 no known drug allergy.
NO_KNOWN = frozenset(["716186003", "409137002"])
_NO_KNOWN_TEXT = re.compile(
    r"\s*(?:nkd?a|nil known|(?:no known|no|denies(?: any)?)\s+(?:known\s+)?(?:drug\s+|medication\s+)?allerg(?:y|ies))"
    r"[\s.]*(?:\(.*\))?\s*",
    re.IGNORECASE,
)

Certainty = Literal["confirmed", "possible"]


def read_condition(given: k.Condition, source: str, context: Context) -> Problem | None:
    """The problem; None (with a count or an Issue) when refuted, in error, without any code, or later."""
    verification = elements.status_code(given.verification_status)
    if verification in DROPPED:
        context.skip_status("Condition", verification)
        return None
    concept = elements.concept(given.code)
    if elements.is_empty(concept):
        context.issues.add("warning", "required", "Condition without code and text: not used", source)
        return None
    onset = _onset(given, source, context)
    recorded = context.when(given.recorded_date, source, "Condition.recordedDate")
    if context.later(onset) or (onset is None and context.later(recorded)):
        context.skip_later("Condition")
        return None
    clinical, abatement = _state(given, source, context)
    return Problem(
        source=source,
        concept=concept,
        clinical=clinical,
        certainty=_certainty(verification),
        categories=elements.codes(given.category),
        onset=onset,
        onset_age=_onset_age(given),
        abatement=abatement,
        recorded=recorded.point_by(context.as_of) if recorded is not None else None,
        severity=elements.concept(given.severity) if given.severity is not None else None,
        stages=tuple(elements.concept(stage.summary) for stage in given.stage if stage.summary is not None),
        encounter=context.index.target(given.encounter, "Encounter"),
        notes=tuple(note.text.strip() for note in given.note if note.text),
    )


def _certainty(verification: str) -> Certainty:
    return "possible" if verification in POSSIBLE else "confirmed"


def _onset(given: k.Condition, source: str, context: Context) -> datetime | None:
    found = context.point(given.onset_date_time, source, "Condition.onsetDateTime")
    if found is None and given.onset_period is not None:
        found = context.point(given.onset_period.start, source, "Condition.onsetPeriod.start")
    return found


def _onset_age(given: k.Condition) -> float | None:
    for age in (elements.age_years(given.onset_age), elements.age_in_range(given.onset_range)):
        if age is not None:
            return age
    return elements.age_in_text(given.onset_string)


def _state(given: k.Condition, source: str, context: Context) -> tuple[str, datetime | None]:
    """(clinical status, abatement) as of as_of: an end after it has not happened yet; any abatement is an end."""
    clinical = elements.status_code(given.clinical_status)
    text = given.abatement_date_time
    if text is None and given.abatement_period is not None:
        text = given.abatement_period.end or given.abatement_period.start
    ended = context.when(text, source, "Condition.abatement[x]")
    if ended is not None and context.later(ended):
        return ("active" if clinical in OVER else clinical), None
    told = (given.abatement_age, given.abatement_range, given.abatement_string)
    if ended is None and (text or any(t is not None for t in told)) and clinical not in OVER:
        return "inactive", None  # con-4: it abated, only the date is not known
    return clinical, ended.point_by(context.as_of) if ended is not None else None


def read_allergy(given: k.AllergyIntolerance, source: str, context: Context) -> Allergy | None:
    """The allergy or the stated absence of any; None when refuted, in error, empty, or recorded later."""
    verification = elements.status_code(given.verification_status)
    if verification in DROPPED:
        context.skip_status("AllergyIntolerance", verification)
        return None
    concept = elements.concept(given.code)
    if elements.is_empty(concept):
        concept = elements.first_concept(r.substance for r in given.reaction if r.substance is not None)
    if elements.is_empty(concept):
        context.issues.add(
            "error", "required", "AllergyIntolerance names no substance: ask what it is", source
        )
        return None
    recorded = context.when(given.recorded_date, source, "AllergyIntolerance.recordedDate")
    if context.later(recorded):
        context.skip_later("AllergyIntolerance")
        return None
    clinical = elements.status_code(given.clinical_status)
    return Allergy(
        source=source,
        concept=concept,
        active=clinical in ("active", ""),
        kind=elements.tidy(given.type),
        categories=tuple(elements.tidy(c) for c in given.category),
        criticality=elements.tidy(given.criticality),
        reactions=_reactions(given),
        severities=tuple(elements.tidy(r.severity) for r in given.reaction if r.severity),
        certainty=_certainty(verification),
        none_known=is_none_known(concept),
    )


def _reactions(given: k.AllergyIntolerance) -> tuple[Concept, ...]:
    """Manifestations; a reaction that is only described counts with its words."""
    found: list[Concept] = []
    for reaction in given.reaction:
        concepts = [c for c in map(elements.concept, reaction.manifestation) if not elements.is_empty(c)]
        if not concepts and reaction.description:
            concepts = [Concept((), reaction.description.strip())]
        found += concepts
    return tuple(found)


def is_none_known(concept: Concept) -> bool:
    if any(code in NO_KNOWN for code in concept.codes(SNOMED)):
        return True
    return not concept.codings and _NO_KNOWN_TEXT.fullmatch(concept.text) is not None

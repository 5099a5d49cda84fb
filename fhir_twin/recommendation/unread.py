"""Drugs proposed although part of the record could not be read: each says what it was not checked against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.recommendation.case import Case

# Type -> what a drug is checked against there. Nothing of it was seen, or not all.
_CHECKED = {
    "AllergyIntolerance": "allergies",
    "MedicationRequest": "what is taken already",
    "Condition": "the problem list",
    "Observation": "laboratory values and vital signs",
}
_UNREAD = frozenset({"not-permitted", "not-offered", "failed", "short", "not-asked"})


def unchecked(case: Case) -> tuple[str, ...]:
    """What drugs could not be checked against, in words, as far as the record says how it was read."""
    states = {c.type: c.state for c in case.coded.chart.completeness}
    return tuple(words for type_, words in _CHECKED.items() if states.get(type_) in _UNREAD)


def warned(proposals: Iterable[Recommendation], case: Case) -> tuple[Recommendation, ...]:
    """The proposals; a drug that is to be begun or changed has the warning as its first caution."""
    lacking = unchecked(case)
    if not lacking:
        return tuple(proposals)
    listed = lacking[0] if len(lacking) == 1 else f"{', '.join(lacking[:-1])} and {lacking[-1]}"
    warning = Reason(
        f"Not checked, or not wholly, against {listed}: the record could not be read completely. "
        "Look there before it is ordered."
    )
    return tuple(
        replace(r, cautions=(warning, *r.cautions)) if r.kind == "medication" and not r.stop else r
        for r in proposals
    )

"""Sections of a note: a heading ("PMH:", "Family history:") colours what stands below it until the next heading."""

from __future__ import annotations

from collections.abc import Sequence

Token = tuple[str, int, int]
_LONGEST = 5

_NAMES: dict[str, str] = {
    "past medical history": "past", "pmh": "past", "pmhx": "past", "medical history": "past", "past history": "past",
    "past surgical history": "past", "psh": "past", "pshx": "past", "surgical history": "past", "hx": "past",
    "history": "past", "past medical hx": "past", "past psychiatric history": "past",
    "family history": "family", "fh": "family", "fhx": "family", "fmh": "family", "family hx": "family",
    "fam hx": "family", "family medical history": "family",
    "social history": "social", "sh": "social", "shx": "social", "social hx": "social",
    "allergies": "allergies", "allergy": "allergies", "medications": "medications", "meds": "medications",
    "current medications": "medications", "home medications": "medications",
    "assessment": "assessment", "a/p": "assessment", "assessment and plan": "assessment", "impression": "assessment",
    "diagnosis": "assessment", "diagnoses": "assessment", "discharge diagnosis": "assessment", "dx": "assessment",
    "problem list": "assessment", "problems": "assessment", "active problems": "assessment",
    "plan": "plan", "hpi": "present", "history of present illness": "present", "chief complaint": "present",
    "cc": "present", "reason for visit": "present", "subjective": "present", "objective": "present",
    "review of systems": "review", "ros": "review", "physical exam": "exam", "exam": "exam", "pe": "exam",
    "labs": "labs", "laboratory": "labs", "imaging": "imaging", "hospital course": "present",
}  # fmt: skip


def section_of(tokens: Sequence[Token], first: int, last: int, current: str) -> tuple[str, int]:
    """(section, first token after its heading) for a sentence at tokens [first, last)."""
    for colon in range(first + 1, min(first + _LONGEST + 1, last)):
        if tokens[colon][0] == ":":
            name = _NAMES.get(" ".join(t for t, _, _ in tokens[first:colon]))
            return (name, colon + 1) if name else (current, first)
    return current, first

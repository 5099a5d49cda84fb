"""SMART scopes, v1 and v2: what a granted scope string allows (SC-1..4). Pure.

    patient/Observation.rs   user/*.read   system/Condition.rs?category=...   launch/patient   openid

What is not understood allows nothing. A scope with a filter (`?category=`) allows part of a type only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Context = Literal["patient", "user", "system"]
_V2 = re.compile(r"(patient|user|system)/([A-Z][A-Za-z]{1,63}|\*)\.([cruds]{1,5})(\?\S+)?\Z")
_V1 = re.compile(r"(patient|user|system)/([A-Z][A-Za-z]{1,63}|\*)\.(read|write|\*)\Z")
_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}
# R4 interactions -> the letters they need (SC-2); conditional ones need to look first.
INTERACTIONS = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "search-type": "s",
    "history-type": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """One resource scope. query: its filter without "?", "" for the whole type."""

    context: Context
    type: str
    letters: frozenset[str]
    query: str = ""

    def covers(self, type_: str) -> bool:
        return self.type in ("*", type_)


@dataclass(frozen=True, slots=True)
class Granted:
    """A granted scope string, read. others: everything that is no resource scope ("openid", "launch/patient")."""

    scopes: tuple[Scope, ...]
    others: frozenset[str]

    def may(self, type_: str, letter: str) -> bool:
        """The interaction is allowed, for all or for a part of the type."""
        return any(letter in s.letters and s.covers(type_) for s in self.scopes)

    def wholly(self, type_: str, letter: str) -> bool:
        """It is allowed for every resource of the type that the context lets us see."""
        return any(letter in s.letters and s.covers(type_) and not s.query for s in self.scopes)

    def filters(self, type_: str, letter: str) -> tuple[str, ...]:
        """The filters of a type that is allowed in part only; () when it is allowed wholly or not at all."""
        if self.wholly(type_, letter):
            return ()
        return tuple(dict.fromkeys(s.query for s in self.scopes if letter in s.letters and s.covers(type_)))

    @property
    def one_patient(self) -> bool:
        """True when every resource scope is of the patient in context."""
        return bool(self.scopes) and all(s.context == "patient" for s in self.scopes)


def read_scopes(text: str) -> Granted:
    """Letters out of order are taken all the same (some servers write `sr`); words that are unknown are kept apart."""
    scopes: list[Scope] = []
    others: set[str] = set()
    for word in text.split():
        if (match := _V1.match(word)) is not None:
            scopes.append(Scope(match[1], match[2], frozenset(_LETTERS[match[3]])))  # type: ignore[arg-type]
        elif (match := _V2.match(word)) is not None:
            query = (match[4] or "")[1:]
            scopes.append(Scope(match[1], match[2], frozenset(match[3]), query))  # type: ignore[arg-type]
        else:
            others.add(word)
    return Granted(tuple(dict.fromkeys(scopes)), frozenset(others))


READ_TYPES = (
    "Observation", "Condition", "MedicationRequest", "MedicationStatement", "AllergyIntolerance", "Procedure",
    "Encounter", "DiagnosticReport", "Immunization", "FamilyMemberHistory", "Goal", "CarePlan", "Consent",
    "ServiceRequest", "DocumentReference", "NutritionOrder", "CommunicationRequest",
)  # fmt: skip
LOOKED_UP = ("Patient", "Medication", "Practitioner")
WRITTEN_TYPES = (
    "Goal", "MedicationRequest", "ServiceRequest", "NutritionOrder", "CommunicationRequest", "RequestGroup",
    "RiskAssessment", "DetectedIssue", "GuidanceResponse", "CarePlan", "Provenance", "Device",
)  # fmt: skip
# Without these no safe proposal can be made: what is wrong, what is taken, what is not tolerated.
NEEDED_TO_PLAN = ("Observation", "Condition", "MedicationRequest", "AllergyIntolerance")


def wanted_scopes(
    context: Context, *, v2: bool, write: bool, types: Iterable[str] = READ_TYPES
) -> tuple[str, ...]:
    """The least we ask for (SC-3), in the form the server understands (SC-4)."""
    read = dict.fromkeys(types, "rs" if v2 else "read") | dict.fromkeys(LOOKED_UP, "r" if v2 else "read")
    words = [f"{context}/{t}.{how}" for t, how in read.items()]
    if not write:
        return tuple(words)
    if not v2:
        return (*words, *(f"{context}/{t}.read" for t in WRITTEN_TYPES if t not in read),
                *(f"{context}/{t}.write" for t in WRITTEN_TYPES))  # fmt: skip
    kept = [f"{context}/{t}.{how}" for t, how in read.items() if t not in WRITTEN_TYPES]
    return (*kept, *(f"{context}/{t}.crus" for t in WRITTEN_TYPES))


def known_to(wanted: Iterable[str], supported: Iterable[str]) -> tuple[str, ...]:
    """Those of `wanted` that a server lists. Lists may be incomplete: one that lacks what nobody can do without is
    taken for examples, and nothing is left out."""
    listed = read_scopes(" ".join(supported))
    if not all(listed.may(t, "s") for t in NEEDED_TO_PLAN) or not listed.may("Patient", "r"):
        return tuple(wanted)
    kept = []
    for word in wanted:
        [scope] = read_scopes(word).scopes
        same = tuple(s for s in listed.scopes if s.context == scope.context and s.covers(scope.type))
        if scope.letters <= frozenset().union(*(s.letters for s in same)):
            kept.append(word)
    return tuple(kept)

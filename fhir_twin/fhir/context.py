"""What every reader of a resource needs: the moment, the references, the encounters, and where to say issues."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import msgspec

from fhir_twin.errors import Issue, Severity
from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.moments import Moment, moment
from fhir_twin.fhir.resolve import Index, contained
from fhir_twin.model.chart import Setting
from fhir_twin.model.codes import Concept

E = TypeVar("E", bound=s.Element)
# The same finding is told for this many resources one by one; the rest are counted.
TOLD_ONE_BY_ONE = 20
SKIPPED_STATUSES = frozenset(
    [
        "entered-in-error",
        "cancelled",
        "registered",
        "unknown",
        "refuted",
        "not-done",
        "draft",
        "rejected",
        "proposed",
    ]
)


class Issues:
    """Collects issues; the same words about very many resources become one line with a count."""

    def __init__(self) -> None:
        self._issues: list[Issue] = []
        self._seen: Counter[tuple[Severity, str, str]] = Counter()
        self._counted: Counter[tuple[Severity, str, str]] = Counter()

    def add(self, severity: Severity, code: str, diagnostics: str, expression: str = "") -> None:
        key = (severity, code, diagnostics)
        self._seen[key] += 1
        if self._seen[key] <= TOLD_ONE_BY_ONE:
            self._issues.append(Issue(severity, code, diagnostics, expression))

    def count(self, severity: Severity, code: str, diagnostics: str) -> None:
        """One issue for all of them, its text led by their number."""
        self._counted[(severity, code, diagnostics)] += 1

    def extend(self, issues: tuple[Issue, ...]) -> None:
        self._issues.extend(issues)

    def all(self) -> tuple[Issue, ...]:
        more = [
            Issue(severity, code, f"{text} (and {number - TOLD_ONE_BY_ONE} more)")
            for (severity, code, text), number in self._seen.items()
            if number > TOLD_ONE_BY_ONE
        ]
        counted = [
            Issue(severity, code, f"{number} {text}")
            for (severity, code, text), number in self._counted.items()
        ]
        return tuple(self._issues + more + counted)


@dataclass(slots=True, repr=False)
class Context:
    """One read: `patient` is "Patient/id"; `encounters` maps "Encounter/id" to its class code (EN-1)."""

    as_of: datetime
    patient: str
    index: Index
    issues: Issues
    encounters: dict[str, str] = field(default_factory=dict)
    panels: dict[str, Concept] = field(default_factory=dict)
    settings: dict[object, Setting] = field(default_factory=dict)
    _moments: dict[str, Moment | None] = field(default_factory=dict)
    _concepts: dict[s.CodeableConcept, Concept] = field(default_factory=dict)
    _categories: dict[tuple[s.CodeableConcept, ...], tuple[str, ...]] = field(default_factory=dict)

    def concept(self, given: s.CodeableConcept | None) -> Concept:
        """elements.concept, each different one read once (a chart repeats the same codes hundreds of times)."""
        if given is None:
            return elements.EMPTY
        known = self._concepts.get(given)
        if known is None:
            known = self._concepts[given] = elements.concept(given)
        return known

    def codes(self, given: tuple[s.CodeableConcept, ...]) -> tuple[str, ...]:
        """elements.codes, each different list read once."""
        if not given:
            return ()
        known = self._categories.get(given)
        if known is None:
            known = self._categories[given] = elements.codes(given)
        return known

    def when(self, text: str | None, source: str, element: str) -> Moment | None:
        """A date of `source`; one that is no date is an issue and counts as not given (RD-13)."""
        if not text:
            return None
        zone = self.as_of.tzinfo
        assert zone is not None
        found = moment(text, zone)
        if found is None:
            self.issues.add(
                "warning", "value", f"{element} is not a usable FHIR date; read as not given", source
            )
        return found

    def point(self, text: str | None, source: str, element: str) -> datetime | None:
        found = self.when(text, source, element)
        return None if found is None else found.point_by(self.as_of)

    def later(self, found: Moment | datetime | None) -> bool:
        """True for what begins after as_of: it is not looked at."""
        start = found.start if isinstance(found, Moment) else found
        return start is not None and start > self.as_of

    def skip_later(self, kind: str) -> None:
        self.issues.count("information", "informational", f"{kind} dated after as_of: not looked at")

    def skip_status(self, kind: str, status: str) -> None:
        """status is named only when it is a code we know: anything else could be anybody's text."""
        named = (
            f"with status {status}" if status in SKIPPED_STATUSES else "with a status that R4 does not have"
        )
        self.issues.count("information", "informational", f"{kind} {named}: not used")

    def concept_of(self, reference: s.Reference | None, raw: Resource, field_name: str) -> Concept:
        """The concept at `field_name` of the resource a reference means; its display as text when not there."""
        if reference is None:
            return elements.EMPTY
        found = self.resource_of(reference, raw)
        given = self.convert(found.get(field_name), s.CodeableConcept) if found is not None else None
        concept = elements.concept(given)
        return Concept((), (reference.display or "").strip()) if elements.is_empty(concept) else concept

    def convert(self, given: object, kind: type[E]) -> E | None:
        """A part of a referenced resource as a struct; None when it is not there or of a wrong type."""
        try:
            return msgspec.convert(given, kind) if given is not None else None
        except (msgspec.ValidationError, RecursionError):
            return None

    def resource_of(self, reference: s.Reference | None, raw: Resource) -> Resource | None:
        """The raw resource a reference means: contained in `raw`, else in the Bundle."""
        held = contained(raw, reference)
        if held is not None:
            return held
        entry = self.index.find(reference)
        return entry.raw if entry is not None else None

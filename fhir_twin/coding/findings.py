"""What coding notes down on the way: decisions of the text coder and issues, each once, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_twin.coding.coder import Coder
from fhir_twin.coding.maps import ConceptMaps
from fhir_twin.coding.systems import as_meant
from fhir_twin.errors import Issue, Severity
from fhir_twin.model.coded import SourcedDecision
from fhir_twin.model.codes import Concept
from terminology.decision import CodingDecision, Kind

MISNAMED = "The code system of a code is misnamed; the code was read under the system that it belongs to"


@dataclass(repr=False)
class Desk:
    """One call's workplace: the coder with a memory (a text is coded once per call), and what was noted."""

    coder: Coder
    maps: ConceptMaps
    decisions: list[SourcedDecision] = field(default_factory=list)
    issues: dict[Issue, None] = field(default_factory=dict)
    _mentions: dict[tuple[str, Kind], tuple[CodingDecision, ...]] = field(default_factory=dict)
    _whole: dict[tuple[str, Kind], CodingDecision] = field(default_factory=dict)

    def mentions(self, text: str, kind: Kind, source: str, where: str) -> tuple[CodingDecision, ...]:
        """All mentions in `text`; every decision is noted under `source` and `where`."""
        if (text, kind) not in self._mentions:
            self._mentions[text, kind] = self.coder.code_all(text, kind)
        found = self._mentions[text, kind]
        self.decisions.extend(SourcedDecision(source, where, d) for d in found)
        return found

    def whole(self, text: str, kind: Kind, source: str, where: str) -> CodingDecision:
        """The one decision about `text`, noted under `source` and `where`."""
        if (text, kind) not in self._whole:
            self._whole[text, kind] = self.coder.code(text, kind)
        found = self._whole[text, kind]
        self.decisions.append(SourcedDecision(source, where, found))
        return found

    def meant(self, concept: Concept, source: str) -> Concept:
        """`concept` with misnamed code systems put right; noted when one was."""
        meant = as_meant(concept, self.maps.problems.by_snomed)
        if meant is not concept:
            self.note("information", "code-invalid", MISNAMED, source)
        return meant

    def note(self, severity: Severity, code: str, diagnostics: str, source: str) -> None:
        """One issue; `diagnostics` never quotes the record."""
        self.issues[Issue(severity, code, diagnostics, source, "code")] = None

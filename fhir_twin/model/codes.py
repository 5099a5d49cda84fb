"""Codings, concepts and the code system URIs. No I/O, no FHIR JSON keys."""

from __future__ import annotations

from dataclasses import dataclass, field

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD9CM = "http://hl7.org/fhir/sid/icd-9-cm"
NDC = "http://hl7.org/fhir/sid/ndc"
CVX = "http://hl7.org/fhir/sid/cvx"
ATC = "http://www.whocc.no/atc"
UCUM = "http://unitsofmeasure.org"
HGNC = "http://www.genenames.org"
CPT = "http://www.ama-assn.org/go/cpt"

# OIDs that C-CDA feeds and some servers put where the URI belongs (standards.md OB-12, CD-6).
URI_OF_OID = {
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
    "urn:oid:2.16.840.1.113883.6.88": RXNORM,
    "urn:oid:2.16.840.1.113883.6.90": ICD10CM,
    "urn:oid:2.16.840.1.113883.6.103": ICD9CM,
    "urn:oid:2.16.840.1.113883.12.292": CVX,
    "urn:oid:2.16.840.1.113883.6.8": UCUM,
}


@dataclass(frozen=True, slots=True)
class Coding:
    """One code of one system. `system` is a URI (OIDs already turned into URIs) or "" when unknown."""

    system: str
    code: str
    display: str = ""
    user_selected: bool = False


@dataclass(frozen=True, slots=True)
class Concept:
    """A CodeableConcept: codings in the order given, and the text as written ("" when there is none)."""

    codings: tuple[Coding, ...] = ()
    text: str = field(default="", repr=False)

    def codes(self, system: str) -> tuple[str, ...]:
        """All codes of `system`, userSelected first, in order."""
        ordered = sorted((c for c in self.codings if c.system == system), key=lambda c: not c.user_selected)
        return tuple(c.code for c in ordered)

    def has(self, system: str, code: str) -> bool:
        return any(c.system == system and c.code == code for c in self.codings)

    @property
    def label(self) -> str:
        """The best human-readable words: text, else the first display, else the first code."""
        if self.text:
            return self.text
        return next((c.display for c in self.codings if c.display), next((c.code for c in self.codings), ""))

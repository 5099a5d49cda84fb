"""Code systems as senders misname them: other spellings, bare OIDs, and codes under the wrong system (OB-12, CD-6).

Only what can be meant in one way is repaired; the rest is left as it came."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import replace

from fhir_twin.coding.icd import ICD10, dotted
from fhir_twin.model.check_digits import loinc_digit
from fhir_twin.model.codes import ATC, ICD9CM, ICD10CM, LOINC, RXNORM, SNOMED, URI_OF_OID, Coding, Concept

_NAMES = {
    ICD10CM: ("icd-10-cm", "icd10cm", "icd10-cm", "icd-10cm", "i10", "http://hl7.org/fhir/sid/icd10cm",
              "http://hl7.org/fhir/sid/icd-10-cm", "http://www.cms.gov/icd10", "http://hl7.org/fhir/sid/icd-10-us"),
    ICD9CM: ("icd-9-cm", "icd9cm", "icd-9", "icd9", "i9", "http://hl7.org/fhir/sid/icd-9-cm"),
    ICD10: ("icd-10", "icd10", "http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.3"),
    SNOMED: ("snomed", "snomed ct", "snomed-ct", "snomedct", "snomedct_us", "sct", "http://snomed.info/sct"),
    LOINC: ("loinc", "ln", "lnc", "http://loinc.org"),
    RXNORM: ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ATC: ("atc", "http://www.whocc.no/atc", "http://fhir.de/codesystem/bfarm/atc", "http://fhir.de/codesystem/dimdi/atc",
          "urn:oid:2.16.840.1.113883.6.73"),
}  # fmt: skip
_MEANT = {name: system for system, names in _NAMES.items() for name in names} | {
    oid.removeprefix("urn:oid:"): uri for oid, uri in URI_OF_OID.items()
}
_ICD_WITH_DOT = re.compile(r"[A-Za-z][0-9][0-9A-Za-z]\.[0-9A-Za-z]{1,4}")
_LOINC = re.compile(r"\d{3,6}-\d")
_ICD_LETTER = re.compile(r"[A-TV-Za-tv-z][0-9][0-9A-Za-z](?:\.?[0-9A-Za-z]{1,4})?")


def system_meant(system: str) -> str:
    """The URI that `system` stands for, whatever its case, scheme, trailing slash, version, edition or OID spelling."""
    plain = system.strip().split("|")[0].rstrip("/").lower().replace("https://", "http://")
    if plain.startswith("http://snomed.info/sct/"):
        return SNOMED
    return _MEANT.get(plain, system)


def as_meant(concept: Concept, snomed_codes: Container[str] = ()) -> Concept:
    """`concept` with its codings under the systems that they belong to; the same object when nothing changes.

    snomed_codes: SNOMED CT codes that are known; a number under another or no system is only taken for one of them."""
    codings = tuple(_coding(c, snomed_codes) for c in concept.codings)
    return concept if codings == concept.codings else replace(concept, codings=codings)


def _coding(coding: Coding, snomed_codes: Container[str]) -> Coding:
    system, code = system_meant(coding.system), coding.code.strip()
    if system == SNOMED and _ICD_LETTER.fullmatch(code):
        system = ICD10CM
    elif system in (ICD10CM, "") and code.isdigit() and len(code) > 5 and code in snomed_codes:
        system = SNOMED
    elif system == "" and _LOINC.fullmatch(code) and loinc_digit(code):
        system = LOINC
    elif system == "" and _ICD_WITH_DOT.fullmatch(code) and dotted(code):
        system = ICD10CM
    if (system, code) == (coding.system, coding.code):
        return coding
    return replace(coding, system=system, code=code)

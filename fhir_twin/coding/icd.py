"""ICD-10-CM codes as strings: spelling, lying below a heading, and which of them speak of the past."""

from __future__ import annotations

import re

from fhir_twin.model.codes import ICD10CM, Concept

# WHO's ICD-10 and its German modification: the same first four characters mean the same as in ICD-10-CM nearly always.
ICD10 = "http://hl7.org/fhir/sid/icd-10"
RELATIVES = (ICD10, "http://fhir.de/CodeSystem/bfarm/icd-10-gm")

# ICD-10-CM, chapter 21: personal history of malignant neoplasm, of gestational diabetes, of ulcer and other disease
# that is over. Z86.73 (old TIA or infarction) is not here: the disease of the arteries goes on.
OVER = ("Z85", "Z86.0", "Z86.1", "Z86.2", "Z86.32", "Z86.5", "Z86.6", "Z87")

# Codes of a state that lasts: acquired absence, transplant, presence of a graft, old infarction, stroke survived.
STATES = ("Z89", "Z90", "Z93", "Z94", "Z95", "Z96", "Z97", "Z98", "Z99", "Z86.73", "I25.2")

_CODE = re.compile(r"([A-Z][0-9][0-9A-Z])\.?([0-9A-Z]{0,4})")


def dotted(code: str) -> str:
    """ "a419" -> "A41.9"; "" when it cannot be an ICD-10-CM code."""
    found = _CODE.fullmatch(code.strip().upper())
    if found is None:
        return ""
    head, tail = found.groups()
    return f"{head}.{tail}" if tail else head


def below(code: str, heading: str) -> bool:
    """`code` equals `heading` or lies below it. A heading is a code ("E11", "E11.3") or a range of categories
    ("C00-C96")."""
    if "-" in heading:
        low, high = heading.split("-", 1)
        return low <= code[:3] <= high
    return code == heading or code.startswith(heading if "." in heading else heading + ".")


def over(code: str) -> bool:
    """`code` says "personal history of" something that is over."""
    return any(below(code, heading) for heading in OVER)


def lasts(code: str) -> bool:
    """`code` names a state that stays once it is there, so that "status post" means now."""
    return any(below(code, heading) for heading in STATES)


def icd10cm_codes(concept: Concept) -> tuple[str, ...]:
    """The concept's ICD-10-CM codes, with dot, each once, userSelected first; unreadable ones are left out."""
    return tuple(dict.fromkeys(d for c in concept.codes(ICD10CM) if (d := dotted(c))))


def icd10_codes(concept: Concept) -> tuple[str, ...]:
    """The concept's codes of other ICD-10 editions, cut to the four characters that the editions share."""
    found = (dotted(c)[:5] for system in RELATIVES for c in concept.codes(system))
    return tuple(dict.fromkeys(c for c in found if c))

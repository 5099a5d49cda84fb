"""An order that is active by its status and stopped by its own words ("DISCONTINUED", "patient no longer taking").

Words win over a status that nobody closed, because a drug that is not taken must not hide a missing one; the
contradiction is kept as a flag and becomes a finding. Only a sentence about this drug counts: one that names another
drug first, a condition ("stop if ...", "until"), a prohibition ("do not stop") or irregular use does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fhir_twin.fhir import structs as s

FLAG = "text-says-stopped"
_PARTS = re.compile(r"[.;,:\n()\[\]]|\s[-\u2013\u2014]\s")
_WHO = (
    r"(?:the|this|pt|patient|he|she|they|it|med|meds|medication|medicine|drug|rx|prescription|order|tablets?|therapy"
    r"|treatment|currently|now|status|note|please note)"
)
_STOP = (
    r"(?:discontinued?(?!\s+if)|d/c'?d?|dc'd|stopped|ceased|withdrawn|no longer (?:tak\w+|us\w+|need\w*|prescribed|on)"
    r"|not (?:currently )?taking|isn'?t taking|doesn'?t take|does not take|never (?:started|taken|took|filled)"
    r"|not (?:being )?taken|not started)"
)
_SAYS = re.compile(
    rf"^\W*(?:{_WHO}\b[\s/]*)*(?:has|have|had|was|is|been|being|self)?[\s-]*(?:been[\s-]*)?{_STOP}\b",
    re.IGNORECASE,
)
_NOT_SO = re.compile(
    r"\b(?:do not|don'?t|should not|must not|never) (?:stop|discontinue)"
    r"|\bnot (?:been )?(?:stopped|discontinued|ceased)"
    r"|\b(?:if|until|unless|when|will be|to be|may be|can be|as (?:prescribed|directed)|regularly|with food|every day"
    r"|before|after|abruptly|suddenly)\b",
    re.IGNORECASE,
)


_STRENGTH = re.compile(
    r"^\W*[\d.,]+\s?(?:mg|mcg|g|ml|units?)?(?:\s+(?:tablets?|capsules?|oral))*", re.IGNORECASE
)


def says_stopped(texts: Iterable[str], drug: str) -> bool:
    """Does one of the texts say that `drug` (its words) is not taken any more?"""
    own = drug.split()[0].lower() if drug.split() else ""
    return any(_says(part, own) for text in texts for part in _PARTS.split(text or ""))


def _says(part: str, own: str) -> bool:
    if _NOT_SO.search(part):
        return False
    words = part.strip()
    if own and words.lower().startswith(own):
        words = words[len(own) :]
        words = re.sub(
            r"^\W*[\d.,]+\s?(?:mg|mcg|g|ml|units?)?(?:\s+(?:tablets?|capsules?|oral))*", "", words, flags=re.I
        )
    return _SAYS.match(words) is not None


def told(
    notes: tuple[s.Annotation, ...],
    reasons: Iterable[s.CodeableConcept],
    dosages: Iterable[s.DosageInstruction],
) -> list[str]:
    """All words of an order in which such a statement may stand."""
    found = [n.text for n in notes if n.text]
    found += [r.text for r in reasons if r.text]
    found += [c.display for r in reasons for c in r.coding if c.display]
    found += [t for d in dosages for t in (d.text, d.patient_instruction) if t]
    return found

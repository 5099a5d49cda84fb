"""What several codes of one text mean together: excludes1 conflicts are flagged, presumed combinations suggested."""

from __future__ import annotations

from dataclasses import replace

from terminology.decision import CodingDecision
from terminology.importers.rows import ICD10CM
from terminology.text.index import Codes
from terminology.text.notes import Notes

# ICD-10-CM Official Guidelines I.A.15 ("with") and I.C.9.a: the classification presumes these links.
_PRESUMED = (
    ("E11.9", "N18", "E11.22"),
    ("E10.9", "N18", "E10.22"),
    ("I10", "N18", "I12.9"),
    ("I10", "I50", "I11.0"),
)


def checked(decisions: tuple[CodingDecision, ...], notes: Notes, codes: Codes) -> tuple[CodingDecision, ...]:
    """The same decisions; `details` of those in conflict or in a presumed combination say so. Nothing is replaced."""
    present = [(i, _icd(d)) for i, d in enumerate(decisions) if d.assertion == "present" and _icd(d)]
    if len(present) < 2:
        return decisions
    extra: dict[int, list[tuple[str, str]]] = {}
    for place, code in present:
        line = [codes.code[n] for n in (codes.number[code], *codes.ancestors(codes.number[code]))]
        for _, other in present:
            if other == code:
                continue
            if notes.excludes(line, other):
                extra.setdefault(place, []).append(("conflict", f"{code} excludes1 {other}"))
            for first, second, target in _PRESUMED:
                if code == first and other.startswith(second) and target in codes.number:
                    extra.setdefault(place, []).append(("combination", f"{target} is presumed with {other}"))
    return tuple(
        replace(d, details=(*d.details, *dict.fromkeys(extra[i]))) if i in extra else d
        for i, d in enumerate(decisions)
    )


def _icd(decision: CodingDecision) -> str:
    return next((c.code for c in decision.chosen if c.system == ICD10CM), "")

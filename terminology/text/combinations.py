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
    ("I10", "N18.5", "I12.0"),
    ("I10", "N18.6", "I12.0"),
    ("I10", "N18", "I12.9"),
    ("I10", "I50", "I11.0"),
    # Inclusion terms of I85.1: esophageal varices secondary to cirrhosis of liver, to alcoholic liver disease.
    ("I85.00", "K74", "I85.10"),
    ("I85.00", "K70", "I85.10"),
    ("I85.01", "K74", "I85.11"),
    ("I85.01", "K70", "I85.11"),
)
_MOST = 200  # different codes of one text that are held against each other
# Hypertension with both heart failure and chronic kidney disease is one code (I.C.9.a.3).
_BOTH = {frozenset(("I11.0", "I12.9")): "I13.0", frozenset(("I11.0", "I12.0")): "I13.2"}


def checked(decisions: tuple[CodingDecision, ...], notes: Notes, codes: Codes) -> tuple[CodingDecision, ...]:
    """The same decisions; `details` of those in conflict or in a presumed combination say so. Nothing is replaced."""
    present = [(i, _icd(d)) for i, d in enumerate(decisions) if d.assertion == "present" and _icd(d)]
    said = list(dict.fromkeys(code for _, code in present))  # a note may say the same thousands of times
    if len(said) < 2:
        return decisions
    extra = {code: _about(code, [o for o in said if o != code], notes, codes) for code in said[:_MOST]}
    places = {i: extra[code] for i, code in present if extra.get(code)}
    return tuple(
        replace(d, details=(*d.details, *places[i])) if i in places else d for i, d in enumerate(decisions)
    )


def _about(code: str, others: list[str], notes: Notes, codes: Codes) -> tuple[tuple[str, str], ...]:
    """Conflicts of `code` with others of its text, and the combinations that they presume."""
    line = [codes.code[n] for n in (codes.number[code], *codes.ancestors(codes.number[code]))]
    found = [("conflict", f"{code} excludes1 {other}") for other in others if notes.excludes(line, other)]
    for target, with_ in _presumed(code, others):
        if target in codes.number:
            found.append(("combination", f"{target} is presumed with {' and '.join(with_)}"))
    return tuple(dict.fromkeys(found))


def _presumed(code: str, others: list[str]) -> list[tuple[str, list[str]]]:
    """Combination codes of `code` with some of `others`, and with which."""
    found: dict[str, list[str]] = {}
    for other in others:
        target = next((t for c, o, t in _PRESUMED if c == code and other.startswith(o)), "")
        if target:
            found.setdefault(target, []).append(other)
    for pair, both in _BOTH.items():
        if pair <= found.keys():
            return [(both, list(dict.fromkeys(o for target in sorted(pair) for o in found[target])))]
    return [(target, list(dict.fromkeys(named))) for target, named in found.items()]


def _icd(decision: CodingDecision) -> str:
    return next((c.code for c in decision.chosen if c.system == ICD10CM), "")

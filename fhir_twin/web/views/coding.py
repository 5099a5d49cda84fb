"""Coding review: what free text was turned into, how sure that is, and what else it could have been."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fhir_twin.model.coded import SourcedDecision
from fhir_twin.model.codes import ICD10CM
from fhir_twin.pipeline import Run
from fhir_twin.web.views.words import place, share, system_name
from terminology.decision import Candidate

KINDS = {"problem": "problem", "lab": "test", "drug": "medicine", "social": "habits", "allergy": "allergy"}
SHOWN = 6


@dataclass(frozen=True, slots=True, repr=False)
class CodingRow:
    """One decision. key: names it in forms (a hash, no text). text: the words that were coded; whole: around them.
    candidates: (system name, code, display, confidence). correctable: the site lexicon takes corrections of it
    (problems, by ICD-10-CM code); icd10cm: the chosen one of these."""

    key: str
    kind: str
    text: str
    whole: str
    assertion: str
    chosen: tuple[tuple[str, str, str, str], ...]
    confidence: str
    percent: int
    method: str
    reason: str
    candidates: tuple[tuple[str, str, str, str], ...]
    steps: tuple[str, ...]
    correctable: bool
    icd10cm: str
    corrected: bool
    source: str
    release: str


@dataclass(frozen=True, slots=True, repr=False)
class MappedRow:
    """A problem that came with a code and got its ICD-10-CM codes by a map. given: (system name, code, display)."""

    given: tuple[tuple[str, str, str], ...]
    icd10cm: tuple[str, ...]
    release: str
    source: str


def mapped_rows(run: Run) -> tuple[MappedRow, ...]:
    """Each coded problem that a map gave its codes, once per code, in the order of the record."""
    found: dict[tuple[object, ...], MappedRow] = {}
    for coded in run.coded.problems:
        if not coded.release or coded.from_text or not coded.icd10cm:
            continue
        given = tuple((system_name(c.system), c.code, c.display) for c in coded.problem.concept.codings)
        row = MappedRow(given, coded.icd10cm, coded.release, place(coded.problem.source))
        found.setdefault((given, coded.icd10cm), row)
    return tuple(found.values())


def coding_rows(run: Run) -> tuple[CodingRow, ...]:
    """The least sure first; the same text with the same answer once."""
    rows: dict[tuple[str, str, str], CodingRow] = {}
    for found in run.coded.decisions:
        row = _row(found)
        rows.setdefault((row.kind, row.text.casefold(), str(row.chosen)), row)
    return tuple(sorted(rows.values(), key=lambda r: (r.corrected, r.percent, r.text)))


def _row(found: SourcedDecision) -> CodingRow:
    decision = found.decision
    words = " ".join(decision.text[slice(*decision.span)].split()) or " ".join(decision.text.split())
    name = "\x1f".join((found.source, found.field, str(decision.span), words))
    chosen = tuple(map(_candidate, decision.chosen))
    taken = {c.code for c in decision.chosen}
    others = tuple(_candidate(c) for c in decision.candidates if c.code not in taken)[:SHOWN]
    corrected = any("site" in step.lower() for step in decision.steps) or decision.method == "correction"
    return CodingRow(
        key=hashlib.sha256(name.encode()).hexdigest()[:16],
        kind=KINDS.get(decision.kind, decision.kind),
        text=words,
        whole=" ".join(decision.text.split()),
        assertion=decision.assertion,
        chosen=chosen,
        confidence=share(decision.confidence),
        percent=round(100 * decision.confidence),
        method=decision.method,
        reason=decision.reason,
        candidates=others,
        steps=decision.steps,
        correctable=decision.kind == "problem",
        icd10cm=next((c.code for c in decision.chosen if c.system == ICD10CM), ""),
        corrected=corrected,
        source=place(found.source),
        release=decision.release,
    )


def _candidate(found: Candidate) -> tuple[str, str, str, str]:
    return system_name(found.system), found.code, found.display, share(found.confidence)

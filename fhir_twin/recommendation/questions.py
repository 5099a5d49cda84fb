"""Questions: facts that rules need and the record lacks. What can be measured is proposed as a test."""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.codes import LOINC, Coding, Concept
from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.model.scenario import Question
from fhir_twin.recommendation.case import Case

ASKED = ("pregnancy", "age", "sex")


def merge(*groups: tuple[Question, ...]) -> tuple[Question, ...]:
    """One question per key; what waits for it is gathered from all who asked."""
    merged: dict[str, Question] = {}
    for question in (q for group in groups for q in group):
        known = merged.get(question.key)
        if known is None:
            merged[question.key] = question
            continue
        blocks = tuple(sorted({*known.blocks, *question.blocks}))
        merged[question.key] = replace(known, blocks=blocks, loinc=known.loinc or question.loinc)
    return tuple(merged[key] for key in sorted(merged))


def tests(questions: tuple[Question, ...], rank: int, case: Case) -> tuple[Recommendation, ...]:
    """A proposal for every question that a measurement answers."""
    return tuple(_test(q, rank, case) for q in questions if q.loinc and q.key not in ASKED)


def _test(question: Question, rank: int, case: Case) -> Recommendation:
    waiting = [case.interventions.get(key).title for key in question.blocks if _known(key, case)]
    why = [Reason(question.reason)]
    if waiting:
        why.append(Reason(f"Waiting for it: {'; '.join(waiting)}."))
    return Recommendation(
        key=f"test-{question.key}",
        kind="test",
        title=question.text,
        code=Concept((Coding(LOINC, question.loinc, case.words.analyte(question.key)),), question.text),
        rank=rank,
        why=tuple(why),
        what_would_change=("A recent result that is not in this record.",),
        patient_text=f"A test is due: {question.text[:1].lower()}{question.text[1:]}.",
    )


def _known(key: str, case: Case) -> bool:
    return any(item.key == key for item in case.interventions.items)

"""Questions: facts that rules need and the record lacks. What can be measured is proposed as a test."""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.codes import LOINC, Coding, Concept
from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.model.scenario import Question
from fhir_twin.recommendation.case import Case

ASKED = ("pregnancy", "age", "sex")
EQUATION_AGES = (30.0, 80.0)  # PREVENT: 30 to 79 years; outside nobody needs its inputs
# Values of one blood sample are ordered as one panel.
LIPIDS = ("total-cholesterol", "hdl", "ldl", "triglycerides", "non-hdl")
PANEL = Coding(LOINC, "24331-1", "Lipid 1996 panel - Serum or Plasma")


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


def useful(questions: tuple[Question, ...], case: Case) -> tuple[Question, ...]:
    """Without the inputs of the risk equation where it does not hold anyway."""
    low, high = EQUATION_AGES
    inside = case.patient.age is not None and low <= case.patient.age < high
    return tuple(
        q for q in questions if q.blocks or inside or q.key in ("smoking", *ASKED) or "drug" in q.reason
    )


def tests(questions: tuple[Question, ...], rank: int, case: Case) -> tuple[Recommendation, ...]:
    """A proposal for every question that a measurement answers; the lipids together."""
    asked = [q for q in questions if q.loinc and q.key not in (*ASKED, "smoking")]
    found = [_test(q, rank, case) for q in asked if q.key not in LIPIDS]
    lipids = merge(tuple(q for q in asked if q.key in LIPIDS))
    if lipids:
        blocks = tuple(sorted({block for q in lipids for block in q.blocks}))
        reason = " ".join(dict.fromkeys(q.reason for q in lipids))
        panel = Question("lipid-panel", "Measure a lipid panel", reason, PANEL.code, blocks)
        found.append(replace(_test(panel, rank, case), code=Concept((PANEL,), panel.text)))
    return tuple(found)


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

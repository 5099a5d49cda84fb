"""GuidanceResponse: what must be known before we can say more (GR-1)."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.write_context import PLAN_DEFINITION, Context, refer
from fhir_twin.fhir.write_elements import clean, compact, line, note
from fhir_twin.model.codes import LOINC
from fhir_twin.model.plan import Plan
from fhir_twin.model.scenario import Question

Json = dict[str, Any]

GUIDANCE_ITEM = "guidance"


def write_guidance(plan: Plan, context: Context) -> Json:
    """One per plan, naming all open questions. data-required when an answer is waited for by some option,
    data-requested when it would only sharpen the plan."""
    blocking = any(q.blocks for q in plan.questions)
    return compact(
        {
            **context.start("GuidanceResponse", GUIDANCE_ITEM),
            "moduleCanonical": context.options.instantiates
            or f"{PLAN_DEFINITION}|{context.options.software_version}",
            "status": "data-required" if blocking else "data-requested",
            "subject": context.subject,
            "occurrenceDateTime": context.when,
            "performer": refer(context.device, "fhir-twin"),
            "reasonCode": [{"text": line(q.reason)} for q in plan.questions],
            "note": note(*(question_words(q) for q in plan.questions)),
            "dataRequirement": [_requirement(q) for q in plan.questions],
        }
    )


def question_words(question: Question) -> str:
    waiting = ", ".join(b.replace("-", " ") for b in question.blocks)
    parts = [clean(question.text), f"({clean(question.reason)})" if question.reason else ""]
    return " ".join([*(p for p in parts if p), *([f"Waiting for it: {waiting}."] if waiting else [])])


def _requirement(question: Question) -> Json:
    """Something to measure is an Observation with a LOINC code; something to ask is an answered form."""
    if question.loinc:
        code = {"system": LOINC, "code": line(question.loinc)}
        return {"type": "Observation", "codeFilter": [{"path": "code", "code": [code]}]}
    return {"type": "QuestionnaireResponse", "mustSupport": ["item"]}

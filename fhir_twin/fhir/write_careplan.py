"""CarePlan: the draft that holds everything together (CP-10 to CP-21)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_twin.fhir.systems import US_CORE_CAREPLAN_CATEGORY
from fhir_twin.fhir.write_context import Context, refer
from fhir_twin.fhir.write_elements import compact, references
from fhir_twin.fhir.write_narrative import DRAFT, write_narrative
from fhir_twin.model.codes import SNOMED
from fhir_twin.model.plan import Plan

Json = dict[str, Any]

CARE_PLAN_ITEM = "care-plan"


def write_care_plan(
    plan: Plan, context: Context, goals: Sequence[Json], activities: Sequence[Json], support: Sequence[Json]
) -> Json:
    """goals, activities, support: references. author stays empty: that is the responsible clinician (CP-13)."""
    return compact(
        {
            **context.start("CarePlan", CARE_PLAN_ITEM),
            "text": write_narrative(plan),
            "instantiatesCanonical": [context.options.instantiates] if context.options.instantiates else [],
            "status": "draft",
            "intent": "proposal",
            "category": [
                {"coding": [{"system": US_CORE_CAREPLAN_CATEGORY, "code": "assess-plan"}]},
                {"coding": [{"system": SNOMED, "code": "734163000", "display": "Care plan"}]},
            ],
            "title": "Care plan proposal (draft, needs clinician approval)",
            "description": f"{DRAFT}. Proposals, targets, risks and open questions from a patient digital twin.",
            "subject": context.subject,
            "period": {"start": context.when},
            "created": context.when,
            "contributor": [refer(context.device, "fhir-twin")],
            "addresses": references(plan.addresses, "Condition"),
            "supportingInfo": list(support),
            "goal": list(goals),
            "activity": [{"reference": activity} for activity in activities],
        }
    )

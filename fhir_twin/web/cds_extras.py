"""What a site may switch on beside the cards: the whole draft plan as a suggestion, and a note that a check was made.

Both are off unless the servers file says so ([cds] whole_plan, record_checks). Neither changes an order or a plan by
itself: the plan is created only when a clinician accepts it, and the note is a GuidanceResponse, which nobody acts on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhir_twin.fhir.contain import contained_plan
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.write_context import WriteOptions, context_of
from fhir_twin.fhir.write_elements import instant, line, note
from fhir_twin.model.plan import Plan
from fhir_twin.web.cds_card import Card, Json, Suggestion, create
from fhir_twin.web.cds_request import HookCall

WHOLE = "Create the whole draft plan"


def whole_plan(plan: Plan, base: str, options: WriteOptions, topic: str) -> Suggestion:
    """The CarePlan with everything in it contained, so that one create is enough and no reference leads nowhere.

    plan: not refused."""
    resource = contained_plan(write_plan(plan, base=base, options=options))
    return Suggestion(
        WHOLE, topic, (create(resource, "Draft: care plan with all proposals, goals and risks"),)
    )


def check_made(
    call: HookCall, cards: list[Card], plan: Plan, base: str, options: WriteOptions, service: str
) -> Json:
    """A system action for order-sign: that these orders were checked, when, by what, and what was said.

    service: address of the CDS service."""
    context = context_of(f"Patient/{call.patient}", datetime.now(UTC), plan.model_version, base, options)
    orders = ", ".join(f"{o.get('resourceType')}/{o['id']}" for o in call.orders)
    said = [f"{card.indicator}: {card.summary}" for card in cards] or ["Nothing to remark."]
    resource: dict[str, Any] = {
        **{k: v for k, v in context.start("GuidanceResponse", "order-check").items() if k != "identifier"},
        "requestIdentifier": {"value": line(call.hook_instance)},
        "moduleUri": service,
        "status": "failure" if plan.refused else "success",
        "subject": {"reference": f"Patient/{call.patient}"},
        "occurrenceDateTime": instant(context.as_of),
        "performer": {"identifier": _device(context.device), "display": "fhir-twin"},
        "reasonCode": [{"text": "Check of draft orders before they are signed"}],
        "note": note(f"Orders: {orders}", *said),
    }
    if call.encounter:
        resource["encounter"] = {"reference": f"Encounter/{call.encounter}"}
    return create(resource, "Note that these orders were checked")


def _device(identity: Any) -> Json:
    return {"system": identity.system, "value": identity.value}

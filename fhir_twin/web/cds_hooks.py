"""CDS Hooks 2.0: discovery, the three services, feedback (CH, CR, CF).

Failures are never an empty list of cards: what cannot be known is 412, what is ours is 5xx, what is withheld is a card.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, request

from fhir_twin import log
from fhir_twin.actor import Actor
from fhir_twin.errors import NotFound, TwinError
from fhir_twin.fhir.definitions import PLAN_ID, canonical
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.model.audit import AuditNote, OutcomeCode
from fhir_twin.model.plan import Plan
from fhir_twin.model.registered import CdsClient, RegisteredServer
from fhir_twin.pipeline import judge_drafts
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.web.answers import fhir_response
from fhir_twin.web.app_context import HOURS, new_context_id
from fhir_twin.web.app_context import KIND as CONTEXT
from fhir_twin.web.cds_audit import LaterAudit
from fhir_twin.web.cds_auth import CdsKeys, caller
from fhir_twin.web.cds_card import Card, finished
from fhir_twin.web.cds_cards import gaps_card, plan_cards, refused_card
from fhir_twin.web.cds_data import Gathered, allowed_base, gather
from fhir_twin.web.cds_extras import check_made
from fhir_twin.web.cds_feedback import CARD, DAYS_KEPT, feedback_store, take_feedback, unanswered
from fhir_twin.web.cds_order_cards import order_cards
from fhir_twin.web.cds_request import HookCall, forbids, read_call
from fhir_twin.web.cds_runs import KeptRun, Runs
from fhir_twin.web.cds_services import SERVICES, CdsService
from fhir_twin.web.cds_slots import Slots
from fhir_twin.web.session_store import web_state
from fhir_twin.web.smart_parts import public_base, smart_parts

blueprint = Blueprint("cds", __name__, url_prefix="/cds-services")
_HEADERS = "Content-Type, Authorization"


def install(app: Flask, *, unsigned: bool, key_given: Callable[[], bool]) -> None:
    """unsigned: calls without a JWT are taken (loopback with nothing registered, or the servers file says so).
    key_given: the request carries the service's API key, which stands for a client that may speak for all."""
    kept = app.extensions["fhir-twin"]
    service: TwinService = kept["service"]
    kept.update(cds_unsigned=unsigned, key_given=key_given, cds_keys=CdsKeys(), cds_runs=Runs())
    kept["cds_slots"] = Slots(kept["settings"].integer("worker_threads") // 2)
    kept["cds_audit"] = LaterAudit(lambda: service.audit)


@blueprint.get("")
@blueprint.get("/")
def discovery() -> Response:
    """It tells nothing of a patient, so it is open to those who send no JWT; a JWT that is sent must be right."""
    if "Authorization" in request.headers:
        caller()
    return _json({"services": [s.as_json() for s in SERVICES.values()]})


@blueprint.post("/<service_id>")
def serve(service_id: str) -> Response:
    started = time.monotonic()
    client = caller()
    call = read_call(_service(service_id))
    trail: LaterAudit = current_app.extensions["fhir-twin"]["cds_audit"]
    trail.check()
    actor = Actor(client.issuer if client else "cds", call.user, request=call.hook_instance[:64])
    try:
        base, server = allowed_base(call, client)
        data = gather(call, base, server)
        cards, plan = _cards(call, data)
        body = _finish(cards, call, data, server, client)
        if plan is not None and call.service.hook == "order-sign" and smart_parts().registry.record_checks:
            body["systemActions"] = [_note(call, cards, plan, data)]
    except TwinError as error:
        outcome: OutcomeCode = "4" if error.status < 500 else "8"
        trail.put(actor, AuditNote("read", call.patient, outcome, detail=call.service.hook))
        raise
    trail.put(actor, AuditNote("read", call.patient, detail=call.service.hook))
    log.event(
        "cds.call",
        route=call.service.hook,
        cards=len(body["cards"]),
        fetched=data.fetched,
        seconds=time.monotonic() - started,
    )
    return _json(body)


@blueprint.post("/<service_id>/feedback")
def feedback(service_id: str) -> Response:
    client = caller()
    service = _service(service_id)
    return _json(take_feedback(service, client))


@blueprint.route("", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/<service_id>", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/<service_id>/feedback", methods=["OPTIONS"], provide_automatic_options=False)
def preflight(service_id: str = "") -> Response:
    """CF-3: no login is asked of a preflight, which tells nothing."""
    del service_id
    return Response("", 204)


@blueprint.after_request
def cors(response: Response) -> Response:
    """For registered origins only; nobody else's script may read an answer."""
    origin = request.headers.get("Origin", "")
    response.headers["Vary"] = "Origin"
    if origin and (origin in smart_parts().registry.origins or _sandbox(origin)):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = _HEADERS
        response.headers["Access-Control-Max-Age"] = "600"
        if (
            request.headers.get("Access-Control-Request-Private-Network") == "true"
        ):  # Chrome: public page, local service
            response.headers["Access-Control-Allow-Private-Network"] = "true"
    return response


def _sandbox(origin: str) -> bool:
    """Where anybody on this machine may call, a page of this machine may too (a CDS sandbox beside us)."""
    host = urlsplit(origin).hostname or ""
    return current_app.extensions["fhir-twin"]["cds_unsigned"] and host in ("localhost", "127.0.0.1", "::1")


def _service(service_id: str) -> CdsService:
    found = SERVICES.get(service_id)
    if found is None:
        raise NotFound("there is no such CDS service")
    return found


# --- cards -----------------------------------------------------------------------------------------


def _cards(call: HookCall, data: Gathered) -> tuple[list[Card], Plan | None]:
    """All cards that this call would give, before those that were answered are taken out, and the plan they rest on;
    None when there was nothing to look at."""
    if call.service.hook != "patient-view" and not call.orders:
        return [], None
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    runs: Runs = current_app.extensions["fhir-twin"]["cds_runs"]
    options = _options(service)
    kept = runs.get(data, call.patient, service.knowledge, options.label)
    plan = kept.run.plan
    if call.service.hook == "patient-view":
        if kept.cards is None:
            whole = smart_parts().registry.whole_plan
            kept.cards = plan_cards(plan, data.base, options, whole=whole)
        cards = list(kept.cards)
    elif plan.refused:
        cards = [refused_card(plan, "This order was not checked")]
    else:
        cards = _order_cards(call, data, kept, options, service)
    gaps = gaps_card(data.gaps)
    return ([*cards, gaps] if gaps is not None and not plan.refused else cards), plan


def _options(service: TwinService) -> WriteOptions:
    settings: Settings = current_app.extensions["fhir-twin"]["settings"]
    instantiates = canonical("PlanDefinition", PLAN_ID, service.knowledge.version)
    return WriteOptions(label=settings.text("ai_label"), instantiates=instantiates)


def _note(call: HookCall, cards: list[Card], plan: Plan, data: Gathered) -> dict[str, Any]:
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    address = f"{public_base()}/cds-services/{call.service.id}"
    return check_made(call, cards, plan, data.base, _options(service), address)


def _order_cards(
    call: HookCall, data: Gathered, kept: KeptRun, options: WriteOptions, service: TwinService
) -> list[Card]:
    medications = [
        e["resource"] for e in data.bundle["entry"] if e["resource"]["resourceType"] == "Medication"
    ]
    beside = [r for r in call.all_orders if not forbids(r)]  # an order to stop is no drug to be checked
    remarks = judge_drafts(kept.run, data.patient, [*medications, *beside], service.knowledge)
    chosen = {f"{o.get('resourceType')}/{o['id']}" for o in call.orders}
    intent = next(iter(call.intents)) if len(call.intents) == 1 else "proposal"
    own = tuple(r for r in remarks if r.order.split("/_history/")[0] in chosen)
    return list(order_cards(own, kept.run.plan, data.base, options, intent))


def _finish(
    cards: list[Card],
    call: HookCall,
    data: Gathered,
    server: RegisteredServer | None,
    client: CdsClient | None,
) -> dict[str, Any]:
    """Without what was answered, with uuids, links and the memory that feedback will need."""
    open_cards = unanswered(cards, data.base, call.patient)
    launch = public_base() + "/launch" if server is not None and server.login != "none" else ""
    context = new_context_id()
    values, memory = [], []
    subject = feedback_store().subject_of(data.base, call.patient)
    for card in open_cards:
        value, suggestions = finished(card, launch, context, public_base())
        values.append(value)
        kept = {
            "topic": card.topic,
            "suggestions": suggestions,
            "subject": subject,
            "service": call.service.id,
            "issuer": client.issuer if client else "",
        }
        memory.append((value["uuid"], kept))
    now = time.time()
    web_state().put_many(CARD, memory, now=now, expires=now + 86_400 * DAYS_KEPT, wait=False)
    if launch and values:
        told = {
            "base": data.base,
            "patient": call.patient,
            "hook": call.service.hook,
            "topics": [c.topic for c in open_cards],
            "items": [s.topic.removeprefix("proposal:") for c in open_cards for s in c.suggestions],
        }
        web_state().put_many(CONTEXT, [(context, told)], now=now, expires=now + 3600 * HOURS, wait=False)
    return {"cards": values}


def _json(value: dict[str, Any]) -> Response:
    answer = fhir_response(value)
    answer.headers["Content-Type"] = "application/json; charset=utf-8"
    return answer

"""A CDS Hooks call, read strictly where it matters and leniently elsewhere (CH-2, CH-3, D13)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.parse import parse_json
from fhir_twin.transport.urls import ID
from fhir_twin.web.cds_services import CdsService

Resource = dict[str, Any]
_TYPES = ("application/json", "application/fhir+json")
_USER = re.compile(r"(?:https?://\S{1,500}/)?([A-Za-z]{1,40}/[A-Za-z0-9\-.]{1,64})\Z")
_ORDER_HOOKS = ("order-select", "order-sign")
MOST_ORDERS = 50


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """fhirAuthorization. scope: None when the client did not say."""

    token: str
    scope: str | None
    patient: str


@dataclass(frozen=True, slots=True, repr=False)
class HookCall:
    """prefetch: as sent; a missing key is not the same as null. orders: draft orders to judge (order hooks), the
    selected ones only on order-select, whatever their type; all_orders: everything in draftOrders."""

    service: CdsService
    hook_instance: str
    patient: str
    user: str
    encounter: str
    server: str
    access: Access | None
    prefetch: dict[str, Any]
    orders: tuple[Resource, ...] = ()
    all_orders: tuple[Resource, ...] = ()
    intents: frozenset[str] = field(default_factory=frozenset)


def read_call(service: CdsService) -> HookCall:
    """The request's body. Raises UnsupportedMediaType (415) and InvalidInput (400), which quote nothing."""
    if request.mimetype not in _TYPES or request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType
    body = parse_json(request.get_data(), what="request body")
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    if body.get("hook") != service.hook:
        raise InvalidInput(f"this service is for the hook {service.hook}")
    instance = body.get("hookInstance")
    if not isinstance(instance, str) or not 0 < len(instance) <= 200:
        raise InvalidInput("hookInstance is missing")
    context = body.get("context")
    if not isinstance(context, dict):
        raise InvalidInput("context is missing")
    prefetch = body.get("prefetch")
    if prefetch is not None and not isinstance(prefetch, dict):
        raise InvalidInput("prefetch must be an object")
    patient = _patient(context.get("patientId"))
    chosen, everything = _orders(service.hook, context, patient)
    return HookCall(
        service=service,
        hook_instance=instance,
        patient=patient,
        user=_user(context.get("userId")),
        encounter=_optional_id(context.get("encounterId")),
        server=_text(body.get("fhirServer"), "fhirServer"),
        access=_access(body.get("fhirAuthorization")),
        prefetch=prefetch or {},
        orders=chosen,
        all_orders=everything,
        intents=frozenset(str(o.get("intent")) for o in chosen if isinstance(o.get("intent"), str)),
    )


def _patient(value: Any) -> str:
    text = value.removeprefix("Patient/") if isinstance(value, str) else ""
    if not ID.match(text):
        raise InvalidInput("context.patientId is missing, or no id")
    return text


def _user(value: Any) -> str:
    match = _USER.match(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidInput("context.userId is missing, or no reference such as Practitioner/1")
    return match[1]


def _optional_id(value: Any) -> str:
    text = value.removeprefix("Encounter/") if isinstance(value, str) else ""
    return text if ID.match(text) else ""


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text")
    return value


def _access(value: Any) -> Access | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("access_token"), str):
        raise InvalidInput("fhirAuthorization has no access_token")
    if str(value.get("token_type", "Bearer")).lower() != "bearer":
        raise InvalidInput("fhirAuthorization.token_type must be Bearer")
    scope = value.get("scope")
    patient = value.get("patient")
    return Access(
        value["access_token"],
        scope if isinstance(scope, str) and scope.strip() else None,
        patient.removeprefix("Patient/") if isinstance(patient, str) else "",
    )


def _orders(
    hook: str, context: dict[str, Any], patient: str
) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """(what to judge, all of draftOrders). Each order gets an id when it has none; it must be this patient's."""
    if hook not in _ORDER_HOOKS:
        return (), ()
    bundle = context.get("draftOrders")
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InvalidInput("context.draftOrders must be a Bundle")
    everything = _drafts(bundle.get("entry"), patient)
    orders = tuple(r for r in everything if r.get("resourceType") != "Medication" and not forbids(r))
    if hook == "order-sign":
        return orders, everything
    selected = context.get("selections")
    if not isinstance(selected, list) or not all(isinstance(s, str) for s in selected):
        raise InvalidInput("context.selections must be a list of references")
    names = {s.split("/_history/")[0].strip("/") for s in selected}
    chosen = tuple(o for o in orders if f"{o.get('resourceType')}/{o['id']}" in names or o["id"] in names)
    known = {f"{r.get('resourceType')}/{r['id']}" for r in everything} | {str(r["id"]) for r in everything}
    # A selection that names none of the drafts could be any of them: then all are judged, none is missed.
    return (chosen if names <= known else orders), everything


def _drafts(entries: Any, patient: str) -> tuple[Resource, ...]:
    """Each with an id of its own. What cannot be read is refused: left out, it would look like an order that was
    checked; and so are two orders of one id, of which a remark could not say which it means."""
    entries = [] if entries is None else entries
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("resource"), dict) for e in entries
    ):
        raise InvalidInput("an entry of context.draftOrders has no resource")
    if len(entries) > MOST_ORDERS:
        raise InvalidInput(f"more than {MOST_ORDERS} draft orders")
    found = [_named(e) for e in entries]
    taken = {str(r.get("id")) for r in found}
    made: dict[tuple[str, str], Resource] = {}
    for number, resource in enumerate(found, 1):
        order = _ours(resource, _free(f"draft-{number}", taken), patient)
        key = (order["resourceType"], order["id"])
        if made.setdefault(key, order) != order:
            raise InvalidInput("two draft orders have the same id")
    return tuple(made.values())


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "-"
    return name


def forbids(order: Resource) -> bool:
    """An order not to do something is no order of it."""
    return order.get("doNotPerform") is True


def _named(entry: dict[str, Any]) -> Resource:
    """The entry's resource, with the id that only its fullUrl may say."""
    resource: Resource = entry["resource"]
    address = entry.get("fullUrl")
    if "id" in resource or not isinstance(address, str):
        return resource
    id_ = address.rstrip("/").replace("urn:uuid:", "").split("/")[-1]
    return {**resource, "id": id_} if ID.match(id_) else resource


def _ours(resource: Resource, name: str, patient: str) -> Resource:
    """name: its id when it has none."""
    if not isinstance(resource.get("resourceType"), str):
        raise InvalidInput("a draft order has no resourceType")
    id_ = resource.get("id")
    if id_ is not None and (not isinstance(id_, str) or not ID.match(id_)):
        raise InvalidInput("a draft order has an id that is none")
    for element in ("subject", "patient", "for"):  # NutritionOrder, VisionPrescription: patient; Task: for
        about = resource.get(element)
        reference = about.get("reference") if isinstance(about, dict) else None
        parts = reference.split("/_history/")[0].split("/") if isinstance(reference, str) else []
        if len(parts) >= 2 and parts[-2] == "Patient" and parts[-1] != patient:
            raise InvalidInput("a draft order is about another patient than the context")
    named = {**resource, "id": id_ or name}
    if resource.get("resourceType") != "Medication":
        named["subject"] = {"reference": f"Patient/{patient}"}
    return named

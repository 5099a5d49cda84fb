"""From what is stored of a session to a PageSession with its access to the FHIR server."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Flask, current_app, g

from fhir_twin.actor import Actor, act_as
from fhir_twin.errors import LoginRequired
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.model.scopes import NEEDED_TO_PLAN, READ_TYPES, Granted, read_scopes
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.storage.web_state import Kept, WebState
from fhir_twin.transport.plan_writer import PlanWriter
from fhir_twin.transport.pull import ServerSource
from fhir_twin.web.session import Feature, PageSession
from fhir_twin.web.smart_login import SessionLogin
from fhir_twin.web.smart_parts import SmartParts, smart_parts

NO_SINK = "writing is switched off on this service (option write)"
MOST_OPEN = 256


@dataclass(slots=True)
class OpenServices:
    """Services of sessions in use, so that connections outlive one request; the least used is closed first."""

    _guard: threading.Lock = field(default_factory=threading.Lock)
    _open: OrderedDict[tuple[str, str], TwinService] = field(default_factory=OrderedDict)

    def get(self, key: tuple[str, str]) -> TwinService | None:
        with self._guard:
            if key in self._open:
                self._open.move_to_end(key)
            return self._open.get(key)

    def put(self, key: tuple[str, str], service: TwinService) -> None:
        with self._guard:
            self._open[key] = service
            gone = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - MOST_OPEN)]
        for old in gone:
            _close(old)

    def drop(self, tag: str) -> None:
        with self._guard:
            gone = [self._open.pop(key) for key in list(self._open) if key[0] == tag]
        for old in gone:
            _close(old)


def _close(service: TwinService) -> None:
    if isinstance(service.source, ServerSource):
        service.source.close()


def install(app: Flask) -> None:
    app.extensions["fhir-twin"]["open_services"] = OpenServices()


def open_services() -> OpenServices:
    found: OpenServices = current_app.extensions["fhir-twin"]["open_services"]
    return found


def open_session(tag: str, kept: Kept, ends: datetime, state: WebState) -> PageSession:
    """Raises LoginRequired when its server is no longer registered or its token is gone."""
    if kept.value["mode"] == "local":
        return _local(tag, kept, ends)
    return _smart(tag, kept.value, ends, state)


def _local(tag: str, kept: Kept, ends: datetime) -> PageSession:
    """The configured server, with the access that the service itself has."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    granted: set[Feature] = {"read", "plan"}
    denied: dict[Feature, str] = {}
    if service.sink is None:
        denied["write"] = NO_SINK
    else:
        granted.add("write")
    return PageSession(
        tag=tag,
        mode="local",
        patient=str(kept.value["patient"]),
        base=service.source.base,
        service=service,
        user="",
        csrf=str(kept.value["csrf"]),
        ends=ends,
        granted=frozenset(granted),
        denied=denied,
        app_context=dict(kept.value.get("app_context") or {}),
        server_name=service.source.base,
    )


def _smart(tag: str, value: dict[str, Any], ends: datetime, state: WebState) -> PageSession:
    parts = smart_parts()
    server = parts.registry.named(str(value["server"]))
    if server is None or not server.covers(str(value["base"])):
        raise LoginRequired("the FHIR server of this session is no longer registered here")
    granted = read_scopes(str(value["scope"]))
    settings: Settings = current_app.extensions["fhir-twin"]["settings"]
    writes = server.write and settings.flag("write")
    features, denied = judge_scopes(granted, writes=writes)
    person = str(value.get("user") or "")
    act_as(Actor(person or "a session without a name", person, request=str(g.get("run_id", ""))))
    key = (tag, str(value["scope"]))
    service = open_services().get(key)
    if service is None:
        service = _service(parts, server, tag, value, granted, state, writes="write" in features)
        open_services().put(key, service)
    return PageSession(
        tag=tag,
        mode=value["mode"],
        patient=str(value["patient"]),
        base=str(value["base"]),
        service=service,
        user=str(value.get("user") or ""),
        csrf=str(value["csrf"]),
        ends=ends,
        granted=features,
        denied=denied,
        withheld=tuple(t for t in READ_TYPES if not granted.wholly(t, "s")),
        encounter=str(value.get("encounter") or ""),
        banner=bool(value.get("banner", True)),
        style=dict(value.get("style") or {}),
        app_context=dict(value.get("app_context") or {}),
        server_name=server.title or server.name,
        notes=tuple(value.get("notes") or ()),
        intent=str(value.get("intent") or ""),
        fhir_context=tuple(value.get("fhir_context") or ()),
    )


def _service(
    parts: SmartParts,
    server: RegisteredServer,
    tag: str,
    value: dict[str, Any],
    granted: Granted,
    state: WebState,
    *,
    writes: bool,
) -> TwinService:
    base = str(value["base"])
    login = SessionLogin(state, tag, lambda: parts.tokens(server, base))
    client = parts.server(base, login, granted)
    parts.remember(client)
    own: TwinService = current_app.extensions["fhir-twin"]["service"]
    settings = parts.settings
    source = ServerSource(
        client, page_size=settings.integer("page_size"), threads=settings.integer("threads")
    )
    sink = PlanWriter(client) if writes else None
    label = settings.text("ai_label")
    return TwinService(source, sink, own.knowledge, label=label, check=client.ping, audit=own.audit)


def judge_scopes(granted: Granted, *, writes: bool = True) -> tuple[frozenset[Feature], dict[Feature, str]]:
    """What the granted scopes are enough for, and in words what is missing for the rest (A8). writes: False = writing
    is switched off here, whatever was granted."""
    features: set[Feature] = set()
    denied: dict[Feature, str] = {}
    if not granted.may("Patient", "r"):
        said = "the login does not include reading the patient (Patient.r)"
        return frozenset(), {"read": said, "plan": said, "write": said}
    features.add("read")
    lacking = [t for t in NEEDED_TO_PLAN if not granted.may(t, "s")]
    if lacking:
        denied["plan"] = (
            f"no safe proposal without {_listed(lacking)}: the login does not include reading them"
        )
    else:
        features.add("plan")
    if "plan" in denied:
        denied["write"] = denied["plan"]
    elif not writes:
        denied["write"] = NO_SINK
    elif _keeps(granted, "CarePlan", "cus") or _keeps(granted, "DocumentReference", "cs"):
        features.add("write")
    else:
        denied["write"] = "the login does not include writing care plans (CarePlan.cus)"
    return frozenset(features), denied


def _keeps(granted: Granted, type_: str, letters: str) -> bool:
    return all(granted.may(type_, letter) for letter in letters)


def _listed(types: list[str]) -> str:
    return types[0] if len(types) == 1 else f"{', '.join(types[:-1])} and {types[-1]}"

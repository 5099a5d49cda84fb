"""From what is stored of a session to a PageSession with its access to the FHIR server."""

from __future__ import annotations

from datetime import datetime

from flask import current_app

from fhir_twin.service import TwinService
from fhir_twin.storage.web_state import Kept
from fhir_twin.web.session import Feature, PageSession

NO_SINK = "writing is switched off on this service (option write)"


def open_session(tag: str, kept: Kept, ends: datetime) -> PageSession:
    """Raises LoginRequired when its server is no longer registered or its token is gone."""
    return _local(tag, kept, ends)


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

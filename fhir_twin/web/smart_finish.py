"""The second half of a launch: code to token, who logged in, which patient; then a session of its own."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from fhir_twin import log
from fhir_twin.errors import LoginRequired, TwinError, UpstreamError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.model.scopes import read_scopes
from fhir_twin.transport.id_token import Person, check_id_token
from fhir_twin.transport.smart_discovery import SmartConfiguration
from fhir_twin.transport.smart_token import TokenReply
from fhir_twin.transport.urls import parse_base
from fhir_twin.web.app_context import read_app_context
from fhir_twin.web.session_access import judge_scopes, open_services
from fhir_twin.web.session_store import KIND, Ticket, make_session, web_state
from fhir_twin.web.smart_parts import SmartParts, smart_parts
from fhir_twin.web.smart_style import read_style


def finish(kept: dict[str, Any], code: str, issuer: str) -> Ticket:
    """kept: the launch's record. issuer: what the callback said (RFC 9207), "" = nothing.

    Raises LoginRequired, UpstreamError or Forbidden when there is no login; then there is no session either."""
    parts = smart_parts()
    server = parts.registry.named(str(kept["server"]))
    if server is None:
        raise LoginRequired("the FHIR server of this login is no longer registered here")
    base = str(kept["base"])
    configuration = parts.configuration(server, base)
    if issuer and configuration.issuer and issuer != configuration.issuer:
        raise LoginRequired("the answer comes from another authorization server than was asked")
    reply = parts.tokens(server, base).exchange(code, str(kept["redirect_uri"]), str(kept["verifier"]))
    scope = reply.scope if reply.scope is not None else str(kept["scope"])
    granted = read_scopes(scope)
    person = _person(reply, server, configuration, kept, parts)
    notes = [*reply.notes]
    if not person.user:
        notes.append("the server did not say who is logged in")
    features, _ = judge_scopes(granted)
    if "read" not in features:
        raise LoginRequired("the login does not include reading the patient (Patient.r); ask for that scope")
    value = {
        "mode": kept["mode"],
        "server": server.name,
        "base": base,
        "patient": reply.patient,
        "encounter": reply.encounter,
        "user": person.user,
        "scope": scope,
        "access_token": reply.access_token,
        "token_ends": time.time() + reply.expires_in,
        "refresh_token": reply.refresh_token,
        "banner": reply.banner,
        "style": _style(reply.style_url, server, base, parts),
        "intent": reply.intent,
        "fhir_context": _context(reply),
        "app_context": read_app_context(reply.app_context or str(kept["app_context"]), base, reply.patient),
        "notes": notes,
    }
    log.event("smart.session", mode=str(kept["mode"]), server=server.name, patient_given=bool(reply.patient))
    return make_session(value)


def _person(
    reply: TokenReply,
    server: RegisteredServer,
    configuration: SmartConfiguration,
    kept: dict[str, Any],
    parts: SmartParts,
) -> Person:
    """An id_token that is there must be right; one that is missing leaves the user unnamed."""
    if not reply.id_token:
        return Person("", "")
    if "openid" not in str(kept["scope"]).split():
        return Person("", "")  # not asked for: nothing is believed of it
    return check_id_token(reply.id_token, server, configuration, str(kept["nonce"]), parts.http)


def _style(url: str, server: RegisteredServer, base: str, parts: SmartParts) -> dict[str, str]:
    """Colours and sizes are worth a try; a launch never fails for them."""
    if not url:
        return {}
    try:
        origin = parse_base(urlsplit(url)._replace(query="", fragment="").geturl()).origin
        if origin not in {parse_base(base).origin, *server.oauth_origins}:
            return {}
        reply = parts.http.get(url)
    except TwinError as error:
        log.failure("smart.style", error)
        return {}
    return read_style(reply.body) if reply.status == 200 else {}


def _context(reply: TokenReply) -> list[dict[str, Any]]:
    """SL-9: a Patient or Encounter in fhirContext is context only with a role of its own."""
    kept = []
    for entry in reply.fhir_context:
        reference = str(entry.get("reference", ""))
        role = str(entry.get("role", ""))
        if reference.startswith(("Patient/", "Encounter/")) and role in ("", "launch"):
            continue
        kept.append(entry)
    return kept


def revoke(tag: str) -> None:
    """Tell the server that the tokens are no longer needed; the session ends whatever it answers."""
    kept = web_state().get(KIND, tag, now=time.time())
    open_services().drop(tag)
    if kept is None or kept.value["mode"] == "local":
        return
    parts = smart_parts()
    server = parts.registry.named(str(kept.value["server"]))
    if server is None:
        return
    try:
        client = parts.tokens(server, str(kept.value["base"]))
        if kept.value.get("refresh_token"):
            client.revoke(str(kept.value["refresh_token"]), "refresh_token")
        client.revoke(str(kept.value["access_token"]), "access_token")
    except (TwinError, UpstreamError) as error:
        log.failure("smart.revoke", error)

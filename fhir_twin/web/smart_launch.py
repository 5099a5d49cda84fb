"""SMART App Launch 2.2: EHR launch, standalone launch, callback, logout, and our public keys.

    GET /launch?iss=&launch=   ->  the EHR's authorization endpoint  ->  GET /callback  ->  /s/<tag>/

Everything about a launch is in one sealed record under its state, single use, ten minutes (SL-2); the browser that
began it holds a cookie without which the callback is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from fhir_twin import log
from fhir_twin.errors import Forbidden, InvalidInput, LoginRequired, NotSupported
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.model.scopes import known_to, wanted_scopes
from fhir_twin.transport.smart_discovery import SmartConfiguration
from fhir_twin.transport.smart_token import said
from fhir_twin.transport.urls import parse_base
from fhir_twin.web.answers import json_response
from fhir_twin.web.cookies import clear_cookie, set_cookie
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.session_store import end_session, hand_out, web_state
from fhir_twin.web.smart_authorize import to_authorize
from fhir_twin.web.smart_finish import finish
from fhir_twin.web.smart_parts import public_address, smart_parts

blueprint = Blueprint("smart", __name__)
KIND = "launch"
MINUTES = 10
_RETRY = "Start again from the record; a launch can be used once, within ten minutes, in the browser that began it."


@blueprint.get("/launch")
def launch() -> Response:
    """EHR launch (SL-3). Without both parameters nothing is fetched."""
    iss, token = request.args.getlist("iss"), request.args.getlist("launch")
    if len(iss) != 1 or len(token) != 1 or not iss[0] or not token[0] or len(token[0]) > 8000:
        raise InvalidInput("a launch from the record brings iss and launch, each once")
    context = request.args.get("appContext", "")[:4000]
    return _start(smart_parts().registered(iss[0]), iss[0], token[0], context)


@blueprint.get("/smart/login")
def login() -> Response:
    """Standalone launch (SL-11): choose a server, or ?server=NAME."""
    registry = smart_parts().registry
    open_to = [s for s in registry.servers if s.fixed and s.login != "none" and s.client_id]
    name = request.args.get("server", "")
    if not name:
        page = render_template("smart_login.html", servers=open_to)
        return Response(page, mimetype="text/html")
    server = next((s for s in open_to if s.name == name), None)
    if server is None:
        raise InvalidInput("no server of this name can be logged in to")
    return _start(server, server.base, "", "")


@blueprint.get("/callback")
def callback() -> Response:
    """The way back from the authorization server (SL-5)."""
    state = request.args.get("state", "")
    kept = web_state().take(KIND, state, now=time.time()) if state else None
    if kept is None:
        log.warning("smart.callback", state="unknown")
        raise InvalidInput(f"this login is not known here, or was used already. {_RETRY}")
    cookie = request.cookies.get(_cookie_name(state), "")
    if not hmac.compare_digest(cookie.encode(), str(kept["browser"]).encode()):
        log.warning("smart.callback", state="other-browser")
        if not cookie and kept["framed"]:
            return _blocked(str(kept["server"]), state)
        raise InvalidInput(f"this login was begun in another browser. {_RETRY}")
    if error := request.args.get("error"):
        more = request.args.get("error_description") or request.args.get("error_uri", "")
        raise LoginRequired(_refused(error, more))
    code = request.args.get("code", "")
    if not code or len(code) > 8000:
        raise InvalidInput(f"the authorization server sent neither a code nor an error. {_RETRY}")
    ticket = finish(kept, code, request.args.get("iss", ""))
    answer = make_response(redirect(url_for("pages.twin", tag=ticket.tag), 303))
    clear_cookie(answer, _cookie_name(state), path=_callback_path())
    return hand_out(ticket, answer)


@blueprint.post("/s/<tag>/logout")
@session_page("read", patientless=True)
def logout(session: PageSession) -> Response:
    """End the session here, and the tokens at the server where it lets us (SS-7)."""
    from fhir_twin.web.smart_finish import revoke

    revoke(session.tag)
    page = make_response(render_template("smart_ended.html"))
    return end_session(session, page)


@blueprint.get("/s/<tag>/session.json")
@session_page("read", patientless=True)
def about(session: PageSession) -> Response:
    """What this session may do and until when; for scripts of the page."""
    return json_response(
        {
            "csrf": session.csrf,
            "ends": session.ends,
            "mode": session.mode,
            "granted": sorted(session.granted),
            "denied": session.denied,
            "withheld": session.withheld,
            "notes": session.notes,
            "app_context": session.app_context,
            "fhir_context": session.fhir_context,
            "banner": session.banner,
        }
    )


@blueprint.get("/.well-known/jwks.json")
def jwks() -> Response:
    """Our public keys (BS-2)."""
    keys = smart_parts().keys
    keys.ensure(time.time())
    answer = json_response(keys.jwks())
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


# --- starting ------------------------------------------------------------------------------------


def _start(server: RegisteredServer, iss: str, launch_token: str, context: str) -> Response:
    if server.login == "none":
        raise NotSupported("this server is registered without a login")
    base = parse_base(iss).text
    configuration = smart_parts().configuration(server, base)
    _check(server, configuration)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    nonce, browser = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
    scope = " ".join(asked_scopes(server, configuration, ehr=bool(launch_token)))
    kept: dict[str, Any] = {
        "server": server.name,
        "base": base,
        "mode": "ehr" if launch_token else "standalone",
        "verifier": verifier,
        "nonce": nonce,
        "browser": browser,
        "scope": scope,
        "redirect_uri": public_address(url_for("smart.callback")),
        "app_context": context,
        "framed": request.headers.get("Sec-Fetch-Dest") == "iframe",
    }
    now = time.time()
    web_state().put(KIND, state, kept, now=now, expires=now + 60 * MINUTES)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": server.client_id,
        "redirect_uri": kept["redirect_uri"],
        **({"launch": launch_token} if launch_token else {}),
        "scope": scope,
        "state": state,
        "aud": server.aud or iss,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"nonce": nonce} if "openid" in scope.split() else {}),
    }
    answer = to_authorize(server, configuration, query)
    set_cookie(answer, _cookie_name(state), browser, path=_callback_path(), seconds=60 * MINUTES)
    log.event("smart.launch", mode=str(kept["mode"]), server=server.name)
    return answer


def _check(server: RegisteredServer, configuration: SmartConfiguration) -> None:
    if not configuration.authorization_endpoint:
        raise NotSupported("the FHIR server offers no authorization endpoint: users cannot log in there")
    if configuration.s256 is False and not server.without_s256:
        raise NotSupported("the FHIR server does not offer PKCE with S256, which a SMART login needs")
    if configuration.s256 is None:
        log.warning("smart.s256", state="not-said", server=server.name)


def asked_scopes(
    server: RegisteredServer, configuration: SmartConfiguration, *, ehr: bool
) -> tuple[str, ...]:
    """launch context, identity, data: the least that the page needs (SC-3), unless the registration says otherwise."""
    if server.scopes:
        dropped = {"launch/patient"} if ehr else {"launch"}
        return tuple(s for s in server.scopes if s not in dropped)
    context = ("launch",) if ehr else ("launch/patient",)
    stay = ("offline_access",) if server.offline else ()
    wanted = wanted_scopes("patient", v2=configuration.v2, write=server.write)
    return (*context, "openid", "fhirUser", *stay, *known_to(wanted, configuration.scopes_supported))


def _cookie_name(state: str) -> str:
    return "fhir_twin_launch_" + hashlib.sha256(state.encode()).hexdigest()[:12]


def _callback_path() -> str:
    return url_for("smart.callback")


def _refused(error: str, description: str) -> str:
    code = said(error)[:60]
    told = said(description)
    return f"the login was refused: {code}" + (f" ({told})" if told else "")


def _blocked(server: str, state: str) -> Response:
    """The browser keeps no cookies of ours in this frame: a window of its own, by the user's click (SL-16)."""
    del state
    found = smart_parts().registry.named(server)
    if found is None:
        raise Forbidden("this FHIR server is not registered here")
    page = render_template("smart_blocked.html", server=found)
    return Response(page, 400, mimetype="text/html")

"""create_app(service, settings): one Flask app, hardened, with every error as an OperationOutcome (FA-5)."""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, redirect, render_template, request, url_for
from werkzeug.exceptions import BadHost, HTTPException, SecurityError
from werkzeug.wrappers import Response as BaseResponse

from fhir_twin import log
from fhir_twin.actor import Actor, act_as
from fhir_twin.errors import InvalidInput, Issue, LoginRequired, TwinError
from fhir_twin.intake.reception import Reception
from fhir_twin.renewal import Renewal
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.storage.store import Store
from fhir_twin.transport.no_server import NoServer
from fhir_twin.web import (
    api,
    cds_hooks,
    facade,
    facade_access,
    facade_async,
    facade_made,
    headers,
    messages,
    metrics,
    openapi,
    operations,
    page_setup,
    pages,
    rate,
    session,
    session_access,
    smart_launch,
    smart_parts,
    smart_pick,
    subscriptions,
    terminology_ops,
    worklist,
)
from fhir_twin.web.answers import outcome_response
from fhir_twin.web.other_sites import refuse_other_sites
from fhir_twin.web.shelf import OpenShelf
from fhir_twin.web.site_lexicon import use_renewed
from fhir_twin.worker.notices import Inbox
from terminology import Terminology

# They ask for something else than a key: a launch's state and cookie, a JWT, a subscription's secret.
OWN_GUARD = frozenset({smart_launch.blueprint.name, cds_hooks.blueprint.name, subscriptions.blueprint.name})
# The FHIR face for patients takes SMART tokens beside the key, and may be switched off.
PATIENT_FACE = frozenset(
    {"made.read", "made.search", "made.unwritten", "operations.twin", "operations.simulate", "operations.plan",
     "operations.unknown", "async.status", "async.forget", "facade.apply"}
)  # fmt: skip
OPEN_ROUTES = frozenset({"openapi.openapi", "api.health", "api.metadata", "api.versions", "static"})


def create_app(
    service: TwinService,
    settings: Settings,
    library: Callable[[], Terminology] | None = None,
    store: Store | None = None,
    wake: Callable[[], None] = lambda: None,
    reception: Reception | None = None,
    renewal: Renewal | None = None,
) -> Flask:
    """The WSGI app. library: opens the terminology releases at the first question to them. store: where accepted work
    is kept; without one nothing is accepted. wake: told when there is new work. reception: the front door of feeds,
    None when they are switched off. renewal: reads the knowledge again when releases are imported or removed.

    Off loopback it refuses to be built without an API key: the record is behind it."""
    key = settings.text("api_key")
    public = urlsplit(settings.text("public_url"))
    here = _loopback(settings.text("host")) and _loopback(public.hostname or settings.text("host"))
    if not key and not here:
        raise LoginRequired("set api_key (FHIR_TWIN_API_KEY) before listening on anything but loopback")
    if settings.text("servers_file") and not here and public.scheme != "https":
        raise InvalidInput(
            "set public_url (https://...): logins and JWTs need the address that others know us by"
        )
    app = Flask("fhir_twin.web")
    app.config["MAX_CONTENT_LENGTH"] = settings.integer("max_body")
    app.config["TRUSTED_HOSTS"] = None if key else ["127.0.0.1", "localhost", "[::1]"]
    app.extensions["fhir-twin"] = {
        "service": service,
        "settings": settings,
        "shelf": OpenShelf(library),
        "renewal": renewal,
        "guard": threading.Lock(),
        "reception": reception,
        "token_check": facade_access.make_check(settings),
        "store": store,
        "inbox": Inbox(store, wake) if store is not None else None,
    }
    app.extensions["fhir-twin"]["frame_ancestors"] = headers.frame_ancestors(settings)
    app.extensions["fhir-twin"]["smart"] = smart_parts.make_parts(settings)
    registry = app.extensions["fhir-twin"]["smart"].registry
    unsigned = registry.unsigned_cds or not (registry.clients or key)
    cds_hooks.install(app, unsigned=here and unsigned, key_given=lambda: bool(key) and _key_given(key))
    page_setup.install(app)
    session.install(app)
    session_access.install(app)
    rate.install(app, settings.number("rate_limit"))
    metrics.install(app)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(cds_hooks.blueprint)
    app.register_blueprint(facade.blueprint)
    app.register_blueprint(terminology_ops.blueprint)
    for face in (facade_made, operations, facade_async):
        app.register_blueprint(face.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(worklist.blueprint)
    app.register_blueprint(messages.blueprint)
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(subscriptions.blueprint)
    app.register_blueprint(smart_launch.blueprint)
    app.register_blueprint(smart_pick.blueprint)
    app.before_request(lambda: _admit(key, here))
    app.before_request(use_renewed)
    app.after_request(headers.harden)
    app.register_error_handler(TwinError, _known_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)
    if prefix := public.path.rstrip("/"):
        app.wsgi_app = smart_parts.Mounted(app.wsgi_app, prefix)  # type: ignore[assignment,method-assign]
    return app


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _admit(key: str, here: bool) -> BaseResponse | None:
    """With a key set, every route but health and metadata wants it, as `X-API-Key` or a bearer token. A browser that
    comes to the front page without one is sent to log in at a registered server."""
    g.run_id = secrets.token_hex(6)
    act_as(Actor("api-key" if key else "local", request=g.run_id))
    if not key:
        refuse_other_sites()
    if (request.endpoint or "") in PATIENT_FACE:
        facade_access.admit(key, here)
        return None
    own: TwinService = current_app.extensions["fhir-twin"]["service"]
    if not key and request.endpoint == "pages.index" and isinstance(own.source, NoServer):
        return redirect(url_for("smart.login"), 303)
    if not key or request.endpoint in OPEN_ROUTES or request.blueprint in OWN_GUARD:
        return None
    if "tag" in (request.view_args or {}):
        return None  # addresses of a session ask for the session (session.session_page)
    if not _key_given(key):
        if request.endpoint == "pages.index" and request.method == "GET" and _logins():
            return redirect(url_for("smart.login"), 303)
        raise LoginRequired("this service wants its API key: X-API-Key, or Authorization: Bearer")
    return None


def _logins() -> bool:
    return any(s.login != "none" for s in current_app.extensions["fhir-twin"]["smart"].registry.servers)


def _key_given(key: str) -> bool:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = request.headers.get("X-API-Key") or (bearer if scheme.lower() == "bearer" else "")
    return hmac.compare_digest(given.encode(), key.encode())


def _known_error(error: TwinError) -> Response:
    log.failure("request.refused", error, route=request.endpoint or "?", run=g.get("run_id"))
    issues = (Issue("error", error.code, error.message, stage="serve"), *error.issues)
    response = _answer(issues, error.status)
    wait = getattr(error, "retry_after", None)
    if wait is not None and error.status == 503:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    words = {
        400: ("invalid", "the request cannot be understood"),
        404: ("not-found", "there is nothing at this address"),
        405: ("not-supported", "this address does not take that method"),
        413: ("too-costly", "the request body is larger than this server accepts (option max_body)"),
        406: ("not-supported", "answers come as application/fhir+json or application/fhir+xml, of FHIR 4.0"),
        415: ("not-supported", "send application/json, application/fhir+json or application/fhir+xml"),
    }
    code, text = words.get(status, ("processing", f"the request was refused (HTTP {status})"))
    response = _answer((Issue("error", code, text, stage="serve"),), status)
    if status == 405 and getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))  # type: ignore[attr-defined]
    return response


def _bug(error: Exception) -> Response:
    """Whatever else: a run id for the log, and nothing of the error's text."""
    run_id = g.get("run_id", "?")
    log.failure("request.bug", error, route=request.endpoint or "?", run=run_id)
    return _answer((Issue("fatal", "exception", f"an error of ours; run id {run_id}", stage="serve"),), 500)


def _answer(issues: tuple[Issue, ...], status: int) -> Response:
    if isinstance(
        request.routing_exception, SecurityError | BadHost
    ):  # no addresses can be made, so no page either
        return outcome_response(issues, status)
    best = request.accept_mimetypes.best_match(["application/fhir+json", "application/json", "text/html"])
    if best == "text/html" and not request.path.startswith(("/api/", "/fhir/")):
        body: Any = render_template("error.html", issues=issues, status=status)
        return Response(body, status, mimetype="text/html")
    return outcome_response(issues, status)

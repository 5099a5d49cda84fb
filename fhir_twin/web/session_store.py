"""Sessions on the server: made, found by the cookie of their address, kept alive, ended.

The browser holds a random number and nothing else; what it stands for is sealed in the store (SS-1).
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, g, request, url_for

from fhir_twin import log
from fhir_twin.errors import NotFound
from fhir_twin.settings import Settings
from fhir_twin.storage.open_web import open_web_state
from fhir_twin.storage.sealing import read_keys
from fhir_twin.storage.web_state import Kept, WebState
from fhir_twin.web.cookies import clear_cookie, set_cookie
from fhir_twin.web.session import PageSession
from terminology.build import default_cache

KIND = "session"
COOKIE = "fhir_twin_session"
_TAG = re.compile(r"[A-Za-z0-9_-]{8,32}\Z")
_SWEEP_EVERY = 600  # seconds between two clean-ups of what has expired
_TOUCH_EVERY = 30  # seconds; a row is not written at every request


@dataclass(frozen=True, slots=True, repr=False)
class Ticket:
    """What the session's cookie must hold: tag and secret."""

    tag: str
    secret: str


def web_state() -> WebState:
    """The store, opened at the first use in this process (after a fork, never before)."""
    kept = current_app.extensions["fhir-twin"]
    with kept["guard"]:
        if "web_state" not in kept:
            settings: Settings = kept["settings"]
            keys = read_keys(settings.text("secret_key"), settings.path("secret_key_file"))
            folder = (settings.path("cache") or default_cache()) / "web"
            shared = settings.text("store") if settings.text("store").startswith("postgres") else ""
            kept["web_state"] = open_web_state(settings.text("session_store") or shared, folder, keys)
        state: WebState = kept["web_state"]
        now = time.time()
        due = now - kept.get("swept", 0.0) > _SWEEP_EVERY
        if due:
            kept["swept"] = now
    if due:
        log.event("web.sweep", rows=state.sweep(now=now))
    return state


def make_session(value: dict[str, Any], *, ends: float | None = None) -> Ticket:
    """A new session around `value` (which must be JSON): mode, patient, and for a login its tokens and grants.

    ends: Unix seconds, when it takes the place of another one."""
    settings: Settings = current_app.extensions["fhir-twin"]["settings"]
    now = time.time()
    ticket = Ticket(secrets.token_urlsafe(9), secrets.token_urlsafe(32))
    ends = ends or now + 3600 * settings.number("session_hours")
    full = {**value, "secret": ticket.secret, "csrf": secrets.token_urlsafe(24), "made": now, "ends": ends}
    idle = min(now + settings.integer("session_idle"), ends)
    web_state().put(KIND, ticket.tag, full, now=now, expires=idle)
    return ticket


def hand_out(ticket: Ticket, response: Response) -> Response:
    """Give the browser its cookie, for the session's own address only."""
    path = url_for("pages.twin", tag=ticket.tag).rstrip("/") + "/"
    set_cookie(response, COOKIE, ticket.secret, path=path)
    return response


def load_session(tag: str) -> PageSession | None:
    """The session of the request's cookie, kept alive by this; None when there is none."""
    kept = find(tag)
    if kept is None:
        return None
    from fhir_twin.web.session_access import open_session

    now = time.time()
    if now - kept.seen > _TOUCH_EVERY:
        settings: Settings = current_app.extensions["fhir-twin"]["settings"]
        expires = min(now + settings.integer("session_idle"), kept.value["ends"])
        web_state().touch(KIND, tag, now=now, expires=expires)
    return open_session(tag, kept, datetime.fromtimestamp(kept.value["ends"], UTC), web_state())


def find(tag: str) -> Kept | None:
    """What is stored for this address, when the request's cookie belongs to it."""
    given = request.cookies.get(COOKIE, "")
    if not _TAG.match(tag) or not given:
        return None
    kept = web_state().get(KIND, tag, now=time.time())
    if kept is None or not hmac.compare_digest(given.encode(), str(kept.value["secret"]).encode()):
        return None
    return kept


def end_session(session: PageSession, response: Response) -> Response:
    """Forget it here and in the browser."""
    for kind in (KIND, "view", "record", "edits"):  # and what the page kept (web/keeping.py)
        web_state().drop(kind, session.tag)
    log.event("session.end", mode=session.mode)
    g.page_session = None
    path = url_for("pages.twin", tag=session.tag).rstrip("/") + "/"
    clear_cookie(response, COOKIE, path=path)
    return response


def local_session(patient: str) -> Ticket:
    """A session without a login, on the configured server (loopback only; see app._admit).

    Raises NotFound when the patient's id cannot be one."""
    if not re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", patient):
        raise NotFound("there is no such patient")
    return make_session({"mode": "local", "patient": patient})

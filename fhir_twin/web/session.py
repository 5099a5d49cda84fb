"""Who is looking at whom: `PageSession`, and the decorator for everything that shows or changes a patient's data.

    blueprint = Blueprint("pages", __name__, url_prefix="/s/<tag>")

    @blueprint.get("/")
    @session_page()
    def twin(session: PageSession) -> Response:
        outcome = session.service.run_one(session.patient, now, dry_run=True)

One session = one patient (SS-6). Each session has its own address `/s/<tag>/...` and a cookie that the browser sends
to that address only, so that two launches in two tabs of one browser can never be mixed up. The tag is no secret;
the cookie is. `url_for` fills in the tag by itself within a session.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from flask import Flask, g, redirect, request, url_for

from fhir_twin.errors import Forbidden, LoginRequired
from fhir_twin.service import TwinService

Feature = Literal["read", "plan", "write"]
Mode = Literal["local", "ehr", "standalone"]
View = Callable[..., Any]
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, repr=False)
class PageSession:
    """One user's view of one patient.

    service: bound to this session's FHIR access; its source and sink use this session's token and nothing else
    (service.sink is None when writing is not granted). patient: id on that server. base: the server's base URL.
    user: "Practitioner/1" as the server names it, "" when nobody is logged in (local mode). granted: what may be
    done; denied: why not, in words, for each feature that is missing. withheld: resource types that the granted
    scopes do not cover. banner: the page must show who the patient is (SL-12). style: colours and sizes of the EHR,
    checked (names of SMART's style sheet -> value). app_context: what the card that led here said.
    notes: what the login left open, in words ("the server did not say who is logged in").
    intent, fhir_context: what the launch brought besides (SL-8, SL-9).
    csrf: put it into every form as `csrf_token`, or send it as X-CSRF-Token. ends: when the session is over."""

    tag: str
    mode: Mode
    patient: str
    base: str
    service: TwinService
    user: str
    csrf: str
    ends: datetime
    granted: frozenset[Feature] = frozenset()
    denied: dict[Feature, str] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()
    encounter: str = ""
    banner: bool = True
    style: dict[str, str] = field(default_factory=dict)
    app_context: dict[str, Any] = field(default_factory=dict)
    server_name: str = ""
    notes: tuple[str, ...] = ()
    intent: str = ""
    fhir_context: tuple[dict[str, Any], ...] = ()

    def may(self, feature: Feature) -> bool:
        return feature in self.granted

    def require(self, feature: Feature) -> None:
        """Raises Forbidden, saying what is missing."""
        if feature not in self.granted:
            raise Forbidden(self.denied.get(feature) or f"this session may not {feature}")


def current_session() -> PageSession:
    """The session of this request. Raises LoginRequired when there is none, or it is over."""
    found: PageSession | None = g.get("page_session")
    if found is None:
        from fhir_twin.web.session_store import load_session

        tag = (request.view_args or {}).get("tag") or g.get("session_tag", "")
        found = g.page_session = load_session(str(tag))
    if found is None:
        raise LoginRequired("there is no session here, or it has ended: open the page from the record again")
    return found


def session_page(feature: Feature = "read", *, patientless: bool = False) -> Callable[[View], View]:
    """A view that needs a session which may `feature`; it gets the PageSession as its first argument and no `tag`.

    For methods that change something the CSRF token is asked for (403 without). A session whose login named no
    patient is sent to choose one first, unless `patientless`."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop("tag", None)
            session = current_session()
            if request.method not in _SAFE:
                check_csrf(session)
            session.require(feature)
            if not session.patient and not patientless:
                return redirect(url_for("smart_pick.pick", tag=session.tag), 303)
            return view(session, *args, **kwargs)

        return guarded

    return decorate


def check_csrf(session: PageSession) -> None:
    """SameSite=None cookies give no protection: every change must carry the session's token (security.md 5.2)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("this request came from another site")
    given = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise Forbidden("the form is too old or not ours: reload the page and try again")


def install(app: Flask) -> None:
    """`url_for` to an address below /s/<tag> takes the tag of the request's session."""

    @app.url_defaults
    def _tag(endpoint: str, values: dict[str, Any]) -> None:
        known = endpoint in app.view_functions
        if known and "tag" not in values and app.url_map.is_endpoint_expecting(endpoint, "tag"):
            found = g.get("page_session")
            tag = found.tag if found is not None else (request.view_args or {}).get("tag")
            if tag:
                values["tag"] = tag

    @app.context_processor
    def _session() -> dict[str, Any]:
        return {"session_page": g.get("page_session")}

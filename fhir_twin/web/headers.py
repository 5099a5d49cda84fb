"""Headers that every answer carries (security.md 5.2): a strict CSP, no sniffing, no referrer, nothing kept.

Frames: only the origins in `frame_ancestors` may show the page, and then only them; nobody else, whatever they are.
"""

from __future__ import annotations

from flask import Response, current_app, request

from fhir_twin.errors import InvalidInput
from fhir_twin.settings import Settings
from fhir_twin.transport.urls import parse_base

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'{forms}; frame-ancestors {ancestors}"
)
_YEAR = 31_536_000


def frame_ancestors(settings: Settings) -> str:
    """The CSP source list. Raises InvalidInput when an entry is no origin."""
    words = settings.text("frame_ancestors").split()
    if not words:
        return "'none'"
    for word in words:
        base = parse_base(word)
        if base.path or base.origin != word.rstrip("/").lower():
            raise InvalidInput("frame_ancestors takes origins (https://ehr.example.org) separated by blanks")
    return " ".join(parse_base(word).origin for word in words)


def policy(forms: tuple[str, ...] = ()) -> str:
    """The CSP of a page of this app. forms: further origins that a form of it may be sent to."""
    ancestors = current_app.extensions["fhir-twin"]["frame_ancestors"]
    return _POLICY.format(forms="".join(f" {origin}" for origin in forms), ancestors=ancestors)


def harden(response: Response) -> Response:
    """For after_request. A view's own Cache-Control and CSP are left as they are."""
    kept = current_app.extensions["fhir-twin"]
    response.headers.setdefault("Content-Security-Policy", policy())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cache-Control", "no-store")
    if request.is_secure or kept["settings"].text("public_url").startswith("https://"):
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
    if response.status_code == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    return response

"""Web pages of others must not make this service do things in the name of whoever sits at the browser.

On an open loopback there is no key that such a page would lack; a form post with text/plain or no body needs no CORS
permission. So the browser's own word on where a request comes from is believed: programs send no such word.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from fhir_twin.errors import Forbidden

MACHINES = frozenset({"api", "messages", "made", "operations", "async", "facade"})  # blueprints for programs
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def refuse_other_sites() -> None:
    """Raises Forbidden for a changing request that a page of another origin sent."""
    if request.method in _SAFE or request.blueprint not in MACHINES:
        return
    origin = request.headers.get("Origin", "")
    foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    if foreign or (origin and urlsplit(origin).netloc != request.host):
        raise Forbidden("a web page of another origin may not do this")

"""Calls to OAuth endpoints: small, short, never repeated by themselves, never redirected, no cookies.

An endpoint is called only when its origin is the FHIR base's own or one that was registered for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from fhir_twin.errors import Forbidden, UpstreamError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.transport.http import HttpClient, Limits, Reply
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.urls import parse_base

LIMITS = Limits(connect=5.0, read=10.0, total=20.0, max_bytes=1_000_000, max_redirects=0)
_ONCE = RetryPolicy(attempts=0)


class SmartHttp:
    """get and post_form to whole URLs. Raises UpstreamError and its kin when there is no usable answer."""

    def __init__(self, ca_bundle: Path | None = None, limits: Limits = LIMITS) -> None:
        self._ca_bundle = ca_bundle
        self._limits = limits

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        sent = {"Accept": "application/json", **(headers or {})}
        with self._client(url) as client:
            return client.request("GET", url, headers=sent, repeat="never")

    def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        sent = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        body = urlencode(dict(fields)).encode()
        with self._client(url) as client:
            reply = client.request("POST", url, body=body, headers=sent, repeat="never")
        if 300 <= reply.status < 400:
            raise UpstreamError("the authorization server answers with a redirect; it was not followed")
        return reply

    def _client(self, url: str) -> HttpClient:
        origin = parse_base(url.partition("?")[0]).origin
        return HttpClient(origin, ca_bundle=self._ca_bundle, limits=self._limits, retry=_ONCE)


def check_endpoint(server: RegisteredServer, base: str, url: str, what: str) -> str:
    """`url`, when a token or code may go there. Raises Forbidden otherwise (security.md 5.3 row 10)."""
    parsed = parse_base(url.partition("?")[0])
    allowed = {parse_base(base).origin, *server.oauth_origins}
    if parsed.origin not in allowed:
        raise Forbidden(
            f"the FHIR server names a {what} on another origin; register that origin (oauth_origins) if it is right"
        )
    loopback = parsed.host in ("localhost", "::1") or parsed.host.startswith("127.")
    if parsed.scheme != "https" and not loopback:
        raise Forbidden(f"the {what} is not https")
    return url

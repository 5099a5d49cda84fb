"""Who calls our CDS services: the client's JWT, verified (CF-2, D11).

Signed by a key of the registered client, made for exactly this address, short-lived, used once. Where the keys are is
registered; a token's own `jku` is compared with that and never followed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from flask import current_app, request

from fhir_twin import log
from fhir_twin.errors import LoginRequired
from fhir_twin.model.registered import CdsClient
from fhir_twin.transport.jwks import KeySource
from fhir_twin.web.session_store import web_state
from fhir_twin.web.smart_parts import public_base, smart_parts

LEEWAY = 60
LONGEST = 300  # seconds from now to exp; more is refused
KIND = "jti"
_EMBEDDED = ("jwk", "x5u", "x5c", "crit")
REFUSED = "this service wants a valid JWT of a registered CDS client"


@dataclass(slots=True)
class CdsKeys:
    """The keys of each registered client, kept between calls."""

    _guard: threading.Lock = field(default_factory=threading.Lock)
    _sources: dict[str, KeySource] = field(default_factory=dict)

    def of(self, client: CdsClient) -> KeySource:
        with self._guard:
            if client.issuer not in self._sources:
                http = smart_parts().http
                fetch = http.get if client.jwks_url else None
                self._sources[client.issuer] = KeySource(client.jwks_url, fetch, fixed=client.jwks)
            return self._sources[client.issuer]


def caller() -> CdsClient | None:
    """The client that calls; None where calls without a JWT are taken. Raises LoginRequired (401) otherwise, with the
    same words whatever is wrong; the reason goes to the log."""
    kept = current_app.extensions["fhir-twin"]
    if kept["key_given"]():
        return None
    if kept["cds_unsigned"]:
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refuse("no-token")
    return _verified(token.strip(), kept["cds_keys"])


def _verified(token: str, keys: CdsKeys) -> CdsClient:
    try:
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _refuse("unreadable") from None
    client = next((c for c in smart_parts().registry.clients if c.issuer == claimed.get("iss")), None)
    if client is None:
        raise _refuse("issuer")
    algorithm = str(header.get("alg", ""))
    if algorithm not in client.algorithms or any(name in header for name in _EMBEDDED):
        raise _refuse("algorithm")
    if client.jwks_url and header.get("jku", client.jwks_url) != client.jwks_url:
        raise _refuse("jku")
    claims = _checked(token, algorithm, str(header.get("kid") or ""), client, keys)
    _once(claims, client)
    return client


def _checked(token: str, algorithm: str, kid: str, client: CdsClient, keys: CdsKeys) -> dict[str, Any]:
    for key in keys.of(client).candidates(kid, algorithm):
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=public_base() + request.path,
                issuer=client.issuer,
                leeway=LEEWAY,
                options={"require": ["iss", "aud", "exp", "iat", "jti"]},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.PyJWTError as error:
            raise _refuse(type(error).__name__) from None
        if float(claims["exp"]) > time.time() + LONGEST + LEEWAY:
            raise _refuse("exp")
        if client.tenants and claims.get("tenant") not in client.tenants:
            raise _refuse("tenant")
        return claims
    raise _refuse("signature")


def _once(claims: dict[str, Any], client: CdsClient) -> None:
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= 500:
        raise _refuse("jti")
    now = time.time()
    if not web_state().put(
        KIND, f"{client.issuer} {jti}", {}, now=now, expires=float(claims["exp"]) + LEEWAY + 1
    ):
        raise _refuse("replay")


def _refuse(reason: str) -> LoginRequired:
    log.warning("cds.refused", code=reason, route=request.endpoint or "?")
    return LoginRequired(REFUSED)

"""Self-test A and B: can an app log in here, and can a service? No login is made and no token is sent.

The authorization server is only asked for what it publishes, and once for a code that is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from fhir_twin.errors import TwinError
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.selftest import Check, State
from fhir_twin.transport.smart_http import SmartHttp

Json = dict[str, Any]
_WELL_KNOWN = ".well-known/smart-configuration"


def smart(server: FhirServer, capability: ServerCapability) -> Iterator[Check]:
    """A1 to A15, B1, B2."""
    yield _unlocked(server)
    try:
        reply = server.client.request("GET", _WELL_KNOWN, headers={"Accept": "application/json"})
        told = json.loads(reply.body) if reply.status == 200 else None
    except (TwinError, ValueError):
        told = None
    if not isinstance(told, dict):
        yield Check(
            "SMART configuration",
            "not offered",
            "no readable .well-known/smart-configuration",
            "SMART launch and Backend Services cannot be used; give a token by --token-file",
            id="A1",
        )
        return
    yield Check("SMART configuration", "pass", "published", id="A1")
    base = server.base + "/"
    for question in (_authorize, _token, _pkce, _launch, _scopes, _service, _introspection):
        yield question(told, base)
    yield _token_answers(told, base)
    yield from _identity(told, base)
    yield _agrees(told, capability)


def _words(told: Json, key: str) -> list[str]:
    value = told.get(key)
    return [str(v) for v in value] if isinstance(value, list) else []


def _url(told: Json, key: str, base: str) -> str:
    value = told.get(key)
    return urljoin(base, value) if isinstance(value, str) and value else ""


def _secure(url: str) -> State:
    local = url.startswith(("http://127.", "http://localhost", "http://[::1]"))
    return "pass" if url.startswith("https://") or local else "fail"


def _endpoint(told: Json, base: str, key: str, name: str, ident: str, without: str) -> Check:
    url = _url(told, key, base)
    if not url:
        return Check(name, "not offered", f"{key} is missing", without, id=ident)
    advice = "" if _secure(url) == "pass" else "codes and tokens would cross the network in the clear"
    return Check(
        name, _secure(url), "over TLS" if url.startswith("https") else "without TLS", advice, id=ident
    )


def _authorize(told: Json, base: str) -> Check:
    return _endpoint(
        told, base, "authorization_endpoint", "authorization endpoint", "A2", "no login of people"
    )


def _token(told: Json, base: str) -> Check:
    return _endpoint(told, base, "token_endpoint", "token endpoint", "A5", "no login at all")


def _introspection(told: Json, base: str) -> Check:
    without = "our FHIR face checks tokens by the issuer's keys, if they are JWTs"
    return _endpoint(told, base, "introspection_endpoint", "introspection endpoint", "A11", without)


def _pkce(told: Json, _: str) -> Check:
    if "S256" in _words(told, "code_challenge_methods_supported"):
        return Check("PKCE", "pass", "S256", id="A2b")
    return Check(
        "PKCE", "warn", "S256 is not named", "it is sent all the same; the server may refuse it", id="A2b"
    )


def _launch(told: Json, _: str) -> Check:
    can = set(_words(told, "capabilities"))
    found = [k for k in ("launch-ehr", "launch-standalone") if k in can]
    if not found:
        return Check(
            "launch",
            "not offered",
            "neither launch-ehr nor launch-standalone",
            "no launch from this EHR",
            id="A3",
        )
    missing = [] if can & {"context-ehr-patient", "context-standalone-patient"} else ["no patient context"]
    return Check(
        "launch",
        "warn" if missing else "pass",
        ", ".join([*found, *missing]),
        "the user has to pick the patient" if missing else "",
        id="A3",
    )


def _scopes(told: Json, _: str) -> Check:
    can = set(_words(told, "capabilities"))
    forms = [v for v in ("permission-v1", "permission-v2") if v in can]
    if forms:
        return Check("scopes", "pass", " and ".join(forms), id="A9")
    named = _words(told, "scopes_supported")
    return Check(
        "scopes",
        "warn",
        f"no permission capability; {len(named)} scopes named",
        "both forms are tried",
        id="A9",
    )


def _service(told: Json, _: str) -> Check:
    grants = _words(told, "grant_types_supported")
    can = _words(told, "capabilities")
    if "client_credentials" not in grants and "client-confidential-asymmetric" not in can:
        return Check(
            "Backend Services",
            "not offered",
            "no client_credentials",
            "nightly runs need a token by file",
            id="B1",
        )
    methods = _words(told, "token_endpoint_auth_methods_supported")
    algorithms = set(_words(told, "token_endpoint_auth_signing_alg_values_supported"))
    if methods and "private_key_jwt" not in methods:
        return Check(
            "Backend Services", "warn", "private_key_jwt is not named", "register a secret instead", id="B1"
        )
    if algorithms and not algorithms & {"RS384", "ES384"}:
        return Check(
            "Backend Services",
            "fail",
            "neither RS384 nor ES384",
            "ask for one of them (SMART wants both)",
            id="B1",
        )
    return Check("Backend Services", "pass", "client_credentials with private_key_jwt", id="B1")


def _token_answers(told: Json, base: str) -> Check:
    """A code that is none has to be refused in OAuth's words (A12)."""
    url = _url(told, "token_endpoint", base)
    if not url:
        return Check("token errors", "not offered", "there is no token endpoint", id="A12")
    fields = {
        "grant_type": "authorization_code",
        "code": "fhir-twin-check",
        "redirect_uri": "http://localhost/none",
        "client_id": "fhir-twin-check",
    }
    try:
        reply = SmartHttp().post_form(url, fields, {})
        error = json.loads(reply.body).get("error")
    except (TwinError, ValueError, AttributeError):
        return Check(
            "token errors",
            "warn",
            "no readable answer to a code that is none",
            "errors will be vague",
            id="A12",
        )
    if reply.status in (400, 401) and isinstance(error, str):
        return Check("token errors", "pass", "a code that is none is refused in OAuth's words", id="A12")
    state: State = "fail" if reply.status == 200 else "warn"
    return Check("token errors", state, f"a code that is none answers {reply.status}", id="A12")


def _identity(told: Json, base: str) -> Iterator[Check]:
    if "sso-openid-connect" not in _words(told, "capabilities"):
        yield Check(
            "identity of users", "not offered", "no sso-openid-connect", "plans name no user", id="A10"
        )
        return
    issuer = _url(told, "issuer", base)
    http = SmartHttp()
    try:
        found = (
            json.loads(http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").body)
            if issuer
            else {}
        )
        jwks = _url(told, "jwks_uri", base) or str(found.get("jwks_uri") or "")
        keys = json.loads(http.get(jwks).body).get("keys") if jwks else None
    except (TwinError, ValueError, AttributeError):
        yield Check(
            "identity of users",
            "fail",
            "the issuer's keys cannot be read",
            "users cannot be told apart",
            id="A10",
        )
        return
    if not isinstance(keys, list) or not keys:
        yield Check(
            "identity of users",
            "fail",
            "the issuer publishes no keys",
            "users cannot be told apart",
            id="A10",
        )
        return
    named = all(isinstance(k, dict) and k.get("kid") for k in keys)
    yield Check(
        "identity of users", "pass", f"{len(keys)} keys" + ("" if named else ", some without kid"), id="A10"
    )


def _unlocked(server: FhirServer) -> Check:
    """Does the server want a token at all? Asked without one, for nobody's data."""
    with HttpClient(server.base, retry=RetryPolicy(attempts=0)) as bare:
        try:
            status = bare.request("GET", "Patient?_count=0&_id=fhir-twin-no-such-id", repeat="never").status
        except TwinError as error:
            status = getattr(error, "http_status", 0)
    if status in (401, 403):
        return Check("a token is wanted", "pass", f"without one: {status}", id="A15")
    return Check(
        "a token is wanted",
        "warn",
        f"without one: {status}",
        "whoever reaches this address reads records",
        id="A15",
    )


def _agrees(told: Json, capability: ServerCapability) -> Check:
    uris = [
        e.get("valueUri")
        for rest in capability.raw.get("rest") or ()
        for x in (rest.get("security") or {}).get("extension") or ()
        for e in x.get("extension") or ()
        if e.get("url") == "token"
    ]
    if not uris or told.get("token_endpoint") in uris:
        return Check(
            "capability statement agrees", "pass", "on the token endpoint, or says nothing", id="A1b"
        )
    return Check(
        "capability statement agrees",
        "warn",
        "it names another token endpoint",
        "the SMART configuration is believed",
        id="A1b",
    )

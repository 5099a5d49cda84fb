"""Will a login at a registered server work? One line a question, before the first user finds out (interop.md 4.9)."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from fhir_twin.errors import TwinError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.transport.selftest import Check
from fhir_twin.transport.smart_discovery import SmartConfiguration, discover, openid_configuration
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.smart_token import TokenClient
from fhir_twin.transport.urls import parse_base

_METHODS = {"secret": "client_secret_basic", "key": "private_key_jwt"}
_CAPABILITIES = {
    "public": "client-public",
    "secret": "client-confidential-symmetric",
    "key": "client-confidential-asymmetric",
}


def check_registration(
    server: RegisteredServer, base: str, http: SmartHttp, keys: OwnKeys, public_url: str
) -> Iterator[Check]:
    """Nothing is written, nobody is logged in. base: where a pattern stands in the registration, one real address.

    A token is asked for only where backend_scopes are registered. Never raises TwinError."""
    if server.login == "none":
        yield Check("login", "warn", "registered without a login", "CDS Hooks without a token only")
        return
    try:
        found = discover(server, base, http)
    except TwinError as error:
        yield Check("SMART configuration", "fail", error.message, "check base and oauth_origins")
        return
    yield _where(found)
    yield _s256(found, server)
    yield _authorize(found)
    if server.authorize_post:
        yield _posted(found)
    yield _method(found, server)
    yield from _launches(found)
    yield _identity(found, server, base, http)
    yield _redirect(public_url)
    if server.login == "key" or server.backend_scopes:
        yield _published(keys, public_url, http)
    if server.backend_scopes:
        yield _backend(found, server, keys, http)


def _where(found: SmartConfiguration) -> Check:
    if found.found_in == "smart-configuration":
        return Check("SMART configuration", "pass", "smart-configuration is there")
    return Check(
        "SMART configuration",
        "warn",
        "only the old oauth-uris of the CapabilityStatement",
        "works; v1 scopes are asked for, and nothing is known of its capabilities",
    )


def _s256(found: SmartConfiguration, server: RegisteredServer) -> Check:
    if found.s256:
        return Check("PKCE", "pass", "S256")
    if found.s256 is None:
        return Check("PKCE", "warn", "the server does not say", "S256 is sent all the same")
    if server.without_s256:
        return Check(
            "PKCE", "warn", "S256 is not offered; registered as without_s256", "ask the vendor for S256"
        )
    return Check(
        "PKCE", "fail", "S256 is not offered", "logins are refused; without_s256 = true overrides that"
    )


def _authorize(found: SmartConfiguration) -> Check:
    if found.authorization_endpoint:
        return Check(
            "authorization endpoint", "pass", parse_base(found.authorization_endpoint.split("?")[0]).origin
        )
    return Check("authorization endpoint", "warn", "none", "users cannot log in; Backend Services only")


def _posted(found: SmartConfiguration) -> Check:
    if found.posts_authorize:
        return Check("authorize by POST", "pass", "authorize-post is offered")
    return Check("authorize by POST", "warn", "authorize-post is not listed", "GET is used all the same")


def _method(found: SmartConfiguration, server: RegisteredServer) -> Check:
    capability, method = _CAPABILITIES[server.login], _METHODS.get(server.login, "")
    if capability in found.capabilities or (method and method in found.auth_methods):
        return Check("client login", "pass", f"{server.login} is offered")
    if not found.capabilities and not found.auth_methods:
        return Check("client login", "warn", "the server does not say what it takes", "try a login")
    return Check(
        "client login", "warn", f"{server.login} is not listed", "compare with how the client was registered"
    )


def _launches(found: SmartConfiguration) -> Iterator[Check]:
    for name, words in (("launch-ehr", "launch from the record"), ("launch-standalone", "standalone launch")):
        if name in found.capabilities:
            yield Check(words, "pass", "offered")
        else:
            yield Check(words, "warn", "not listed", "it may work all the same")
    kind = "v2" if found.v2 else "v1"
    yield Check("scopes", "pass", f"{kind} scopes will be asked for")


def _identity(found: SmartConfiguration, server: RegisteredServer, base: str, http: SmartHttp) -> Check:
    if not found.issuer:
        return Check("identity", "warn", "no issuer is named", "the user may stay unnamed")
    try:
        _, uri = openid_configuration(server, base, found.issuer, http)
        uri = uri or found.jwks_uri
        if not uri:
            return Check(
                "identity", "warn", "no keys of the issuer", "an id_token cannot be checked: logins fail"
            )
        reply = http.get(uri)
    except TwinError as error:
        return Check(
            "identity", "fail", error.message, "register the issuer's origin (oauth_origins) if it is right"
        )
    if reply.status != 200:
        return Check(
            "identity", "fail", f"the issuer's keys answer {reply.status}", "id_tokens cannot be checked"
        )
    return Check("identity", "pass", "issuer and keys are there")


def _redirect(public_url: str) -> Check:
    if not public_url:
        return Check(
            "redirect URI", "warn", "public_url is not set", "set it, and register PUBLIC_URL/callback"
        )
    return Check("redirect URI", "pass", f"register exactly {public_url.rstrip('/')}/callback")


def _published(keys: OwnKeys, public_url: str, http: SmartHttp) -> Check:
    """Ours must be reachable where we say, with the same keys; the server will fetch them from there."""
    if not public_url:
        return Check("our keys", "warn", "public_url is not set", "register PUBLIC_URL/.well-known/jwks.json")
    url = f"{public_url.rstrip('/')}/.well-known/jwks.json"
    own = {k.kid for k in keys.all()}
    try:
        reply = http.get(url)
        seen = {k["kid"] for k in orjson.loads(reply.body)["keys"]} if reply.status == 200 else set()
    except (TwinError, orjson.JSONDecodeError, KeyError, TypeError):
        return Check("our keys", "warn", "not reachable from here", f"the server must be able to read {url}")
    if own and own <= seen:
        return Check("our keys", "pass", f"{len(own)} keys at {url}")
    return Check(
        "our keys", "fail", "other keys are published than are here", "is key_folder the same for both?"
    )


def _backend(found: SmartConfiguration, server: RegisteredServer, keys: OwnKeys, http: SmartHttp) -> Check:
    try:
        reply = TokenClient(server, found, keys, http).client_credentials()
    except TwinError as error:
        return Check(
            "Backend Services", "fail", error.message, "was our JWKS URL or key registered, and the scopes?"
        )
    scope = reply.scope if reply.scope is not None else "as asked"
    lacking = set(server.backend_scopes) - set(scope.split()) if reply.scope is not None else set()
    if lacking:
        return Check(
            "Backend Services", "warn", f"granted: {scope}", f"not granted: {' '.join(sorted(lacking))}"
        )
    return Check("Backend Services", "pass", f"a token for {reply.expires_in:.0f} s")

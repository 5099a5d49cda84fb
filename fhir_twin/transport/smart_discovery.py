"""What a server's SMART configuration says (SL-1): `.well-known/smart-configuration`, or the older oauth-uris.

Relative endpoints are resolved against the FHIR base (A1). What is missing is missing: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import orjson

from fhir_twin.errors import NotSupported, UpstreamError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.transport.http import Reply
from fhir_twin.transport.smart_http import SmartHttp, check_endpoint

_OAUTH = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


@dataclass(frozen=True, slots=True)
class SmartConfiguration:
    """s256: None when the server does not say (legacy). found_in: "smart-configuration" or "CapabilityStatement"."""

    base: str
    token_endpoint: str
    authorization_endpoint: str = ""
    issuer: str = ""
    jwks_uri: str = ""
    introspection_endpoint: str = ""
    revocation_endpoint: str = ""
    capabilities: frozenset[str] = frozenset()
    scopes_supported: frozenset[str] = frozenset()
    auth_methods: frozenset[str] = frozenset()
    auth_algorithms: frozenset[str] = frozenset()
    s256: bool | None = None
    found_in: str = "smart-configuration"

    @property
    def v2(self) -> bool:
        """v2 scopes, unless the server only says that it has v1 (SC-4)."""
        if "permission-v2" in self.capabilities:
            return True
        if "permission-v1" in self.capabilities or self.found_in == "CapabilityStatement":
            return False
        said = [s for s in self.scopes_supported if "/" in s and "." in s]
        return not any(s.endswith((".read", ".write", ".*")) for s in said)

    @property
    def posts_authorize(self) -> bool:
        return "authorize-post" in self.capabilities


def discover(server: RegisteredServer, base: str, http: SmartHttp) -> SmartConfiguration:
    """The configuration of `base`, which `server` covers. Raises NotSupported when there is none, Forbidden when an
    endpoint lies where tokens must not go, and UpstreamError when the server does not answer."""
    reply = http.get(f"{base}/.well-known/smart-configuration")
    told = _object(reply) if reply.status == 200 else None
    if told is not None and isinstance(told.get("token_endpoint"), str):
        return _from_well_known(server, base, told)
    return _from_capability(server, base, http)


def _from_well_known(server: RegisteredServer, base: str, told: dict[str, Any]) -> SmartConfiguration:
    def endpoint(key: str) -> str:
        value = told.get(key)
        if not isinstance(value, str) or not value:
            return ""
        return check_endpoint(server, base, urljoin(base + "/", value), key)

    methods = told.get("code_challenge_methods_supported")
    return SmartConfiguration(
        base=base,
        token_endpoint=endpoint("token_endpoint"),
        authorization_endpoint=endpoint("authorization_endpoint"),
        issuer=told["issuer"] if isinstance(told.get("issuer"), str) else "",
        jwks_uri=endpoint("jwks_uri"),
        introspection_endpoint=endpoint("introspection_endpoint"),
        revocation_endpoint=endpoint("revocation_endpoint"),
        capabilities=_words(told.get("capabilities")),
        scopes_supported=_words(told.get("scopes_supported")),
        auth_methods=_words(told.get("token_endpoint_auth_methods_supported")),
        auth_algorithms=_words(told.get("token_endpoint_auth_signing_alg_values_supported")),
        s256="S256" in _words(methods) if methods is not None else None,
    )


def _from_capability(server: RegisteredServer, base: str, http: SmartHttp) -> SmartConfiguration:
    """Servers before SMART 2 say it in their CapabilityStatement only."""
    reply = http.get(f"{base}/metadata", {"Accept": "application/fhir+json, application/json"})
    statement = _object(reply) if reply.status == 200 else None
    if statement is None or statement.get("resourceType") != "CapabilityStatement":
        raise NotSupported("the FHIR server offers no SMART configuration, and its /metadata is not readable")
    uris = _oauth_uris(statement)
    if not uris.get("token"):
        raise NotSupported("the FHIR server offers no SMART login (no smart-configuration, no oauth-uris)")

    def endpoint(key: str) -> str:
        return check_endpoint(server, base, urljoin(base + "/", uris[key]), key) if uris.get(key) else ""

    return SmartConfiguration(
        base=base,
        token_endpoint=endpoint("token"),
        authorization_endpoint=endpoint("authorize"),
        introspection_endpoint=endpoint("introspect"),
        revocation_endpoint=endpoint("revoke"),
        found_in="CapabilityStatement",
    )


def _oauth_uris(statement: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for rest in _dicts(statement.get("rest")):
        security = rest.get("security")
        extensions = security.get("extension") if isinstance(security, dict) else None
        for outer in _dicts(extensions):
            if outer.get("url") == _OAUTH:
                for inner in _dicts(outer.get("extension")):
                    if isinstance(inner.get("valueUri"), str):
                        found[str(inner.get("url"))] = inner["valueUri"]
    return found


def _object(reply: Reply) -> dict[str, Any] | None:
    try:
        value = orjson.loads(reply.body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _words(value: Any) -> frozenset[str]:
    return frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def openid_configuration(
    server: RegisteredServer, base: str, issuer: str, http: SmartHttp
) -> tuple[str, str]:
    """(issuer, jwks_uri) from `{issuer}/.well-known/openid-configuration`; ("", "") when there is none.

    The issuer it names must be the one asked for (A10)."""
    check_endpoint(server, base, issuer, "issuer")
    try:
        reply = http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    except UpstreamError:
        return "", ""
    told = _object(reply) if reply.status == 200 else None
    if told is None or not isinstance(told.get("jwks_uri"), str):
        return "", ""
    if told.get("issuer") != issuer:
        raise UpstreamError("the OpenID configuration names another issuer than the one it was asked of")
    return issuer, check_endpoint(server, base, urljoin(issuer + "/", told["jwks_uri"]), "jwks_uri")

"""A FHIR server that we are registered with, and a CDS Hooks client that we know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Login = Literal["public", "secret", "key", "none"]
Algorithm = Literal["RS384", "ES384"]


@dataclass(frozen=True, slots=True)
class RegisteredServer:
    """One [[server]] of the servers file.

    base: its FHIR base URL as the EHR names it (`iss`); `*` may stand for one whole path segment (the public SMART
    launcher puts its options there). also: further bases of the same registration. login: public (PKCE only),
    secret (client secret by HTTP Basic), key (signed assertion), none (an open server; CDS Hooks only).
    oauth_origins: other origins that its OAuth endpoints may be on. scopes: what to ask for instead of our own list.
    backend_scopes: system/ scopes for unattended runs. without_s256: the server says that it does not take S256 and
    is used all the same (the challenge is sent nevertheless). authorize_post: the authorization request is a POST where
    the server announces that it takes one. aud: sent instead of the base, for servers that insist
    on another form.
    """

    name: str
    base: str
    client_id: str = ""
    login: Login = "public"
    client_secret: str = field(default="", repr=False)
    algorithm: Algorithm | Literal[""] = ""
    title: str = ""
    also: tuple[str, ...] = ()
    aud: str = ""
    oauth_origins: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    backend_scopes: tuple[str, ...] = ()
    backend_client_id: str = ""
    offline: bool = False
    write: bool = True
    without_s256: bool = False
    authorize_post: bool = False
    nonce: Literal["required", "if-sent"] = "required"

    def covers(self, base: str) -> bool:
        """`base` (normalised) is this server. A star matches one segment of unreserved characters."""
        return any(_pattern(own).fullmatch(base) for own in (self.base, *self.also))

    @property
    def fixed(self) -> bool:
        """The base is one address, without a star."""
        return "*" not in self.base


def _pattern(base: str) -> re.Pattern[str]:
    parts = base.rstrip("/").split("*")
    return re.compile("[A-Za-z0-9._~%=-]{1,4000}".join(re.escape(part) for part in parts))


@dataclass(frozen=True, slots=True)
class CdsClient:
    """One [[cds_client]]: an EHR that calls our CDS services. servers: names of the FHIR servers it may speak for.

    Its keys come from jwks_url, or from `jwks` (the keys themselves). algorithms: those it signs with."""

    issuer: str
    jwks_url: str = ""
    jwks: str = field(default="", repr=False)
    servers: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("ES384", "RS384")
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registry:
    """The whole servers file. origins: web pages that may call the CDS services (CORS). unsigned_cds: CDS calls
    without a JWT are taken (for a sandbox on loopback only). whole_plan: patient-view offers
    the whole draft plan as one suggestion. record_checks: order-sign asks the client to keep a note of the check."""

    servers: tuple[RegisteredServer, ...] = ()
    clients: tuple[CdsClient, ...] = ()
    origins: tuple[str, ...] = ()
    unsigned_cds: bool = False
    whole_plan: bool = False
    record_checks: bool = False

    def named(self, name: str) -> RegisteredServer | None:
        return next((s for s in self.servers if s.name == name), None)

    def covering(self, base: str) -> RegisteredServer | None:
        """The server whose base this is (normalised, without a trailing slash); a fixed one before a pattern."""
        found = [s for s in self.servers if s.covers(base)]
        return next((s for s in found if s.fixed), found[0] if found else None)

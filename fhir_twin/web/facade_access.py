"""Who may ask the FHIR face for what was made of patients: an engine with the API key, or an app with a SMART token.

Tokens are checked by introspection (RFC 7662) or, when they are JWTs, with the issuer's keys. A token of one patient
sees that patient only. Off loopback the face is off until the option `facade` says otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from flask import current_app, g, request

from fhir_twin.actor import Actor, act_as
from fhir_twin.errors import Forbidden, InvalidInput, LoginRequired, NotFound, TwinError
from fhir_twin.model.audit import AuditNote, OutcomeCode, What
from fhir_twin.model.scopes import Granted, read_scopes
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.transport.jwks import KeySource
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.urls import parse_base

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384")
LEEWAY = 60
LONGEST_LIFE = 24 * 3600  # a token that lives longer is refused: it is no access token
REMEMBER = 30.0  # seconds for which an introspected token is believed
_REFUSED = "the access token is not valid here"


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """granted: None for an engine with the key (or on an open loopback): everything. patient: the token's, "" = any.
    name: a hash, to tell callers apart."""

    name: str
    granted: Granted | None = None
    patient: str = ""

    def check(self, type_: str, letter: str, patient: str = "") -> None:
        """Raises Forbidden when the scopes do not allow it, or it is about another patient."""
        if self.granted is None:
            return
        reason = ""
        if not self.granted.may(type_, letter):
            reason = "the access token's scopes do not allow this"
        elif self.bound and patient != self.patient:
            reason = "the access token is for another patient"
        if reason:
            note("search" if letter == "s" else "read", patient, outcome="4", detail="denied")
            raise Forbidden(reason)

    @property
    def may_list(self) -> bool:
        """Whether a search may go without a patient: which patients a user may see, only their EHR knows."""
        return self.granted is None or any(s.context == "system" for s in self.granted.scopes)

    @property
    def bound(self) -> bool:
        """Only one patient may be seen."""
        return self.granted is not None and self.granted.one_patient


@dataclass(slots=True, repr=False)
class TokenCheck:
    """How tokens are checked at this site; nothing configured means that none is taken."""

    settings: Settings
    http: SmartHttp
    keys: KeySource | None
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, tuple[float, Caller]] = field(default_factory=dict)

    @property
    def configured(self) -> bool:
        return bool(self.settings.text("introspection_url") or self.keys is not None)

    def caller(self, token: str) -> Caller:
        """Raises LoginRequired with no detail of the token."""
        name = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        with self._guard:
            until, known = self._known.get(name, (0.0, None))
        if known is not None and time.monotonic() < until:
            return known
        claims = (
            self._jwt(token) if self.keys is not None and token.count(".") == 2 else self._introspected(token)
        )
        patient = claims.get("patient")
        caller = Caller(
            name, read_scopes(str(claims.get("scope") or "")), patient if isinstance(patient, str) else ""
        )
        if caller.bound and not caller.patient:
            raise LoginRequired("the access token names no patient, but its scopes are for one")
        left = float(claims["exp"]) - time.time() if isinstance(claims.get("exp"), int | float) else REMEMBER
        with self._guard:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[name] = (time.monotonic() + max(0.0, min(REMEMBER, left)), caller)
        return caller

    def _jwt(self, token: str) -> dict[str, Any]:
        assert self.keys is not None
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise LoginRequired(_REFUSED) from None
        algorithm, kid = str(header.get("alg", "")), header.get("kid") or ""
        if algorithm not in ALGORITHMS or not isinstance(kid, str):
            raise LoginRequired(_REFUSED)
        for key in self.keys.candidates(kid, algorithm):
            claims = self._verified(token, algorithm, key.key)
            if claims is not None:
                return claims
        raise LoginRequired(_REFUSED)

    def _verified(self, token: str, algorithm: str, key: Any) -> dict[str, Any] | None:
        audience, issuer = self.settings.text("token_audience"), self.settings.text("token_issuer")
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=[algorithm], audience=audience, issuer=issuer, leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            return None
        lifetime = float(claims["exp"]) - float(claims["iat"])
        return claims if 0 < lifetime <= LONGEST_LIFE else None

    def _introspected(self, token: str) -> dict[str, Any]:
        url = self.settings.text("introspection_url")
        if not url:
            raise LoginRequired(_REFUSED)
        pair = f"{self.settings.text('introspection_client')}:{self.settings.text('introspection_secret')}"
        login = base64.b64encode(pair.encode()).decode()
        fields = {"token": token, "token_type_hint": "access_token"}
        try:
            reply = self.http.post_form(
                url, fields, {"Authorization": f"Basic {login}"} if pair != ":" else {}
            )
            claims = orjson.loads(reply.body) if reply.status == 200 else None
        except (TwinError, orjson.JSONDecodeError):
            raise LoginRequired("the access token cannot be checked now") from None
        if not isinstance(claims, dict) or claims.get("active") is not True:
            raise LoginRequired(_REFUSED)
        if isinstance(claims.get("exp"), int | float) and claims["exp"] < time.time() - LEEWAY:
            raise LoginRequired(_REFUSED)
        return claims


def make_check(settings: Settings) -> TokenCheck:
    """Raises InvalidInput when the options do not go together."""
    http = SmartHttp(settings.path("ca_bundle"))
    url = settings.text("token_jwks")
    for name in ("token_jwks", "introspection_url"):
        if settings.text(name):
            parse_base(settings.text(name).partition("?")[0])
    if not url:
        return TokenCheck(settings, http, None)
    if not settings.text("token_issuer") or not settings.text("token_audience"):
        raise InvalidInput(
            "token_jwks wants token_issuer and token_audience, too: a token must be meant for us"
        )
    return TokenCheck(settings, http, KeySource(url, http.get))


def admit(key: str, loopback: bool) -> None:
    """For before_request of the patient part of the face: sets the caller. Raises NotFound (the face is off),
    LoginRequired."""
    wish = current_app.extensions["fhir-twin"]["settings"].text("facade")
    if wish == "off" or (wish != "on" and not loopback):
        raise NotFound("the FHIR face for patients is switched off here (option facade)")
    check: TokenCheck = current_app.extensions["fhir-twin"]["token_check"]
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = request.headers.get("X-API-Key") or (bearer.strip() if scheme.lower() == "bearer" else "")
    if key and given and hmac.compare_digest(given.encode(), key.encode()):
        g.caller = Caller("engine")
        return
    if check.configured and given:
        g.caller = check.caller(given)
        act_as(
            Actor(
                f"token {g.caller.name[:16]}",
                request=g.run_id,
                token=given[-32:] if given.count(".") != 2 else "",
            )
        )
        return
    if key or check.configured:
        raise LoginRequired("an access token or the API key is needed: Authorization: Bearer, or X-API-Key")
    g.caller = Caller("loopback")


def _tail(token: str) -> str:
    """What an audit may hold of an opaque token (AU-4): its end, when that is not most of it."""
    return token[-32:] if token.count(".") != 2 and len(token) >= 64 else ""


def caller() -> Caller:
    """Who asks."""
    found: Caller = g.caller
    return found


def note(
    what: What,
    patient: str,
    *,
    outcome: OutcomeCode = "0",
    entities: tuple[str, ...] = (),
    query: str = "",
    detail: str = "",
) -> None:
    """An event for the audit. Raises StoreError when it cannot be kept: no access without a trace."""
    service: TwinService = current_app.extensions["fhir-twin"]["service"]
    service.audit(AuditNote(what, patient, outcome, entities, query, detail or "FHIR face"))

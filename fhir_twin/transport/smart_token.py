"""The token endpoint: code, refresh token or client credentials for an access token (SL-7, SL-8, SL-14, BS-1..3)."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from fhir_twin.errors import InvalidInput, LoginRequired, NotSupported, UpstreamError
from fhir_twin.model.registered import Algorithm, RegisteredServer
from fhir_twin.transport.http import Reply
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.transport.smart_discovery import SmartConfiguration
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.urls import ID

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSUMED_LIFE = 300.0  # seconds, when the server does not say (SL-8: assume short)
_TOKEN = re.compile(r"[\x21-\x7e]{1,20000}\Z")


@dataclass(frozen=True, slots=True)
class TokenReply:
    """A usable answer of the token endpoint. expires_in: seconds. scope: as granted ("" when the server does not say:
    then it is what was asked). patient, encounter: ids, "" when not given. banner: True unless told otherwise
    (SL-12). Nothing of the tokens shows in repr."""

    access_token: str = field(repr=False)
    expires_in: float
    scope: str | None
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    encounter: str = field(default="", repr=False)
    banner: bool = True
    style_url: str = ""
    intent: str = ""
    tenant: str = ""
    app_context: str = field(default="", repr=False)
    fhir_context: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()


class TokenClient:
    """Speaks for one registration at one authorization server. now: Unix seconds."""

    def __init__(
        self,
        server: RegisteredServer,
        configuration: SmartConfiguration,
        keys: OwnKeys,
        http: SmartHttp,
        *,
        now: Callable[[], float] = time.time,
        jku: str = "",
    ) -> None:
        self._server = server
        self._endpoint = configuration.token_endpoint
        self._configuration = configuration
        self._keys = keys
        self._http = http
        self._now = now
        self._jku = jku

    def exchange(self, code: str, redirect_uri: str, verifier: str) -> TokenReply:
        """The code for a token; once, never repeated (A12)."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return self._ask(fields)

    def refresh(self, refresh_token: str) -> TokenReply:
        """Raises LoginRequired when the server no longer takes it (invalid_grant): launch again."""
        return self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def client_credentials(self) -> TokenReply:
        """Backend Services: always with a signed assertion."""
        if not self._server.backend_scopes:
            raise NotSupported("no backend_scopes are registered for this server")
        fields = {"grant_type": "client_credentials", "scope": " ".join(self._server.backend_scopes)}
        return self._ask(fields, backend=True)

    def revoke(self, token: str, hint: str) -> bool:
        """RFC 7009, where the server offers it; False when it does not, or refused."""
        if not self._configuration.revocation_endpoint:
            return False
        fields, headers = self._authenticated({"token": token, "token_type_hint": hint})
        reply = self._http.post_form(self._configuration.revocation_endpoint, fields, headers)
        return reply.status < 300

    def _ask(self, fields: dict[str, str], *, backend: bool = False) -> TokenReply:
        sent, headers = self._authenticated(fields, backend=backend)
        return read_token_reply(self._http.post_form(self._endpoint, sent, headers))

    def _authenticated(
        self, fields: dict[str, str], *, backend: bool = False
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Exactly one way to say who we are: client_id only as a public client (A5, A6)."""
        server = self._server
        if backend or server.login == "key":
            client = (server.backend_client_id or server.client_id) if backend else server.client_id
            assertion = self._keys.assertion(
                client, self._endpoint, self._algorithm(), self._now(), self._jku
            )
            return {**fields, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, {}
        if server.login == "secret":
            if ":" in server.client_id:
                raise InvalidInput("a client_id for HTTP Basic must not hold a colon")
            pair = f"{server.client_id}:{server.client_secret}".encode()
            return fields, {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        return {**fields, "client_id": server.client_id}, {}

    def _algorithm(self) -> Algorithm:
        """What was registered; else what the server lists; else RS384, which every server must take."""
        if self._server.algorithm:
            return self._server.algorithm
        listed = self._configuration.auth_algorithms
        return "ES384" if "ES384" in listed and "RS384" not in listed else "RS384"


def read_token_reply(reply: Reply) -> TokenReply:
    """Raises LoginRequired with the server's own words when it refuses, UpstreamError when the answer is unusable."""
    value = _object(reply)
    if reply.status >= 400 or (value is not None and "error" in value and "access_token" not in value):
        raise _refusal(reply, value)
    if value is None:
        raise UpstreamError("the token endpoint's answer is not JSON", http_status=reply.status)
    token = value.get("access_token")
    if not isinstance(token, str) or not _TOKEN.match(token):
        raise UpstreamError("the token endpoint gave no usable access token", http_status=reply.status)
    notes: list[str] = []
    kind = value.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise UpstreamError("the token endpoint gave a token that is no bearer token")
    if "token_type" not in value:
        notes.append("the server did not say the token's type; Bearer is assumed")
    return TokenReply(
        access_token=token,
        expires_in=_life(value.get("expires_in"), notes),
        scope=_scope(value.get("scope"), notes),
        refresh_token=_text(value.get("refresh_token")),
        id_token=_text(value.get("id_token")),
        patient=_id(value.get("patient"), "Patient", notes),
        encounter=_id(value.get("encounter"), "Encounter", notes),
        banner=_flag(value.get("need_patient_banner")),
        style_url=_text(value.get("smart_style_url")),
        intent=_text(value.get("intent"))[:200],
        tenant=_text(value.get("tenant"))[:200],
        app_context=_text(value.get("appContext"))[:4000],
        fhir_context=_fhir_context(value.get("fhirContext"), notes),
        notes=tuple(notes),
    )


def _refusal(reply: Reply, value: dict[str, Any] | None) -> LoginRequired | UpstreamError:
    code = _text((value or {}).get("error"))
    if not re.fullmatch(r"[a-z_]{1,60}", code):
        return UpstreamError(
            f"the token endpoint answered {reply.status} without an OAuth error", http_status=reply.status
        )
    told = said(_text((value or {}).get("error_description")) or _text((value or {}).get("error_uri")))
    return LoginRequired(f"the authorization server refused: {code}" + (f" ({told})" if told else ""))


def said(text: str) -> str:
    """A server's own words for a page: printable, one line, not long."""
    return "".join(c if c.isprintable() else " " for c in text[:300]).strip()


def _object(reply: Reply) -> dict[str, Any] | None:
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _life(value: Any, notes: list[str]) -> float:
    """Seconds; servers send numbers and texts. Zero and less is a broken answer (security.md 5.3 row 19)."""
    if value is None:
        notes.append("the server did not say how long the token lives; five minutes are assumed")
        return ASSUMED_LIFE
    try:
        seconds = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < 10**9:
        raise UpstreamError("the token endpoint gave a token whose lifetime makes no sense")
    return seconds


def _scope(value: Any, notes: list[str]) -> str | None:
    if isinstance(value, list):
        value = " ".join(v for v in value if isinstance(v, str))
    if isinstance(value, str):
        return value
    notes.append("the server did not say which scopes it granted; those asked for are assumed")
    return None


def _id(value: Any, type_: str, notes: list[str]) -> str:
    """An id; some servers send a reference or a number."""
    if value is None or value == "":
        return ""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if "/" in text:
        parts = text.rstrip("/").split("/")
        text = parts[-1] if len(parts) >= 2 and parts[-2] == type_ else ""
        notes.append(f"the server sent a reference where an id of a {type_} belongs")
    if not ID.match(text):
        raise UpstreamError(f"the token endpoint named a {type_} whose id is not one")
    return text


def _flag(value: Any) -> bool:
    """need_patient_banner: absent or unclear means that we show who the patient is."""
    return not (value is False or (isinstance(value, str) and value.strip().lower() == "false"))


def _fhir_context(value: Any, notes: list[str]) -> tuple[dict[str, Any], ...]:
    """SL-9: objects with a reference, canonical or identifier; older servers send bare texts."""
    if value is None:
        return ()
    found: list[dict[str, Any]] = []
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str):
            found.append({"reference": entry})
        elif isinstance(entry, dict) and any(k in entry for k in ("reference", "canonical", "identifier")):
            found.append({k: v for k, v in entry.items() if k in _CONTEXT_KEYS})
        else:
            notes.append("an entry of fhirContext was left out: it names nothing")
    return tuple(found[:50])


_CONTEXT_KEYS = ("reference", "canonical", "identifier", "type", "role")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

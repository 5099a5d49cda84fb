"""Who logged in: the id_token, verified (SL-13, A10). An access token is never looked into."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt

from fhir_twin.errors import LoginRequired, UpstreamError
from fhir_twin.model.registered import RegisteredServer
from fhir_twin.transport.jwks import KeySource, VerifyKey
from fhir_twin.transport.smart_discovery import SmartConfiguration, openid_configuration
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.urls import ID

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384")
LEEWAY = 60
_PEOPLE = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Person")


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """user: "Practitioner/1" when the token names a resource of a person, "" otherwise. foreign: the resource is on
    another server than the record."""

    subject: str
    user: str
    foreign: bool = False


def check_id_token(
    token: str,
    server: RegisteredServer,
    configuration: SmartConfiguration,
    nonce: str,
    http: SmartHttp,
) -> Person:
    """Raises LoginRequired when the token is not what it should be: then nobody is logged in."""
    issuer, keys = _issuer_and_keys(token, server, configuration, http)
    header = _header(token)
    algorithm = str(header.get("alg", ""))
    if algorithm not in ALGORITHMS:
        raise LoginRequired("the identity token is signed in a way that is not taken")
    candidates = keys.candidates(str(header.get("kid") or ""), algorithm)
    claims = _verified(token, algorithm, candidates, server.client_id, issuer)
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != server.client_id:
        raise LoginRequired("the identity token was made for several clients, and for another one of them")
    _check_nonce(claims, nonce, server)
    return _person(claims, configuration.base)


def _issuer_and_keys(
    token: str, server: RegisteredServer, configuration: SmartConfiguration, http: SmartHttp
) -> tuple[str, KeySource]:
    """The issuer that the server's configuration names; an old server that names none is believed its own iss when
    that is on a registered origin."""
    claimed = ""
    try:
        claimed = str(jwt.decode(token, options={"verify_signature": False}).get("iss") or "")
    except jwt.PyJWTError:
        raise LoginRequired("the identity token cannot be read") from None
    issuer = configuration.issuer or claimed
    if not issuer or claimed != issuer:
        raise LoginRequired("the identity token is from another issuer than the FHIR server names")
    _, uri = openid_configuration(server, configuration.base, issuer, http)
    uri = uri or configuration.jwks_uri
    if not uri:
        raise UpstreamError("the issuer's keys cannot be found, so the identity token cannot be checked")
    return issuer, KeySource(uri, http.get)


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise LoginRequired("the identity token cannot be read") from None


def _verified(
    token: str, algorithm: str, candidates: tuple[VerifyKey, ...], client_id: str, issuer: str
) -> dict[str, Any]:
    if not candidates:
        raise LoginRequired("the identity token is signed with a key that its issuer does not publish")
    reason = ""
    for key in candidates:
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=client_id,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            return found
        except jwt.InvalidSignatureError:
            reason = "its signature is wrong"
        except jwt.PyJWTError as error:
            reason = _REASONS.get(type(error).__name__, "a claim is wrong")
    raise LoginRequired(f"the identity token is not valid: {reason}")


_REASONS = {
    "ExpiredSignatureError": "it has expired",
    "InvalidAudienceError": "it was made for another client",
    "InvalidIssuerError": "its issuer is another",
    "ImmatureSignatureError": "it is not valid yet",
    "InvalidIssuedAtError": "it is not valid yet",
    "MissingRequiredClaimError": "a claim is missing",
}


def _check_nonce(claims: dict[str, Any], nonce: str, server: RegisteredServer) -> None:
    told = claims.get("nonce")
    if told is None and server.nonce == "if-sent":
        return
    if not isinstance(told, str) or not hmac.compare_digest(told.encode(), nonce.encode()):
        raise LoginRequired("the identity token was not made for this login (nonce)")


def _person(claims: dict[str, Any], base: str) -> Person:
    """fhirUser is relative or absolute (Epic); `profile` is what older servers call it."""
    subject = str(claims.get("sub", ""))
    for name in ("fhirUser", "profile"):
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            continue
        absolute = value.startswith(("http://", "https://"))
        path = urlsplit(value).path if absolute else value
        parts = path.split("/_history/")[0].strip("/").split("/")
        if len(parts) >= 2 and parts[-2] in _PEOPLE and ID.match(parts[-1]):
            foreign = absolute and not value.startswith(base.rstrip("/") + "/")
            return Person(subject, f"{parts[-2]}/{parts[-1]}", foreign)
    return Person(subject, "")

"""Other people's public keys: fetched from a registered address, kept, fetched again when an unknown kid appears.

Never from an address that a token names (`jku`, `x5u`) unless it is the registered one. Keys that are too weak are
left out. When the address is down the last keys serve for a day (security.md 5.3 row 25).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fhir_twin.errors import TwinError, UpstreamError
from fhir_twin.transport.http import Reply

FRESH = 3600.0
USABLE = 86_400.0
FETCH_EVERY = 60.0  # an unknown kid makes us ask again, but not more often
_MIN_RSA = 2048
Fetch = Callable[[str], Reply]


@dataclass(frozen=True, slots=True, repr=False)
class VerifyKey:
    """A public key and what the set says of it ("" = not said)."""

    kid: str
    algorithm: str
    key: Any

    def fits(self, algorithm: str) -> bool:
        families = ("RS", "PS") if isinstance(self.key, RSAPublicKey) else ("ES",)
        if not algorithm.startswith(families):
            return False
        if self.algorithm and self.algorithm != algorithm:
            return False
        curve = getattr(getattr(self.key, "curve", None), "name", "")
        return not curve or _CURVES.get(algorithm) == curve


_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


def read_jwks(body: bytes | str) -> tuple[VerifyKey, ...]:
    """The usable signing keys of a JWKS. Raises UpstreamError when it is none."""
    try:
        value = orjson.loads(body)
        entries = value["keys"] if isinstance(value, dict) else None
    except (orjson.JSONDecodeError, KeyError):
        entries = None
    if not isinstance(entries, list):
        raise UpstreamError("a JWKS is not readable")
    found = []
    for entry in entries[:100]:
        key = _public(entry)
        if key is not None:
            found.append(key)
    return tuple(found)


def _public(entry: Any) -> VerifyKey | None:
    """None for what cannot verify a signature: encryption keys, symmetric keys, weak keys, nonsense."""
    if (
        not isinstance(entry, dict)
        or entry.get("kty") not in ("RSA", "EC")
        or entry.get("use", "sig") != "sig"
    ):
        return None
    public = {k: v for k, v in entry.items() if k in ("kty", "n", "e", "crv", "x", "y")}
    try:
        key = jwt.PyJWK({**public, "alg": _any_algorithm(entry)}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA:
        return None
    return VerifyKey(_text(entry.get("kid")), _text(entry.get("alg")), key)


def _any_algorithm(entry: dict[str, Any]) -> str:
    by_curve = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
    return "RS256" if entry["kty"] == "RSA" else by_curve[entry.get("crv", "")]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class KeySource:
    """Keys from a URL, or fixed ones. Thread-safe; clock: monotonic seconds."""

    def __init__(
        self, url: str, fetch: Fetch | None, *, fixed: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._guard = threading.Lock()
        self._keys: tuple[VerifyKey, ...] = read_jwks(fixed) if fixed else ()
        self._fixed = bool(fixed)
        self._fetched = self._tried = -USABLE

    @property
    def url(self) -> str:
        return self._url

    def candidates(self, kid: str, algorithm: str) -> tuple[VerifyKey, ...]:
        """Keys that may have signed: the one with this kid; without a kid all of the right kind."""
        found = self._matching(self._current(), kid, algorithm)
        if not found and not self._fixed and self._may_ask():
            found = self._matching(self._renewed(), kid, algorithm)
        return found

    def _matching(self, keys: tuple[VerifyKey, ...], kid: str, algorithm: str) -> tuple[VerifyKey, ...]:
        usable = [k for k in keys if k.fits(algorithm)]
        return tuple(k for k in usable if k.kid == kid) if kid else tuple(usable[:10])

    def _current(self) -> tuple[VerifyKey, ...]:
        with self._guard:
            age = self._clock() - self._fetched
            keys = self._keys
        if self._fixed or age < FRESH:
            return keys
        return self._renewed() if self._may_ask() else (keys if age < USABLE else ())

    def _may_ask(self) -> bool:
        with self._guard:
            if self._clock() - self._tried < FETCH_EVERY:
                return False
            self._tried = self._clock()
            return True

    def _renewed(self) -> tuple[VerifyKey, ...]:
        """Fetch; on failure the old keys, while they are not too old."""
        try:
            assert self._fetch is not None
            reply = self._fetch(self._url)
            if reply.status != 200:
                raise UpstreamError("a JWKS cannot be fetched", http_status=reply.status)
            keys = read_jwks(reply.body)
        except TwinError:
            with self._guard:
                return self._keys if self._clock() - self._fetched < USABLE else ()
        with self._guard:
            self._keys, self._fetched = keys, self._clock()
        return keys

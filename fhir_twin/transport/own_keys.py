"""Our own signing keys: made, rotated, published as a JWKS, used for client assertions (BS-1, BS-2).

A folder with one private JWK a file, readable by its owner only. Per algorithm the newest key that has been published
for an hour signs (authorization servers keep JWKS for a while); older ones stay published until they are retired.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_twin.errors import InvalidInput
from fhir_twin.model.registered import Algorithm

LEAD = 3600.0  # seconds that a new key is published before it signs
ALGORITHMS: tuple[Algorithm, ...] = ("ES384", "RS384")
_PUBLIC = ("kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y")


@dataclass(frozen=True, slots=True)
class OwnKey:
    """made: Unix seconds."""

    kid: str
    algorithm: Algorithm
    made: float
    jwk: dict[str, Any] = field(repr=False)

    def public(self) -> dict[str, Any]:
        """Never a private member (B3)."""
        return {k: self.jwk[k] for k in _PUBLIC if k in self.jwk}


class OwnKeys:
    """The keys in `folder`; read again when the folder changes, so that a rotation needs no restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: tuple[tuple[str, int], ...] | None = None
        self._keys: tuple[OwnKey, ...] = ()

    def all(self) -> tuple[OwnKey, ...]:
        """All of them, oldest first."""
        files = sorted(self.folder.glob("*.jwk")) if self.folder.is_dir() else []
        seen = tuple((f.name, f.stat().st_mtime_ns) for f in files)
        if seen != self._seen:
            self._keys = tuple(sorted((_read(f) for f in files), key=lambda k: (k.made, k.kid)))
            self._seen = seen
        return self._keys

    def make(self, algorithm: Algorithm, now: float) -> OwnKey:
        """A new key, published from now on."""
        kid = f"{algorithm.lower()}-{time.strftime('%Y%m%d', time.gmtime(now))}-{secrets.token_hex(4)}"
        if algorithm == "ES384":
            jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()), as_dict=True)
        else:
            jwk = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 3072), as_dict=True)
        jwk = {**jwk, "kid": kid, "alg": algorithm, "use": "sig", "key_ops": ["sign"]}
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / f"{kid}.jwk", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(orjson.dumps({"made": now, "jwk": jwk}))
        return OwnKey(kid, algorithm, now, jwk)

    def retire(self, kid: str) -> None:
        """Publish it no longer. Raises InvalidInput when it is not there, or the last one of its algorithm."""
        found = next((k for k in self.all() if k.kid == kid), None)
        if found is None:
            raise InvalidInput("there is no such key")
        if sum(k.algorithm == found.algorithm for k in self.all()) == 1:
            raise InvalidInput(f"it is the only {found.algorithm} key; make a new one first")
        (self.folder / f"{kid}.jwk").unlink()

    def ensure(self, now: float) -> None:
        """At least one key per algorithm."""
        have = {k.algorithm for k in self.all()}
        for algorithm in ALGORITHMS:
            if algorithm not in have:
                self.make(algorithm, now)

    def jwks(self) -> dict[str, Any]:
        """The public keys; `verify` is what others may do with them."""
        return {"keys": [{**k.public(), "key_ops": ["verify"]} for k in self.all()]}

    def signing(self, algorithm: Algorithm, now: float) -> OwnKey:
        """The newest key of `algorithm` that has been published long enough, else the oldest."""
        own = [k for k in self.all() if k.algorithm == algorithm]
        if not own:
            raise InvalidInput("there is no signing key: `fhir-twin servers keys --new` makes one")
        ripe = [k for k in own if k.made <= now - LEAD]
        return ripe[-1] if ripe else own[0]

    def assertion(
        self, client_id: str, audience: str, algorithm: Algorithm, now: float, jku: str = ""
    ) -> str:
        """A fresh client assertion for one request (BS-1): five minutes at most, an id never used before."""
        key = self.signing(algorithm, now)
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": int(now),
            "exp": int(now) + 240,
            "jti": secrets.token_urlsafe(24),
        }
        headers = {"kid": key.kid, "typ": "JWT", **({"jku": jku} if jku else {})}
        return jwt.encode(claims, jwt.PyJWK(key.jwk).key, algorithm=algorithm, headers=headers)


def _read(path: Path) -> OwnKey:
    try:
        kept = orjson.loads(path.read_bytes())
        jwk = kept["jwk"]
        return OwnKey(str(jwk["kid"]), jwk["alg"], float(kept["made"]), jwk)
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(f"the signing key {path.name} cannot be read") from None

"""How a client proves who it is: an `Authorization` header, made fresh for each request.

An `Authorization` is called with renew=True once after a 401, so that an expired token can be fetched again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from fhir_twin.errors import InvalidInput

Authorization: TypeAlias = Callable[[bool], str]


def bearer(token: str | Callable[[bool], str]) -> Authorization:
    """A bearer token, fixed or from a callable (called with renew=True after a 401)."""
    if callable(token):
        return lambda renew: f"Bearer {_clean(token(renew))}"
    fixed = f"Bearer {_clean(token)}"
    return lambda _renew: fixed


def token_file(path: Path) -> Authorization:
    """A bearer token read from a file before each request, so that another program can renew it."""

    def header(_renew: bool) -> str:
        try:
            return f"Bearer {_clean(path.read_text('utf-8').strip())}"
        except (OSError, UnicodeDecodeError):
            raise InvalidInput(f"the token file {path} cannot be read") from None

    return header


def basic(user: str, password: str) -> Authorization:
    """HTTP Basic (RFC 7617, UTF-8)."""
    if ":" in user:
        raise InvalidInput("a user name for HTTP Basic must not hold a colon")
    fixed = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda _renew: fixed


def _clean(token: str) -> str:
    """A token with a line break would let a header be injected."""
    if not token or not token.isascii() or any(c <= " " or c == "\x7f" for c in token):
        raise InvalidInput("the bearer token is empty or holds blanks or characters that are not allowed")
    return token

"""Who is behind what is being done now: for the audit. Set by the faces, read by whoever writes an event.

A context variable: each request, thread and command has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """name: a login, a client's id, "worker"; reference: "Practitioner/7" when the FHIR server knows the person.
    purpose: v3-ActReason (TREAT, HOPERAT, HRESCH). request: an id of the request or run. token: what may be told of the
    access token (AU-4), "" when there is none."""

    name: str
    reference: str = ""
    purpose: str = "TREAT"
    request: str = ""
    token: str = ""


_NOBODY = Actor("fhir-twin")
_NOW: ContextVar[Actor] = ContextVar("actor", default=_NOBODY)


def current() -> Actor:
    """Whoever acts now; the service itself when nobody said so."""
    return _NOW.get()


def act_as(actor: Actor) -> None:
    """From here on in this context (a request, a command)."""
    _NOW.set(actor)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """For the block only."""
    token = _NOW.set(actor)
    try:
        yield
    finally:
        _NOW.reset(token)

"""What is kept of a page between two requests: how far reading is, the sealed record, the clinician's decisions.

All of it in the sessions' store (storage/web_state.py): sealed, shared by the processes, gone with the session.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from flask import current_app

from fhir_twin.errors import Conflict, Issue
from fhir_twin.fhir.parse import parse_json
from fhir_twin.model.chart import Completeness
from fhir_twin.model.plain import to_plain
from fhir_twin.web.session import PageSession
from fhir_twin.web.session_store import web_state

if TYPE_CHECKING:
    from fhir_twin.transport.pull import Fetched

KINDS = ("view", "record", "edits")
MOST = 32_000_000  # bytes of a packed record that are shared; a larger one is read again by each process


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """What the server gave, and when it was looked at."""

    fetched: Fetched
    as_of: datetime


class Keeper:
    """What is kept of one session's page."""

    def __init__(self, session: PageSession) -> None:
        self._tag = session.tag
        self._ends = session.ends.timestamp()

    def state(self) -> dict[str, Any] | None:
        kept = web_state().get("view", self._tag, now=time.time())
        return kept.value if kept else None

    def begin(self) -> bool:
        """False when somebody else is reading already."""
        now = time.time()
        old = web_state().get("view", self._tag, now=now)
        value = {"state": "loading", "stage": "fetch", "began": now}
        if old is None:
            return web_state().put("view", self._tag, value, now=now, expires=self._expires(now))
        return web_state().replace(
            "view", self._tag, value, version=old.version, now=now, expires=self._expires(now)
        )

    def tell(self, stage: str) -> None:
        state = self.state()
        if state is not None and state["state"] == "loading":
            self._set({**state, "stage": stage})

    def fail(self, code: str, status: int, message: str, issues: tuple[Issue, ...]) -> None:
        told = [asdict(i) for i in issues]
        now = time.time()
        self._set(
            {"state": "failed", "code": code, "status": status, "message": message, "issues": told, "at": now}
        )

    def ready(self, stamp: str, packed: str) -> None:
        now = time.time()
        web_state().drop("record", self._tag)
        if len(packed) <= MOST:
            web_state().put("record", self._tag, {"packed": packed}, now=now, expires=self._expires(now))
        self._set({"state": "ready", "stamp": stamp})

    def record(self) -> str | None:
        kept = web_state().get("record", self._tag, now=time.time())
        return str(kept.value["packed"]) if kept else None

    def edits(self) -> dict[str, Any]:
        kept = web_state().get("edits", self._tag, now=time.time())
        return kept.value if kept else {}

    def edit(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change what was decided, one request after the other."""
        for _ in range(5):
            now = time.time()
            old = web_state().get("edits", self._tag, now=now)
            value = change(dict(old.value) if old else {})
            if old is None:
                done = web_state().put("edits", self._tag, value, now=now, expires=self._expires(now))
            else:
                done = web_state().replace(
                    "edits", self._tag, value, version=old.version, now=now, expires=self._expires(now)
                )
            if done:
                return
        raise Conflict("this page is being changed in another window; try again")

    def touch(self) -> None:
        now = time.time()
        kept = web_state().get("view", self._tag, now=now)
        if kept is not None and now - kept.seen > 30:
            for kind in KINDS:
                web_state().touch(kind, self._tag, now=now, expires=self._expires(now))

    def forget(self, *kinds: str) -> None:
        for kind in kinds or KINDS:
            web_state().drop(kind, self._tag)

    def _set(self, value: dict[str, Any]) -> None:
        now = time.time()
        old = web_state().get("view", self._tag, now=now)
        if old is not None:
            web_state().replace(
                "view", self._tag, value, version=old.version, now=now, expires=self._expires(now)
            )

    def _expires(self, now: float) -> float:
        idle = current_app.extensions["fhir-twin"]["settings"].integer("session_idle")
        return float(min(now + idle + 60, self._ends))


def as_text(resource: dict[str, Any]) -> str:
    """A resource as JSON text with its digits, to be kept."""
    return orjson.dumps(resource, default=_plain).decode()


def from_text(text: str) -> dict[str, Any]:
    """The same resource again, decimals with their digits."""
    found: dict[str, Any] = parse_json(text, what="kept resource")
    return found


def pack(fetched: Fetched, as_of: datetime) -> str:
    """The record as text: JSON with its digits, compressed."""
    value = {
        "bundle": fetched.bundle,
        "completeness": [asdict(c) for c in fetched.completeness],
        "issues": [asdict(i) for i in fetched.issues],
        "patient": fetched.patient,
        "as_of": as_of.isoformat(),
    }
    return base64.b64encode(zlib.compress(orjson.dumps(value, default=_plain), 1)).decode()


def _plain(value: Any) -> Any:
    return orjson.Fragment(format(value, "f")) if hasattr(value, "as_tuple") else to_plain(value)


def unpack(packed: str) -> Record:
    from fhir_twin.transport.pull import Fetched

    value = parse_json(zlib.decompress(base64.b64decode(packed)), what="kept record")
    fetched = Fetched(
        value["bundle"],
        tuple(Completeness(**c) for c in value["completeness"]),
        tuple(Issue(**i) for i in value["issues"]),
        patient=value["patient"],
    )
    return Record(fetched, datetime.fromisoformat(value["as_of"]))

"""Runs by the data they rest on: the same record asked about again costs nothing (CH-7).

The key is a digest of everything that goes in, so another value, another patient or another knowledge version is
another run. A run is kept for a quarter of an hour at most, in this process only.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import Run, run
from fhir_twin.web.cds_card import Card
from fhir_twin.web.cds_data import Gathered

SECONDS = 900.0
MOST = 64


@dataclass(slots=True, repr=False)
class KeptRun:
    """at: monotonic seconds. cards: of the plan, made once."""

    run: Run
    at: float
    cards: tuple[Card, ...] | None = None


class InTurn:
    """A lock that goes to whoever has waited longest: with a plain one, some call waits while others overtake it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            own = threading.Lock()
            own.acquire()
            self._waiting.append(own)
        own.acquire()  # until `__exit__` of the one before hands over

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


@dataclass(slots=True)
class Runs:
    """One for the app. Thread-safe; one record is worked on once at a time."""

    clock: Callable[[], float] = time.monotonic
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[bytes, KeptRun] = field(default_factory=OrderedDict)
    _busy: dict[bytes, threading.Lock] = field(default_factory=dict)
    # Runs are pure computing: two at once in one process only slow each other down, and the answers in between.
    _computing: InTurn = field(default_factory=InTurn)

    def get(self, data: Gathered, patient: str, knowledge: Knowledge, label: str) -> KeptRun:
        key = _key(data, patient, knowledge, label)
        found = self._fresh(key)
        if found is not None:
            return found
        with self._guard:
            busy = self._busy.setdefault(key, threading.Lock())
        try:
            with busy:
                return self._fresh(key) or self._work(key, data, patient, knowledge, label)
        finally:  # a run that fails leaves nothing behind either
            with self._guard:
                self._busy.pop(key, None)

    def _fresh(self, key: bytes) -> KeptRun | None:
        with self._guard:
            found = self._kept.get(key)
            if found is None or self.clock() - found.at > SECONDS:
                return None
            self._kept.move_to_end(key)
            return found

    def _work(self, key: bytes, data: Gathered, patient: str, knowledge: Knowledge, label: str) -> KeptRun:
        with self._computing:
            done = run(
                data.bundle,
                knowledge,
                datetime.now(UTC),
                patient=patient,
                completeness=data.completeness,
                base=data.base,
                label=label,
                write=False,
            )
        made = KeptRun(done, self.clock())
        with self._guard:
            self._kept[key] = made
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return made


def _key(data: Gathered, patient: str, knowledge: Knowledge, label: str) -> bytes:
    digest = hashlib.sha256()
    rows = [(c.type, c.read, c.state, c.note) for c in data.completeness]
    for part in (data.bundle, rows, data.base, patient, knowledge.version, label):
        digest.update(orjson.dumps(part, default=_digits))
    return digest.digest()


def _digits(value: Any) -> str:
    """A Decimal by its digits."""
    return str(value)

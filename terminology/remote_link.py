"""A line to one server that may fail: answers kept for a while, a circuit breaker, and no thundering herd.

closed: every question goes out. After `tries` failures in a row open: none goes out for `rest` seconds. Then half-open:
one question is tried; it closes the circuit, or opens it again.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]
MAX_BYTES = 16_000_000
_KEPT = 10_000
# What a server says of the question itself; anything else of 400 and above says something of the server.
_ABOUT_THE_QUESTION = (400, 404, 410, 413, 422)


class RemoteDown(OSError):
    """The server does not answer (or not in FHIR) and there is no local release to ask."""


@dataclass(frozen=True, slots=True)
class Reply:
    """status 200 with the resource in `body`, or an error about the question. `value`: what was read from the body."""

    status: int
    body: Json
    cached: bool = False
    value: Any = None

    @classmethod
    def read(cls, status: int, data: bytes) -> Reply:
        """Raises RemoteDown for what is no FHIR answer to a question."""
        if status != 200 and status not in _ABOUT_THE_QUESTION:
            raise RemoteDown(f"status {status}")
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            body = None
        if status == 200 and (not isinstance(body, dict) or "resourceType" not in body):
            raise RemoteDown("the answer is no FHIR resource")
        return cls(status, body if isinstance(body, dict) else {})


Send = Callable[[str, str, Any], Reply]


class Link:
    """Thread-safe. `ask` raises RemoteDown when the server is down, resting, or answers nonsense."""

    def __init__(self, send: Send, tries: int, rest: float, keep: float, clock: Callable[[], float]) -> None:
        self.send, self.tries, self.rest, self.keep, self.clock = send, tries, rest, keep, clock
        self._lock = threading.Lock()
        self._memo: OrderedDict[str, tuple[float, Reply]] = OrderedDict()
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    def ask(
        self, method: str, operation: str, values: Any, read: Callable[[Json], Any] | None = None
    ) -> Reply:
        key = json.dumps([method, operation, values], sort_keys=True, default=str)
        known = self._known(key)
        if known is not None:
            return known
        self._enter()
        try:
            reply = self.send(method, operation, values)
            if reply.status == 200 and read is not None:
                reply = replace(reply, value=read(reply.body))
        except RemoteDown:
            self._leave(failed=True)
            raise
        except (
            TypeError,
            ValueError,
            AttributeError,
            KeyError,
        ) as error:  # FHIR in shape, but not in content
            self._leave(failed=True)
            raise RemoteDown(type(error).__name__) from None
        except BaseException:
            self._leave(failed=False)
            raise
        self._leave(failed=False)
        if reply.status in (200, 404):
            self._keep(key, reply)
        return reply

    def _known(self, key: str) -> Reply | None:
        with self._lock:
            held = self._memo.get(key)
            if held is None or held[0] < self.clock():
                return None
            self._memo.move_to_end(key)
            return replace(held[1], cached=True)

    def _keep(self, key: str, reply: Reply) -> None:
        with self._lock:
            self._memo[key] = (self.clock() + self.keep, reply)
            while len(self._memo) > _KEPT:
                self._memo.popitem(last=False)

    def _enter(self) -> None:
        with self._lock:
            if self._open_until == 0.0:
                return
            if self.clock() < self._open_until or self._probing:
                raise RemoteDown("the server rests after failures")
            self._probing = True

    def _leave(self, *, failed: bool) -> None:
        with self._lock:
            was_probe, self._probing = self._probing, False
            if not failed:
                self._failures, self._open_until = 0, 0.0
                return
            self._failures += 1
            if was_probe or self._failures >= self.tries:
                self._open_until, self._failures = self.clock() + self.rest, 0

"""Most requests per minute of one caller (its key or address): 429 with Retry-After beyond it. Per process."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Flask, Response, request

from fhir_twin.errors import Issue
from fhir_twin.web.answers import outcome_response

_MOST_CALLERS = 10_000
_FREE = frozenset({"api.health", "api.ready", "metrics.metrics", "static"})


class Buckets:
    """A token bucket for each caller: a full minute's worth at once, then evenly. clock: monotonic. Thread-safe."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60.0
        self._size = max(1.0, per_minute)
        self._clock = clock
        self._guard = threading.Lock()
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """0 when the caller may go on, else the seconds to wait."""
        with self._guard:
            now = self._clock()
            left, then = self._held.pop(caller, (self._size, now))
            left = min(self._size, left + (now - then) * self._rate)
            wait = 0.0 if left >= 1 else (1 - left) / self._rate
            self._held[caller] = (left - 1 if wait == 0 else left, now)
            while len(self._held) > _MOST_CALLERS:
                self._held.popitem(last=False)
            return wait


def install(app: Flask, per_minute: float) -> None:
    """Nothing when per_minute is 0. The check comes before every other."""
    if per_minute <= 0:
        return
    buckets = Buckets(per_minute)

    def limit() -> Response | None:
        if request.endpoint in _FREE:
            return None
        wait = buckets.take(_caller())
        if not wait:
            return None
        issue = Issue("error", "throttled", "too many requests; wait before the next", stage="serve")
        response = outcome_response((issue,), 429)
        response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
        return response

    app.before_request(limit)


def _caller() -> str:
    """Who asks, without keeping a secret."""
    secret = request.headers.get("X-API-Key") or request.headers.get("Authorization") or ""
    return hashlib.sha256(secret.encode()).hexdigest() if secret else f"at {request.remote_addr}"

"""Shared pace of all threads of one client: a top rate, and a pause for everybody when the server asks for one."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Pace:
    """rate: most requests per second that may start, 0 = no limit. clock: monotonic seconds."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._gap = 1.0 / rate if rate > 0 else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> float:
        """Sleep until this request may start; the seconds slept."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = max(self._next, start + self._gap)
        if start > now:
            self._sleep(start - now)
        return start - now

    def hold(self, seconds: float) -> None:
        """Nobody starts a request for `seconds` from now (429 and 503 are meant for the whole client)."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

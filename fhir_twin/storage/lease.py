"""When is work in hand abandoned? When its beat has not moved for a whole lease, by our own monotonic clock.

No two clocks are ever compared: each process watches for itself. So neither a wall clock that jumps, nor two machines
that disagree, can make a lease end early (it would be done twice) or never (it would be stuck).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class LeaseWatch:
    """seconds: how long a beat may stand still. clock: monotonic seconds. Thread-safe."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._seen: dict[int, tuple[tuple[int, int], float]] = {}
        self._guard = threading.Lock()
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time to look again; looking more often than this finds nothing new."""
        with self._guard:
            now = self._clock()
            if now < self._next:
                return False
            self._next = now + self.seconds / 4
            return True

    def abandoned(self, rows: Iterable[tuple[int, int, int]]) -> list[tuple[int, int]]:
        """(id, fence) of those whose (id, fence, beat) stood still for the whole lease while we watched."""
        with self._guard:
            now = self._clock()
            seen = {}
            for id_, fence, beat in rows:
                mark, since = self._seen.get(id_, ((fence, beat), now))
                seen[id_] = (mark, since) if mark == (fence, beat) else ((fence, beat), now)
            self._seen = seen
            return [(id_, mark[0]) for id_, (mark, since) in seen.items() if now - since >= self.seconds]

"""At most half of the threads wait for one FHIR server, so that a hanging one does not stop every other call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fhir_twin.errors import UpstreamTimeout

PATIENCE = 1.0  # seconds that a call waits for its turn
OVERDUE = 2.0  # seconds after which a fetch counts as slow: nobody waits for a turn behind slow ones only
BUSY = "too many calls wait for this FHIR server already"


class Slots:
    """Turns to fetch, by FHIR base. most: at once, for each base. Thread-safe."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = max(1, most), clock
        self._free = threading.Condition()
        self._since: dict[str, list[float]] = {}

    @contextmanager
    def turn(self, base: str) -> Iterator[None]:
        """Raises UpstreamTimeout when there is none within PATIENCE, at once when all have been slow."""
        began = self._take(base)
        try:
            yield
        finally:
            self._give_back(base, began)

    def _take(self, base: str) -> float:
        """When the turn began."""
        last = self._clock() + PATIENCE
        with self._free:
            while len(held := self._since.get(base, [])) >= self._most:
                now = self._clock()
                if now >= last or now - max(held) > OVERDUE or not self._free.wait(last - now):
                    raise UpstreamTimeout(BUSY)
            began = self._clock()
            self._since.setdefault(base, []).append(began)
            return began

    def _give_back(self, base: str, began: float) -> None:
        with self._free:
            held = self._since[base]
            held.remove(began)
            if not held:
                del self._since[base]
            self._free.notify_all()

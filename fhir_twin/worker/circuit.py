"""A breaker in front of one server: after a few failures nobody asks it for a while, then one tries for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Circuit:
    """failures: in a row, before it opens. clock: monotonic. Thread-safe."""

    def __init__(
        self, failures: int = 3, longest: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._longest = longest
        self._clock = clock
        self._guard = threading.Lock()
        self._row = 0
        self._until = 0.0
        self._probing = False

    def admits(self) -> bool:
        """Whether a call may be made now. While open, one caller at a time is let through after each pause."""
        with self._guard:
            if self._row < self._failures:
                return True
            if self._probing or self._clock() < self._until:
                return False
            self._probing = True
            return True

    def worked(self) -> None:
        """The server answered."""
        with self._guard:
            self._row, self._probing, self._until = 0, False, 0.0

    def failed(self, wait: float) -> None:
        """The server cannot be used; ask again after `wait` seconds."""
        with self._guard:
            self._row += 1
            self._probing = False
            self._until = self._clock() + min(wait, self._longest)

    def untold(self) -> None:
        """The call said nothing about the server (there was no work, or it needed no server)."""
        with self._guard:
            self._probing = False

    @property
    def open(self) -> bool:
        with self._guard:
            return self._row >= self._failures

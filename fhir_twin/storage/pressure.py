"""Back-pressure, not loss: over the depth, or with the disk nearly full, new work is refused (promise 7)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from fhir_twin.errors import Busy
from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import UNDONE
from fhir_twin.storage.work import Limits

_FRESH = 0.5  # seconds for which a count is trusted; what this process adds meanwhile is added to it


class Pressure:
    """Counts the undone rows of one queue now and then. clock: monotonic. Thread-safe."""

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        tenant: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._table = table
        self._tenant = tenant
        self._limits = limits
        self._clock = clock
        self._guard = threading.Lock()
        self._depth = 0
        self._until = 0.0

    def check(self, more: int) -> None:
        """Raises Busy when `more` would be too many."""
        with self._guard:
            if self._clock() >= self._until or self._depth + more > self._limits.depth:
                self._depth = self.depth()
                self._until = self._clock() + _FRESH
                free = self._database.free_bytes()
                if free is not None and free < self._limits.free_bytes:
                    self._until = 0.0
                    raise Busy("the disk of the store is nearly full; nothing was accepted", retry_after=60)
            if self._depth + more > self._limits.depth:
                raise Busy("too much work is waiting; nothing was accepted", retry_after=10)
            self._depth += more

    def depth(self) -> int:
        """Undone rows now."""
        t = self._table
        with self._database.read() as connection:
            count = (
                sa.select(sa.func.count()).select_from(t).where(t.c.tenant == self._tenant, sa.text(UNDONE))
            )
            return int(connection.execute(count).scalar() or 0)

"""Every card call leaves a trace (SS-7, AU-5), without making the clinician wait for the disk.

Events are handed to one writer thread a process; while it cannot write, calls are refused: no access without a
trace. A crash may lose the events of the last moment.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fhir_twin import log
from fhir_twin.actor import Actor, acting
from fhir_twin.errors import StoreError, TwinError
from fhir_twin.model.audit import AuditNote

MOST_WAITING = 1000


@dataclass(slots=True)
class LaterAudit:
    """audit: writes one event, and raises when it cannot; then it is tried again after `retry` seconds, until it is
    written. Thread-safe."""

    audit: Callable[[], Callable[[AuditNote], None]]
    retry: float = 1.0
    _waiting: queue.Queue[tuple[Actor, AuditNote]] = field(default_factory=lambda: queue.Queue(MOST_WAITING))
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _broken: bool = False

    def check(self) -> None:
        """Raises StoreError while nothing can be written, or too much waits to be."""
        if self._broken or self._waiting.full():
            raise StoreError("the audit cannot be written, so nothing is shown")

    def put(self, actor: Actor, note: AuditNote) -> None:
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="cds-audit", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((actor, note))
        except queue.Full:
            raise StoreError("the audit cannot be written, so nothing is shown") from None

    def _run(self) -> None:
        while True:
            actor, note = self._waiting.get()
            while not self._written(actor, note):
                self._broken = True
                time.sleep(self.retry)
            self._broken = False

    def _written(self, actor: Actor, note: AuditNote) -> bool:
        try:
            with acting(actor):
                self.audit()(note)
        except TwinError as error:
            log.failure("audit.write", error, code=error.code)
            return False
        return True

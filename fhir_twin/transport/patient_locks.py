"""One run, or one write, per patient at a time within this process (ID-8); other patients do not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PatientLocks:
    """Locks by patient id; a lock that nobody waits for is forgotten."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def holding(self, patient: str) -> Iterator[None]:
        with self._guard:
            lock, users = self._locks.get(patient, (threading.Lock(), 0))
            self._locks[patient] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[patient]
                if users == 1:
                    del self._locks[patient]
                else:
                    self._locks[patient] = (lock, users - 1)

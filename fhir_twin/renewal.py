"""Knowledge that is read again when terminology releases are imported or removed, in every process by itself.

A look costs one listing of the folder, at most every two seconds. Reading again (the coder's index may have to be
built) goes on beside the answers, which come from the knowledge there was until the new one is whole; then it is
swapped in one step. Processes that share the folder read one after the other: the first builds, the others load.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fhir_twin import log
from fhir_twin.errors import TwinError
from fhir_twin.knowledge import Knowledge
from terminology.feeding import release_key

EVERY = 2.0  # seconds between two looks at the folder
_LOCK = ".renewal.lock"
_REFUSED = (TwinError, OSError, ValueError, sqlite3.Error)


class Renewal:
    """One for all apps of a process. Thread-safe; may be made before workers are forked."""

    def __init__(
        self,
        folder: Path,
        load: Callable[[], Knowledge],
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._load, self._every, self._clock = folder, load, every, clock
        self._seen = release_key(folder)  # of the knowledge that the process began with
        self._due = clock() + every
        self._guard = threading.Lock()
        self._reading = threading.Lock()
        self._latest: Knowledge | None = None
        self.read_at = 0  # when the reading of the latest began, nanoseconds of the epoch

    def latest(self) -> Knowledge | None:
        """The knowledge with the releases that are there; None as long as it is the first. Returns at once."""
        now = self._clock()
        if now >= self._due:
            with self._guard:
                if now >= self._due:
                    self._due = now + self._every
                    self._look()
        return self._latest

    def read_now(self) -> Knowledge:
        """Read here and now, for a change of another kind (a site's correction). Raises what reading raises."""
        with self._reading:
            return self._load()

    def follow(self, use: Callable[[Knowledge], None]) -> threading.Thread:
        """For a process that waits for no requests: looks by itself, and hands every new knowledge to `use`."""

        def look() -> None:
            told = None
            while True:
                latest = self.latest()
                if latest is not None and latest is not told:
                    use(latest)
                    told = latest
                time.sleep(self._every)

        thread = threading.Thread(target=look, name="releases", daemon=True)
        thread.start()
        return thread

    def _look(self) -> None:
        key = release_key(self._folder)
        if key != self._seen:
            self._seen = key
            threading.Thread(target=self._read, args=(key,), name="renewal", daemon=True).start()

    def _read(self, key: bytes) -> None:
        with self._reading:
            if key != self._seen:  # changed again meanwhile: that change has a thread of its own
                return
            began, read_at = time.monotonic(), time.time_ns()
            try:
                with _one_process(self._folder):
                    knowledge = self._load()
            except _REFUSED as error:  # the answers go on from what there was
                log.failure("knowledge.renewal", error)
                return
            self._latest, self.read_at = knowledge, read_at
            log.event("knowledge.renewed", version=knowledge.version, seconds=time.monotonic() - began)


@contextlib.contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """Waits for other processes on this folder; nothing waits where there are no such locks, or it is read-only."""
    try:
        import fcntl

        handle = (folder / _LOCK).open("w")
    except (ImportError, OSError):
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

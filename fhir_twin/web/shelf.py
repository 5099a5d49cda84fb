"""The terminology releases of this process: opened at the first question, and again when the folder has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fhir_twin import log
from fhir_twin.errors import NotSupported
from fhir_twin.web.catalogue import Catalogue
from terminology.store import Terminology

EVERY = 2.0  # seconds between two looks at the folder


class OpenShelf:
    """Library and catalogue, always of one moment. An answer that has begun keeps the ones it began with; those are
    closed when the last such answer is gone."""

    def __init__(
        self,
        open_library: Callable[[], Terminology] | None,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._every, self._clock = open_library, every, clock
        self._guard = threading.Lock()
        self._due = 0.0
        self._now: tuple[Terminology, Catalogue] | None = None

    def now(self) -> tuple[Terminology, Catalogue]:
        """Raises NotSupported when the service was started without releases."""
        with self._guard:
            if self._open is None:
                raise NotSupported("this service was started without terminology releases")
            if self._now is None:
                self._now = self._opened(self._open)
            elif self._clock() >= self._due:
                self._due = self._clock() + self._every
                if self._now[0].outdated():
                    self._now = self._opened(self._open)
                    log.event("terminology.reopened", releases=len(self._now[0].releases))
            return self._now

    def _opened(self, open_library: Callable[[], Terminology]) -> tuple[Terminology, Catalogue]:
        library = open_library()
        self._due = self._clock() + self._every
        return library, Catalogue(library)

"""A deadline for the head of an answer: a server that drips header bytes never meets a socket timeout.

The connections of our adapters tell a watchdog thread when they begin to wait for a head; past the deadline it shuts
the socket, and the waiting read fails at once. The body has a deadline of its own (http.HttpClient).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Watchdog:
    """One thread for all clients of the process; it sleeps until the earliest deadline."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._watched: dict[int, tuple[float, socket.socket]] = {}
        self._next_key = 0
        self._thread: threading.Thread | None = None

    def watch(self, connection: socket.socket, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        with self._wake:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="http-watchdog", daemon=True)
                self._thread.start()
            earliest = min((d for d, _ in self._watched.values()), default=None)
            self._next_key += 1
            self._watched[self._next_key] = (deadline, connection)
            if earliest is None or deadline < earliest:
                self._wake.notify()
            return self._next_key

    def release(self, key: int) -> bool:
        """False when the deadline had passed and the socket was shut."""
        with self._wake:
            return self._watched.pop(key, None) is not None

    def _run(self) -> None:
        with self._wake:
            while True:
                now = time.monotonic()
                for key, (deadline, connection) in list(self._watched.items()):
                    if deadline <= now:
                        del self._watched[key]
                        with contextlib.suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)
                earliest = min((d for d, _ in self._watched.values()), default=None)
                self._wake.wait(None if earliest is None else max(0.0, earliest - now))


_WATCHDOG = Watchdog()


def _after_fork() -> None:
    """A child process has none of its parent's threads, and must not wait on their locks."""
    global _WATCHDOG
    _WATCHDOG = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class DeadlineAdapter(HTTPAdapter):
    """seconds: the longest that the head of an answer may take, however it comes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        seconds = self._seconds

        class Plain(HTTPConnection):
            def getresponse(self) -> Any:
                return _guarded(self, super().getresponse, seconds)

        class Secure(HTTPSConnection):
            def getresponse(self) -> Any:
                return _guarded(self, super().getresponse, seconds)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _guarded(connection: Any, getresponse: Any, seconds: float) -> Any:
    if connection.sock is None:
        return getresponse()
    watchdog = _WATCHDOG
    key = watchdog.watch(connection.sock, seconds)
    answer, in_time = None, True
    try:
        answer = getresponse()
    finally:
        in_time = watchdog.release(key)
    if not in_time:  # http.client takes a head that ends early for a whole one
        raise TimeoutError("the head of the answer took too long")
    return answer

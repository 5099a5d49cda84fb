"""MLLP: frames out of a byte stream, and a listener over TCP or TLS (V2-1, H1).

    0x0B message 0x1C 0x0D

One thread per connection, a bound on connections, bytes and idle time; one connection's trouble is never another's.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fhir_twin import log
from fhir_twin.errors import InvalidInput, TooCostly

START, END, CR = b"\x0b", b"\x1c", b"\r"
_CHUNK = 65536


class Frames:
    """Messages out of a stream, however it is cut. Bytes outside a frame are dropped; a start block inside a frame
    begins a new message and gives up the unfinished one (counted in `broken`)."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.broken = 0
        self._held = bytearray()
        self._inside = False
        self._seen = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Complete messages. Raises TooCostly when a frame grows too large."""
        self._held += data
        found: list[bytes] = []
        while True:
            if not self._inside and not self._begin():
                return found
            end = self._held.find(END, self._seen)
            again = self._held.find(START, self._seen, end if end >= 0 else len(self._held))
            if again >= 0:
                self.broken += 1
                del self._held[: again + 1]
                self._seen = 0
                continue
            if end < 0:
                self._seen = len(self._held)
                if len(self._held) > self.max_bytes:
                    raise TooCostly("a message is larger than this listener takes")
                return found
            if end > self.max_bytes:
                raise TooCostly("a message is larger than this listener takes")
            if end + 1 == len(self._held):  # the CR that ends a frame may come with the next bytes
                found.append(bytes(self._held[:end]))
                self._held.clear()
            else:
                found.append(bytes(self._held[:end]))
                del self._held[: end + 1]
            self._inside = False
            self._seen = 0

    def _begin(self) -> bool:
        """Drop what stands before the next start block."""
        start = self._held.find(START)
        if start < 0:
            self._held.clear()
            return False
        del self._held[: start + 1]
        self._inside, self._seen = True, 0
        return True


@dataclass(frozen=True, slots=True)
class Port:
    """Where and how to listen. idle: seconds without a byte after which a connection is closed."""

    host: str = "127.0.0.1"
    port: int = 0
    idle: float = 600.0
    max_bytes: int = 32 * 1024 * 1024
    connections: int = 64
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None


def tls_context(port: Port) -> ssl.SSLContext | None:
    """None without a certificate. TLS 1.2 or later; with client_ca the other side must show a certificate too.

    Raises InvalidInput when the files cannot be used."""
    if port.certificate is None:
        if port.client_ca is not None or port.key is not None:
            raise InvalidInput("a TLS key or client CA without a certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(port.certificate, port.key)
        if port.client_ca is not None:
            context.load_verify_locations(port.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise InvalidInput("the TLS certificate, key or client CA cannot be read") from None
    return context


class Listener:
    """answer: one message to the answers that go back, in order; too_large: the answers to a frame that was given up
    for its size (the connection is closed then). They must not raise; if one does, the connection is closed and the
    sender sends again, which is what an error of ours must lead to."""

    def __init__(
        self,
        port: Port,
        answer: Callable[[bytes], Iterable[bytes]],
        too_large: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        self.settings = port
        self._answer = answer
        self._too_large = too_large
        self._tls = tls_context(port)
        self._stopping = threading.Event()
        self._slots = threading.BoundedSemaphore(port.connections)
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._threads: set[threading.Thread] = set()
        family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((port.host, port.port))
        except OSError as error:
            self._socket.close()
            raise InvalidInput(f"cannot listen on {port.host}:{port.port}: {error.strerror}") from None
        self._socket.listen(128)
        self._socket.settimeout(0.2)

    @property
    def port(self) -> int:
        """The port really bound."""
        return int(self._socket.getsockname()[1])

    def run(self) -> None:
        """Serve until stop()."""
        while not self._stopping.is_set():
            if not self._slots.acquire(timeout=0.2):
                continue  # all connections are taken: the next one waits in the system's queue
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                self._slots.release()
                continue
            except OSError:
                self._slots.release()
                break
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._guard:
                self._threads.add(thread)
            thread.start()
        self._socket.close()

    def start(self) -> threading.Thread:
        """run() in a thread of its own."""
        thread = threading.Thread(target=self.run, name="mllp", daemon=True)
        thread.start()
        return thread

    def stop(self, grace: float = 10.0) -> None:
        """Take no more; messages in hand are answered, for `grace` seconds at most."""
        self._stopping.set()
        with self._guard:
            threads, held = list(self._threads), list(self._open)
        for connection in held:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in threads:
            thread.join(grace)

    def _serve(self, raw: socket.socket) -> None:
        connection: socket.socket = raw
        try:
            raw.settimeout(min(self.settings.idle, 30.0))
            if self._tls is not None:
                connection = self._tls.wrap_socket(raw, server_side=True)
            connection.settimeout(self.settings.idle)
            with self._guard:
                self._open.add(connection)
            self._talk(connection)
        except (OSError, ssl.SSLError) as error:  # the other side went away, fell silent or speaks no TLS
            log.event("mllp.closed", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a bug with one connection must not end the listener
            log.failure("mllp.bug", error)
        finally:
            with self._guard:
                self._open.discard(connection)
                self._threads.discard(threading.current_thread())
            with contextlib.suppress(OSError):
                connection.close()
            self._slots.release()

    def _talk(self, connection: socket.socket) -> None:
        frames = Frames(self.settings.max_bytes)
        while not self._stopping.is_set():
            data = connection.recv(_CHUNK)
            if not data:
                return
            try:
                messages = frames.feed(data)
            except TooCostly:
                log.event("mllp.too_large")
                for answer in self._too_large():
                    connection.sendall(START + answer + END + CR)
                return  # what follows in this stream belongs to a frame we gave up
            for message in messages:
                for answer in self._answer(message):
                    connection.sendall(START + answer + END + CR)

"""A bad server on a raw socket, and a client that never really waits."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_twin.transport.http import HttpClient, Wait

Part = bytes | float


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """Answers with whatever bytes `handler` gives; a float among them is a pause in seconds."""

    port: int
    handler: Callable[[Request], bytes | Iterable[Part]] = lambda _: reply(404)
    requests: list[Request] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def answers(self, *replies: bytes | Iterable[Part]) -> None:
        """One reply per request, in order; the last one again and again."""
        rest = list(replies)
        self.handler = lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


def reply(
    status: int = 200,
    body: Any = b"",
    *,
    headers: dict[str, str] | None = None,
    kind: str = "application/fhir+json",
    length: int | None = None,
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": kind, "Content-Length": str(len(data) if length is None else length)}
    told |= {"Connection": "close", **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in told.items())
    return head.encode() + b"\r\n" + data


@pytest.fixture
def stub() -> Iterator[Stub]:
    listener = socket.create_server(("127.0.0.1", 0))
    made = Stub(listener.getsockname()[1])
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            request = _read(connection)
            if request is None:
                return
            made.requests.append(request)
            parts = made.handler(request)
            for part in [parts] if isinstance(parts, bytes) else parts:
                if isinstance(part, float):
                    if over.wait(part):
                        return
                    continue
                try:
                    connection.sendall(part)
                except OSError:
                    return

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield made
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Request(method, target, headers, body)


@dataclass
class Clock:
    """Time that only passes when somebody sleeps."""

    seconds: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(stub: Stub, clock: Clock) -> Iterator[HttpClient]:
    with make_client(stub, clock) as made:
        yield made


def make_client(stub: Stub, clock: Clock, **options: Any) -> HttpClient:
    waits: list[Wait] = []
    options.setdefault("on_wait", waits.append)
    made = HttpClient(
        stub.base, clock=clock, now=lambda: 1_700_000_000.0, sleep=clock.sleep, random=lambda: 0.5, **options
    )
    made.waits = waits  # type: ignore[attr-defined]
    return made


def page(*resources: Any, total: int | None = None, next_: str = "", self_: str = "") -> dict[str, Any]:
    """A searchset."""
    links = [{"relation": "next", "url": next_}] if next_ else []
    links += [{"relation": "self", "url": self_}] if self_ else []
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if total is not None:
        bundle["total"] = total
    bundle["entry"] = [{"resource": r, "search": {"mode": "match"}} for r in resources]
    return bundle


@pytest.fixture
def elapsed() -> Callable[[], float]:
    start = time.monotonic()
    return lambda: time.monotonic() - start


@pytest.fixture
def tools() -> Any:
    """The helpers above, for test modules (there are no packages in tests)."""

    class Tools:
        pass

    tools = Tools()
    tools.reply, tools.page, tools.make_client, tools.Clock = reply, page, make_client, Clock  # type: ignore[attr-defined]
    return tools

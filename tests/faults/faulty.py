"""A proxy in front of a FHIR server that misbehaves as told: raw sockets, so that nothing is mended on the way.

    proxy.next = ["hang", "cut"]          # faults for the next writes, one each; then all is well again
    proxy.always = "503"                  # for every request

Faults: a status ("503", "429:7" with Retry-After: 7), "reset", "refuse-after" ... see `_answer`. `seen` lists
(method, path, fault, monotonic time).
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


class FaultyProxy:
    """Listens on a free port of loopback; `base` is the FHIR base to use. close() when done."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.next: list[str] = []
        self.always = ""
        self.mangle: Any = None
        self.seen: list[tuple[str, str, str, float]] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}{parts.path}"
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._open = False
        self._socket.close()

    @property
    def writes(self) -> list[tuple[str, str, str, float]]:
        return [s for s in self.seen if _is_write(s[0], s[1])]

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while True:
                try:
                    line = reader.readline()
                    if not line.strip():
                        return
                    method, path, _ = line.decode().split(" ", 2)
                    headers = {}
                    while (row := reader.readline().decode().strip()) != "":
                        name, _, value = row.partition(":")
                        headers[name.strip()] = value.strip()
                    size = int(next((v for k, v in headers.items() if k.lower() == "content-length"), 0))
                    body = reader.read(size)
                    fault = self.always
                    if not fault and self.next and _is_write(method, path):
                        fault = self.next.pop(0)
                    self.seen.append((method, path, fault, time.monotonic()))
                    if not self._answer(connection, fault, method, path, headers, body):
                        return
                except OSError:
                    return

    def _answer(
        self,
        connection: socket.socket,
        fault: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
    ) -> bool:
        """False when the connection ends here."""
        if fault[:3].isdigit():
            status, _, wait = fault.partition(":")
            extra = f"Retry-After: {wait}\r\n" if wait else ""
            connection.sendall(f"HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n{extra}\r\n".encode())
            return True
        if fault == "reset":  # before anything was stored
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        status_line, answered, content = self._forward(method, path, headers, body)
        if fault == "mangle":
            content = json.dumps(self.mangle(json.loads(content))).encode()
        if fault == "stored-reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if fault == "hang":  # stored, and then nothing
            time.sleep(4)
            return False
        length = len(content)
        if fault == "long-length":
            length += 500
        if fault == "short-length":
            length //= 2
        head = f"HTTP/1.1 {status_line}\r\nContent-Length: {length}\r\n"
        head += "".join(
            f"{k}: {v}\r\n" for k, v in answered if k.lower() in ("content-type", "location", "etag", "date")
        )
        connection.sendall(head.encode() + b"\r\n")
        if fault == "cut":
            connection.sendall(content[: len(content) // 2])
            return False
        if fault == "drip":
            for i in range(len(content)):
                connection.sendall(content[i : i + 1])
                time.sleep(0.05)
            return False
        connection.sendall(content)
        return fault not in ("long-length", "short-length")

    def _forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        inner = HTTPConnection(self._host, self._port, timeout=60)
        kept = {
            k: v for k, v in headers.items() if k.lower() not in ("host", "connection", "accept-encoding")
        }
        inner.request(method, path, body or None, {**kept, "Host": f"{self._host}:{self._port}"})
        answer = inner.getresponse()
        content = answer.read()
        inner.close()
        return f"{answer.status} {answer.reason}", answer.getheaders(), content


def _is_write(method: str, path: str) -> bool:
    """A transaction or a single write; a batch of reads is also a POST to the base, so tests write transactions."""
    return method in ("PUT", "DELETE") or (method == "POST" and "_search" not in path)

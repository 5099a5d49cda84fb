"""A large answer straight to disk: piece by piece, counted, capped, memory flat (BU-5, security.md 5.3 rows 13 and 51).

The bearer token goes only to the base's own origin, and only when the manifest says that files need it; a file on
another host is fetched only from hosts that the user has named, never with the token.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from fhir_twin.errors import Forbidden, TooCostly, UpstreamError, UpstreamTimeout
from fhir_twin.transport.answers import error_of
from fhir_twin.transport.failures import failure_of
from fhir_twin.transport.http import HttpClient, Reply
from fhir_twin.transport.urls import Base, parse_base

_CHUNK = 1 << 18
_RATIO = 200  # bytes out of one byte in; more is a bomb
_FREE = 1 << 20  # a ratio says nothing about small files
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Caps:
    """bytes: of one file after decompression. free: bytes to leave on the disk. idle, total: seconds."""

    bytes: int = 50_000_000_000
    free: int = 256_000_000
    idle: float = 60.0
    total: float = 6 * 3600.0


class Downloader:
    """hosts: origins ("https://storage.example.org") besides the base's from which files may come."""

    def __init__(
        self, client: HttpClient, *, hosts: frozenset[str] = frozenset(), caps: Caps | None = None
    ) -> None:
        self._client = client
        self._hosts = frozenset(parse_base(h).origin for h in hosts)
        self._caps = caps or Caps()

    def fetch(
        self, url: str, path: Path, *, token: bool, progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Download to `path` (whole or not at all); bytes written. Raises Forbidden (host not allowed), TooCostly,
        UpstreamTimeout and what the server refuses with."""
        place = self.where(url)
        own = place.origin == self._client.base.origin
        part = path.with_name(path.name + ".part")
        for _ in range(4):
            try:
                moved = self._once(url, part, token and own, progress)
            except (requests.RequestException, HTTPError, OSError) as error:
                raise failure_of(error).error from None
            if not moved:
                part.replace(path)
                return path.stat().st_size
            url = moved
            own = own and self.where(url).origin == self._client.base.origin
        raise UpstreamError("a bulk file redirects in a circle")

    def where(self, url: str) -> Base:
        """The origin of a file. Raises Forbidden when nobody allowed it."""
        place = parse_base(url.partition("?")[0].partition("#")[0])
        if place.origin == self._client.base.origin or place.origin in self._hosts:
            return place
        raise Forbidden(
            "the export's files are on a host that is not allowed; name it (--host) if you trust it"
        )

    def _once(self, url: str, part: Path, token: bool, progress: Callable[[int], None]) -> str:
        """The URL of a redirect, "" when the file is there."""
        headers = {"Accept": "application/fhir+ndjson"}
        with self._client.stream(url, headers, token=token, idle=self._caps.idle) as answer:
            if answer.status_code in _REDIRECTS:
                return str(answer.headers.get("Location", ""))
            if answer.status_code != 200:
                raise error_of(Reply(answer.status_code, answer.headers, b""), "downloading a bulk file")
            self._body(answer, part, progress)
        return ""

    def _body(self, answer: requests.Response, part: Path, progress: Callable[[int], None]) -> None:
        deadline = self._client.clock() + self._caps.total
        size = 0
        with part.open("wb") as out:
            while piece := answer.raw.read1(_CHUNK, decode_content=True):
                size += len(piece)
                self._check(size, answer.raw.tell(), part)
                if self._client.clock() > deadline:
                    raise UpstreamTimeout(f"a bulk file did not end within {self._caps.total:.0f} s")
                out.write(piece)
                progress(len(piece))
            out.flush()
            os.fsync(out.fileno())
        told = answer.headers.get("Content-Length", "")
        if told.isdigit() and "Content-Encoding" not in answer.headers and int(told) != size:
            raise UpstreamError("a bulk file was cut off before its end")

    def _check(self, size: int, received: int, part: Path) -> None:
        if size > self._caps.bytes:
            raise TooCostly(f"a bulk file is larger than {self._caps.bytes} bytes")
        if size > _FREE and received and size > received * _RATIO:
            raise TooCostly("a bulk file unpacks to far more than it should; it was not kept")
        if size % (64 * _CHUNK) < _CHUNK:
            held = os.statvfs(part.parent)
            if held.f_bavail * held.f_frsize < self._caps.free:
                raise TooCostly("the disk is nearly full; the export can be resumed when there is room")

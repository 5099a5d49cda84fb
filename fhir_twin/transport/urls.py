"""URL hygiene: what is a base, what may be fetched with the token, where a `next` link may lead.

`urlsplit` and requests disagree on `https://good.example\\@127.0.0.1/` (security.md 5.1), so anything with a
backslash, user information, control characters, blanks or a non-ASCII host is refused before it is parsed.
Texts of errors never quote a URL: its path and query can name a patient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from fhir_twin.errors import Forbidden, InvalidInput

_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_HOST = re.compile(r"[A-Za-z0-9._-]+\Z|[0-9A-Fa-f:.]+\Z")
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class Base:
    """A FHIR base URL after normalisation: scheme and host in lower case, default port left out, no trailing
    slash, no query."""

    scheme: str
    host: str
    port: int
    path: str
    origin: str = field(init=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        origin = f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "text", origin + self.path)

    def covers(self, path: str) -> bool:
        """True when `path` is the base's own path or below it."""
        return path == self.path or path.startswith(self.path + "/")


def parse_base(url: str) -> Base:
    """Raises InvalidInput (without the URL) when `url` cannot be a FHIR base."""
    parts = _split(url)
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise InvalidInput("the FHIR base URL must have no query and no fragment")
    path = parts.path.rstrip("/")
    _check_path(path)
    return Base(parts.scheme, _host(parts), _port(parts), path)


def target_of(base: Base, url: str) -> str:
    """The URL to call for `url`, which is relative to the base or absolute on the base's origin.

    Raises Forbidden when it leads to another origin (the token must not go there)."""
    if url.startswith(("http://", "https://", "//")) or "://" in url.split("?", 1)[0]:
        parts = _split(url if not url.startswith("//") else f"{base.scheme}:{url}")
        if (parts.scheme, _host(parts), _port(parts)) != (base.scheme, base.host, base.port):
            raise Forbidden("a link led to another server; it was not followed")
        _check_path(parts.path)
        return base.origin + urlunsplit(("", "", parts.path, parts.query, ""))
    if _UNSAFE.search(url):
        raise InvalidInput("a URL holds characters that are not allowed")
    if not url:
        return base.text
    _check_path(url.partition("?")[0])  # before urljoin takes dot segments away
    joined = base.text + url if url.startswith("?") else urljoin(base.text + "/", url)
    parts = urlsplit(joined)
    _check_path(parts.path)
    if not joined.startswith(base.origin + "/") and joined != base.origin:
        raise Forbidden("a link led to another server; it was not followed")
    return joined


def next_of(base: Base, url: str) -> tuple[str, bool]:
    """(URL to call for a paging link, whether it had to be rewritten).

    A link on another host or scheme is what a server behind a proxy gives. When its path lies under our base's
    path it is asked of our own server; otherwise Forbidden. A base without a path proves nothing, so there every
    foreign link is refused (F2, security.md 5.3 row 6)."""
    try:
        return target_of(base, url), False
    except Forbidden:
        parts = _split(url if not url.startswith("//") else f"{base.scheme}:{url}")
        if not base.path or not base.covers(parts.path):
            raise
        _check_path(parts.path)
        return base.origin + urlunsplit(("", "", parts.path, parts.query, "")), True


def local_reference(base: Base, reference: str) -> tuple[str, str] | None:
    """(type, id) of a literal reference to this server: relative, absolute on the same base, versioned or not.

    None for contained, urn:, foreign, logical or malformed references."""
    text = reference
    if text.startswith(base.text + "/"):
        text = text[len(base.text) + 1 :]
    parts = text.split("/")
    if len(parts) == 4 and parts[2] == "_history":
        parts = parts[:2]
    if len(parts) == 2 and TYPE.match(parts[0]) and ID.match(parts[1]):
        return parts[0], parts[1]
    return None


def _split(url: str) -> SplitResult:
    if not url or len(url) > 8192:
        raise InvalidInput("a URL is empty or longer than 8192 characters")
    if _UNSAFE.search(url):
        raise InvalidInput("a URL holds a backslash, a blank or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput("a URL cannot be read") from None
    if parts.scheme not in _PORTS:
        raise InvalidInput("a URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise InvalidInput("a URL must not hold a user name or password; use the login options")
    if not host or not _HOST.match(host) or port == 0:
        raise InvalidInput("a URL has no valid host name")
    return parts


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").lower().rstrip(".")


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _check_path(path: str) -> None:
    """requests turns /fhir/../admin into /admin: dot segments are refused, in any spelling."""
    plain = unquote(unquote(path))
    if _UNSAFE.search(plain) or any(part in (".", "..") for part in plain.split("/")):
        raise InvalidInput("a URL path holds dot segments or characters that are not allowed")

"""What the SMART and CDS faces share in one process: the registry, our keys, what servers said of themselves."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from flask import current_app, request

from fhir_twin.errors import Forbidden
from fhir_twin.model.registered import RegisteredServer, Registry
from fhir_twin.model.scopes import Granted
from fhir_twin.settings import Settings
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.http import HttpClient, Limits
from fhir_twin.transport.login import Authorization
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.scoped_server import ScopedServer
from fhir_twin.transport.servers_file import read_servers
from fhir_twin.transport.smart_discovery import SmartConfiguration, discover
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.smart_token import TokenClient
from fhir_twin.transport.urls import parse_base
from terminology.build import default_cache

OWN = "own-server"
REMEMBERED = 300.0  # seconds that a server's description of itself is believed


@dataclass(slots=True)
class SmartParts:
    """One for the app. Thread-safe."""

    registry: Registry
    keys: OwnKeys
    http: SmartHttp
    settings: Settings
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _configurations: dict[str, tuple[float, SmartConfiguration]] = field(default_factory=dict)
    _capabilities: dict[str, tuple[float, ServerCapability]] = field(default_factory=dict)

    def registered(self, base: str) -> RegisteredServer:
        """The registration that covers `base` (as somebody else wrote it). Raises Forbidden when there is none, and
        InvalidInput when it is no URL; nothing is fetched (SL-2)."""
        found = self.registry.covering(parse_base(base).text)
        if found is None:
            raise Forbidden("this FHIR server is not registered here")
        return found

    def configuration(self, server: RegisteredServer, base: str) -> SmartConfiguration:
        now = time.monotonic()
        with self._guard:
            kept = self._configurations.get(base)
        if kept is not None and now - kept[0] < REMEMBERED:
            return kept[1]
        found = discover(server, base, self.http)
        with self._guard:
            _make_room(self._configurations)
            self._configurations[base] = (now, found)
        return found

    def tokens(self, server: RegisteredServer, base: str) -> TokenClient:
        return TokenClient(server, self.configuration(server, base), self.keys, self.http)

    def server(
        self,
        base: str,
        authorization: Authorization | None,
        granted: Granted | None,
        *,
        retries: int | None = None,
        seconds: float | None = None,
    ) -> ScopedServer:
        """A client of `base` with this login. retries, seconds: less patience than the settings have; after `seconds`
        nothing is tried again."""
        chosen = self.settings
        patience = Limits().total if seconds is None else seconds
        client = HttpClient(
            base,
            authorization=authorization,
            ca_bundle=chosen.path("ca_bundle"),
            limits=Limits(
                connect=min(10.0, patience),
                read=min(chosen.number("timeout"), patience),
                total=patience,
                max_bytes=chosen.integer("max_bytes"),
            ),
            retry=RetryPolicy(
                attempts=chosen.integer("retries") if retries is None else retries,
                budget=min(chosen.number("retry_budget"), 60.0),
                within=math.inf if seconds is None else seconds,
            ),
            rate=chosen.number("rate"),
        )
        with self._guard:
            kept = self._capabilities.get(base)
        fresh = kept[1] if kept is not None and time.monotonic() - kept[0] < REMEMBERED else None
        return ScopedServer(
            client,
            granted,
            known=fresh,
            post_search=chosen.flag("post_search"),
            max_pages=chosen.integer("max_pages"),
        )

    def remember(self, server: ScopedServer) -> None:
        """Keep its capability statement for the next client of the same base. Raises what asking for it raises."""
        whole = server.whole_capability()
        with self._guard:
            if server.base not in self._capabilities:
                _make_room(self._capabilities)
                self._capabilities[server.base] = (time.monotonic(), whole)
            elif self._capabilities[server.base][1] is not whole:
                self._capabilities[server.base] = (time.monotonic(), whole)


def _make_room(
    kept: dict[str, tuple[float, SmartConfiguration]] | dict[str, tuple[float, ServerCapability]],
) -> None:
    """A pattern base (the SMART launcher's) has a new address with every launch."""
    while len(kept) >= 200:
        del kept[min(kept, key=lambda base: kept[base][0])]


def make_parts(settings: Settings) -> SmartParts:
    """Raises InvalidInput when the servers file is wrong: said at the start, not at the first launch."""
    folder = (settings.path("cache") or default_cache()) / "web" / "keys"
    return SmartParts(
        _with_own(read_servers(settings.path("servers_file")), settings.text("server")),
        OwnKeys(settings.path("key_folder") or folder),
        SmartHttp(settings.path("ca_bundle")),
        settings,
    )


def _with_own(registry: Registry, base: str) -> Registry:
    """The service's own FHIR server may be named by CDS calls too; without a login, for our own is never lent."""
    if not base or registry.named(base) is not None or registry.covering(parse_base(base).text) is not None:
        return registry
    own = RegisteredServer(OWN, parse_base(base).text, login="none")
    return replace(registry, servers=(*registry.servers, own))


def smart_parts() -> SmartParts:
    found: SmartParts = current_app.extensions["fhir-twin"]["smart"]
    return found


def public_base() -> str:
    """The URL that browsers and EHRs know us by; behind a proxy it comes from the settings, never from Host."""
    settings: Settings = current_app.extensions["fhir-twin"]["settings"]
    return settings.text("public_url").rstrip("/") or request.url_root.rstrip("/")


def public_address(path: str) -> str:
    """The whole URL of a path that `url_for` gave, which begins with the prefix we are mounted at."""
    return public_base() + path.removeprefix(request.script_root)


class Mounted:
    """WSGI: we are reached under a path (public_url with a path). Proxies take it off, or pass it on; both work."""

    def __init__(self, app: Callable[[dict[str, Any], Any], Iterable[bytes]], prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(self._prefix + "/"):
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        environ["SCRIPT_NAME"] = self._prefix
        return self._app(environ, start)

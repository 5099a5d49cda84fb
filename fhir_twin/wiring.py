"""open_service(settings): the only place that picks concrete parts."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_twin.errors import InvalidInput, UpstreamError
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.registered import RegisteredServer, Registry
from fhir_twin.renewal import Renewal
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.transport.backend_login import BackendLogin
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.folder import FolderSource
from fhir_twin.transport.http import HttpClient, Limits, Wait
from fhir_twin.transport.login import Authorization, basic, bearer, token_file
from fhir_twin.transport.no_server import NoServer
from fhir_twin.transport.own_keys import OwnKeys
from fhir_twin.transport.plan_writer import PlanWriter
from fhir_twin.transport.pull import ServerSource
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.servers_file import read_servers
from fhir_twin.transport.smart_discovery import SmartConfiguration, discover
from fhir_twin.transport.smart_http import SmartHttp
from fhir_twin.transport.smart_token import TokenClient
from fhir_twin.transport.urls import parse_base
from terminology import Terminology, open_terminology
from terminology.build import default_cache
from terminology.importers.icd10cm import installed_tabular
from terminology.library import import_release

if TYPE_CHECKING:
    from terminology.remote import RemoteTerminology

READY_WITHIN = 10.0  # seconds in which a FHIR server must answer to count as usable


def open_service(
    settings: Settings, knowledge: Knowledge | None = None, *, wait_for_server: bool = False
) -> TwinService:
    """The service on the FHIR server of `settings`. Raises KnowledgeError, InvalidInput, and what the server's
    capability statement gives cause for (UpstreamError, LoginRequired, NotSupported ...).

    wait_for_server: a server that does not answer yet is no error (both may be starting); `check` tells of it.
    Without a server of its own it serves those who log in at a registered one, and patients that feeds tell of."""
    if not settings.text("server") and (settings.flag("feeds") or registry_of(settings).servers):
        own = knowledge or open_knowledge(settings)
        return TwinService(
            NoServer(), None, own, label=settings.text("ai_label"), check=lambda: "no server of its own"
        )
    server = open_server(settings)
    probe = open_server(settings, patience=READY_WITHIN)
    try:
        probe.ping() if wait_for_server else server.capability()  # a wrong URL or version is said now, once
    except UpstreamError as error:
        if not wait_for_server or 0 < error.http_status < 500:
            raise
        sys.stderr.write(f"the FHIR server cannot be used yet: {error.message}; /ready says when it can\n")
    source = ServerSource(
        server, page_size=settings.integer("page_size"), threads=settings.integer("threads")
    )
    sink = PlanWriter(server) if settings.flag("write") else None
    knowledge = knowledge or open_knowledge(settings)
    return TwinService(
        source,
        sink,
        knowledge,
        label=settings.text("ai_label"),
        check=probe.ping,
    )


def open_files(settings: Settings, path: Path, knowledge: Knowledge | None = None) -> TwinService:
    """The service on files: Bundles, NDJSON, or a folder of them. There is nowhere to write to."""
    source = FolderSource(path)
    return TwinService(
        source,
        None,
        knowledge or open_knowledge(settings),
        label=settings.text("ai_label"),
        check=lambda: "files",
    )


def open_knowledge(settings: Settings) -> Knowledge:
    return load_knowledge(
        settings.path("knowledge"),
        settings.path("cache"),
        release_folder(settings),
        open_encoder(settings.text("encoder")),
    )


def open_renewal(settings: Settings) -> Renewal:
    """Reads the knowledge again when releases are imported or removed while the process runs."""
    return Renewal(release_folder(settings), lambda: open_knowledge(settings))


def open_encoder(name: str) -> Callable[[Sequence[str]], Any] | None:
    """The site's text encoder, "module:function". Raises InvalidInput when there is no such function."""
    if not name:
        return None
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"encoder: {name} is no module:function that can be imported") from error
    if not callable(found):
        raise InvalidInput(f"encoder: {name} cannot be called")
    return found  # type: ignore[no-any-return]


def release_folder(settings: Settings) -> Path:
    """Where imported terminology releases are kept."""
    return settings.path("terminology") or (settings.path("cache") or default_cache()) / "releases"


def open_library(settings: Settings) -> Terminology:
    """Every imported release, and ICD-10-CM (public domain), which is imported at the first call."""
    folder = release_folder(settings)
    import_release("icd10cm", installed_tabular(), folder)
    found = open_terminology(folder)
    found.upstream = open_terminology_server(settings, found)
    return found


def open_terminology_server(settings: Settings, local: Terminology) -> RemoteTerminology | None:
    """The configured terminology server, `local` standing in for it; None when none is configured."""
    base = settings.text("terminology_server")
    if not base:
        return None
    if not base.startswith(("http://", "https://")):
        raise InvalidInput("terminology_server must be an http or https URL")
    from terminology.remote import RemoteTerminology  # requests: only when there is a server to ask

    found = RemoteTerminology(base, local, settings.number("terminology_timeout"))
    if token := settings.text("terminology_token"):
        found.session.headers["Authorization"] = f"Bearer {token}"
    return found


def open_server(settings: Settings, *, patience: float = math.inf) -> FhirServer:
    """A client of the FHIR server of `settings`; nothing is sent yet. patience: the most seconds for one answer."""
    if not settings.text("server"):
        raise InvalidInput("no FHIR server is named: --server URL or FHIR_TWIN_SERVER")
    base, registered = named_server(settings)
    client = HttpClient(
        base,
        authorization=_authorization(settings) or _backend(settings, registered),
        ca_bundle=settings.path("ca_bundle"),
        limits=Limits(
            read=min(settings.number("timeout"), patience),
            total=min(Limits().total, patience),
            max_bytes=settings.integer("max_bytes"),
        ),
        retry=RetryPolicy(attempts=settings.integer("retries"), budget=settings.number("retry_budget")),
        rate=settings.number("rate"),
        on_wait=_tell,
    )
    return FhirServer(
        client, post_search=settings.flag("post_search"), max_pages=settings.integer("max_pages")
    )


def _authorization(settings: Settings) -> Authorization | None:
    given = [name for name in ("token", "token_file", "basic_auth") if settings.text(name)]
    if len(given) > 1:
        raise InvalidInput(f"give only one of {', '.join(given)}")
    if settings.text("token"):
        return bearer(settings.text("token"))
    if (path := settings.path("token_file")) is not None:
        return token_file(path)
    if settings.text("basic_auth"):
        user, colon, password = settings.text("basic_auth").partition(":")
        if not colon:
            raise InvalidInput("basic_auth wants user:password")
        return basic(user, password)
    return None


def registry_of(settings: Settings) -> Registry:
    """The servers file."""
    return read_servers(settings.path("servers_file"))


def key_folder(settings: Settings) -> Path:
    """Where our signing keys are kept."""
    return settings.path("key_folder") or (settings.path("cache") or default_cache()) / "web" / "keys"


def named_server(settings: Settings) -> tuple[str, RegisteredServer | None]:
    """(base, registration) of the server that the settings name by URL or by its name in the servers file."""
    given, registry = settings.text("server"), registry_of(settings)
    if not given:
        return "", None
    named = registry.named(given)
    if named is not None:
        return named.base, named
    return given, registry.covering(parse_base(given).text) if registry.servers else None


def _backend(settings: Settings, registered: RegisteredServer | None) -> Authorization | None:
    """SMART Backend Services, where system/ scopes are registered for the server and no other login is given."""
    if registered is None or not registered.backend_scopes:
        return None
    http, keys = SmartHttp(settings.path("ca_bundle")), OwnKeys(key_folder(settings))
    base = parse_base(registered.base).text
    found: list[SmartConfiguration] = []

    def client() -> TokenClient:
        if not found:
            found.append(discover(registered, base, http))
        return TokenClient(registered, found[0], keys, http)

    return BackendLogin(client)


def _tell(wait: Wait) -> None:
    """A long wait is said to whoever watches; short ones are not worth a line."""
    if wait.seconds >= 2:
        why = f"HTTP {wait.status}" if wait.status else "no answer"
        sys.stderr.write(f"the server says {why}; waiting {wait.seconds:.0f} s (try {wait.attempt})\n")

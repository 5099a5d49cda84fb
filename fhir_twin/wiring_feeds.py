"""The concrete parts of feeds (HL7 v2, C-CDA): what the settings say of them, the front door, the handlers."""

from __future__ import annotations

import ipaddress
import tomllib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_twin.errors import InvalidInput
from fhir_twin.intake.hl7v2 import MAX_BYTES
from fhir_twin.intake.mllp import Port
from fhir_twin.intake.reception import Letter, Reception
from fhir_twin.intake.site import Site
from fhir_twin.intake.tables import load_tables
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.storage.store import Store
from fhir_twin.storage.work import NewWork
from fhir_twin.transport.no_server import NoServer
from fhir_twin.worker.auditor import Auditor
from fhir_twin.worker.intake import Intake
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.record_source import BASE, JoinedSource, RecordSource


def open_site(settings: Settings) -> Site:
    """Raises InvalidInput naming the option that is wrong."""
    try:
        zone = ZoneInfo(settings.text("intake_zone"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("option intake_zone is not the name of a time zone, e.g. Europe/Zurich") from None
    accept = frozenset(settings.text("intake_processing").upper().replace(",", "").replace(" ", ""))
    if not accept or accept - frozenset("PTD"):
        raise InvalidInput("option intake_processing takes any of P, T, D")
    path = settings.path("intake_authorities")
    authorities = _authorities(path) if path is not None else {}
    return Site(zone, authorities, accept, load_tables(settings.path("knowledge")))


def _authorities(path: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise InvalidInput("the file of option intake_authorities cannot be read as TOML") from None
    flat = table.get("authorities", table)
    if not all(isinstance(v, str) and v.startswith(("http://", "https://", "urn:")) for v in flat.values()):
        raise InvalidInput('intake_authorities: every line is  "AUTHORITY" = "identifier system URI"')
    return dict(flat)


def mllp_port(settings: Settings) -> Port:
    """Raises InvalidInput for a port off loopback that anybody could send to."""
    host, client_ca = settings.text("mllp_host"), settings.path("mllp_client_ca")
    if not _loopback(host) and client_ca is None and not settings.flag("mllp_plain"):
        raise InvalidInput(
            "off loopback the MLLP listener wants client certificates (mllp_certificate, mllp_client_ca); "
            "mllp_plain takes that back for a network that is closed by other means"
        )
    return Port(
        host=host,
        port=settings.integer("mllp_port"),
        idle=settings.number("mllp_idle"),
        connections=settings.integer("mllp_connections"),
        certificate=settings.path("mllp_certificate"),
        key=settings.path("mllp_key"),
        client_ca=client_ca,
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def with_feeds(service: TwinService, store: Store) -> TwinService:
    """The service, reading what feeds said beside what the FHIR server holds; without a server, feeds alone."""
    alone = isinstance(service.source, NoServer)
    service.source = RecordSource(store.records) if alone else JoinedSource(service.source, store.records)
    return service


def feed_bench(settings: Settings, store: Store) -> Bench:
    """Who handles feeds: no FHIR server is needed for it. With one, each message asks for a look at the twin."""
    server = settings.text("server")
    audit = Auditor(store, server or BASE, send=bool(server) and settings.flag("send_audit"))
    return Bench(store.jobs, Intake(store, open_site(settings), refresh=bool(server), audit=audit).handlers())


def open_feed_worker(settings: Settings, store: Store) -> Worker:
    """A worker for feeds only."""
    return Worker([feed_bench(settings, store)], threads=1)


def open_reception(settings: Settings, store: Store) -> Reception:
    """The front door of feeds: what it acknowledges is in the store."""

    def keep(letter: Letter) -> bool:
        new = NewWork(letter.kind, letter.lane, letter.body, letter.key, meta=letter.meta)
        return store.jobs.accept(new).duplicate

    limit = min(MAX_BYTES, store.jobs.limits.max_body)
    return Reception(keep, open_site(settings), lambda: datetime.now().astimezone(), max_bytes=limit)

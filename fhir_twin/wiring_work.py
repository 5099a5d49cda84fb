"""The concrete parts of durable work: the store, the worker with its handlers. Apart from `wiring`, because plain runs
need no database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fhir_twin.fhir.identity import WRITE_ORDER
from fhir_twin.fhir.validate import validate_resource
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import warm_up
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings
from fhir_twin.storage.store import Store, open_store
from fhir_twin.storage.work import Limits
from fhir_twin.transport.subscriber import Subscriber
from fhir_twin.wiring import named_server, open_server
from fhir_twin.wiring_feeds import feed_bench
from fhir_twin.worker.auditor import Auditor, AuditSender
from fhir_twin.worker.circuit import Circuit
from fhir_twin.worker.consent_now import consent_now
from fhir_twin.worker.keeper import Keeper
from fhir_twin.worker.loop import Bench, Handler, Worker
from fhir_twin.worker.notices import NoticeHandler, Sorter
from fhir_twin.worker.poll import Poller
from fhir_twin.worker.refresh import Refresher
from fhir_twin.worker.write_back import WriteBack


def open_settings_store(settings: Settings) -> Store:
    """The store of `settings`, of its tenant. Raises Busy, StoreError and InvalidInput."""
    return open_store(
        settings.text("store"),
        settings.text("tenant"),
        limits=Limits(settings.integer("queue_depth"), settings.integer("queue_free")),
        lease=settings.number("lease"),
    )


def open_worker(
    settings: Settings,
    service: TwinService,
    store: Store,
    *,
    threads: int = 2,
    only: frozenset[str] = frozenset(),
    told: Callable[[str, str, str, float], None] | None = None,
) -> Worker:
    """A worker for the outbox and the jobs of one tenant. Short waits are the HTTP client's, long ones the queue's.
    only: patients to look at, all when empty."""
    server = open_server(settings)
    circuit = Circuit()
    refresh = Refresher(
        service,
        store,
        server.read,
        clock=store.database.clock,
        oldest=timedelta(days=settings.number("replan_days")),
        write=service.sink is not None and settings.flag("write"),
    )
    jobs: dict[str, Handler] = {
        "refresh": refresh,
        "notice": NoticeHandler(store, server.client.base, server.read, only=only),
        "catch-up": Poller(store, server, service.source.patients, only=only),
    }
    benches = [Bench(store.jobs, jobs, circuit), feed_bench(settings, store)]
    if service.sink is not None:
        sending: dict[str, Handler] = {
            "plan": WriteBack(
                service.sink,
                lambda patient: consent_now(server, patient, store.database.clock()),
                service.audit,
            ),
            "audit": AuditSender(server),
        }
        benches.insert(0, Bench(store.outbox, sending, circuit))
    return Worker(benches, threads=threads, told=told)


def warm(knowledge: Knowledge) -> None:
    """Do once what the first piece of work would else wait for: a run, and the models that written resources are
    checked with (several seconds on a busy machine)."""
    warm_up(knowledge)
    for type_ in WRITE_ORDER:
        validate_resource({"resourceType": type_})


def audit_of(settings: Settings, store: Store) -> Auditor:
    """Who writes down every access to the server of `settings`."""
    base, _ = named_server(settings)
    return Auditor(store, base, send=settings.flag("send_audit"))


def open_keeper(
    settings: Settings, store: Store, endpoint: str, *, only: frozenset[str] = frozenset(), **how: Any
) -> tuple[Keeper, Subscriber]:
    """Who looks after subscriptions that send to `endpoint` ("" when there are none: then it only polls)."""
    server = open_server(settings)
    subscriber = Subscriber(server)
    sorter = Sorter(store, server.client.base, server.read, only)
    return Keeper(store, subscriber, sorter, endpoint, clock=store.database.clock, **how), subscriber

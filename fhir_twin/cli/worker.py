"""`fhir-twin worker`: do accepted work and send what is waiting, until stopped (SIGTERM or Ctrl-C: what is in hand is
finished first)."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.settings import Settings, load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store
from fhir_twin.wiring import open_renewal, open_service
from fhir_twin.wiring_feeds import open_feed_worker, with_feeds
from fhir_twin.wiring_work import audit_of, open_settings_store, open_worker, warm
from fhir_twin.worker.loop import Worker

SETTINGS = (
    "server", "token", "token_file", "basic_auth", "ca_bundle", "timeout", "retries", "retry_budget", "rate",
    "page_size", "threads", "post_search", "ai_label", "write", "knowledge", "cache", "store", "tenant", "lease",
    "queue_depth", "queue_free", "replan_days", "log_level",
    "intake_zone", "intake_processing", "intake_authorities",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Several workers may run on one store, also on several machines with PostgreSQL."
    parser.add_argument("--once", action="store_true", help="end when nothing is ready any more")
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N", help="pieces of work in hand (default: 2)"
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to finish what is in hand when stopped",
    )
    add_settings(parser, *SETTINGS)


def _worker(settings: Settings, store: Store, threads: int) -> Worker:
    """Without a FHIR server only feeds are worked off."""
    if not settings.text("server"):
        return open_feed_worker(settings, store)
    renewal = open_renewal(settings)
    service = with_feeds(open_service(settings, wait_for_server=True), store)
    service.audit = audit_of(settings, store)
    warm(service.knowledge)  # the first piece of work is as quick as the others
    renewal.follow(service.use)
    return open_worker(settings, service, store, threads=threads)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    store = open_settings_store(settings)
    worker = _worker(settings, store, max(1, arguments.at_once))
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
    what = settings.text("server") or "feeds only (no server)"
    print(f"working on {what} as tenant {store.tenant}", file=sys.stderr, flush=True)
    if arguments.once:
        worker.run_until_idle(float("inf"))
    else:
        worker.run(arguments.grace)
    dead = sum(Desk(q).counts().states.get("dead", 0) for q in (store.jobs, store.outbox))
    if dead:
        print(f"{dead} dead letters wait for a decision: fhir-twin queue list --state dead", file=sys.stderr)
    store.close()
    return 1 if dead and arguments.once else 0

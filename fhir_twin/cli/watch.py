"""`fhir-twin watch`: follow a server. Subscriptions where it has them and can reach us, polling else; then the work."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import timedelta
from typing import Any

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, TwinError
from fhir_twin.settings import Settings, load_settings
from fhir_twin.storage.store import Store
from fhir_twin.transport.subscriber import Subscriber
from fhir_twin.wiring import open_library, open_renewal, open_server, open_service
from fhir_twin.wiring_feeds import with_feeds
from fhir_twin.wiring_work import audit_of, open_keeper, open_settings_store, open_worker, warm
from fhir_twin.worker.keeper import Keeper, Wish
from fhir_twin.worker.loop import Worker
from fhir_twin.worker.poll import Poller

SETTINGS = (
    "server", "token", "token_file", "basic_auth", "ca_bundle", "timeout", "retries", "retry_budget", "rate",
    "page_size", "threads", "post_search", "ai_label", "write", "knowledge", "cache", "store", "tenant", "lease",
    "queue_depth", "queue_free", "replan_days", "host", "port", "api_key", "max_body", "log_level",
)  # fmt: skip
TYPES = (
    "Observation", "Condition", "MedicationRequest", "MedicationStatement", "AllergyIntolerance", "Procedure",
    "Consent", "Patient",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without --endpoint the server is polled. With it, it is asked to send notifications to ENDPOINT/ID, which "
        "must lead to this program's /hooks (host and port); a poll every --poll seconds still closes every gap."
    )
    parser.add_argument(
        "--endpoint", default="", metavar="URL", help="our address as the server sees it, to /hooks"
    )
    parser.add_argument(
        "--topic", default="", metavar="CANONICAL", help="subscribe to this topic (R4 backport)"
    )
    parser.add_argument(
        "--filter", action="append", default=[], metavar="Type?param=value", help="of the topic"
    )
    parser.add_argument(
        "--types", default=",".join(TYPES), metavar="LIST", help="resource types to subscribe to (no topic)"
    )
    parser.add_argument("--patient", nargs="+", default=[], metavar="ID", help="only these patients")
    parser.add_argument(
        "--poll", type=float, default=0.0, metavar="S", help="seconds between polls (30; with --endpoint 300)"
    )
    parser.add_argument(
        "--from-start", action="store_true", help="first read everything, not only what changes from now on"
    )
    parser.add_argument("--once", action="store_true", help="one poll and its work, then end")
    parser.add_argument(
        "--keep", action="store_true", help="leave the subscriptions on the server when this ends"
    )
    parser.add_argument(
        "--at-once", type=int, default=2, metavar="N", help="pieces of work in hand (default: 2)"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    if arguments.once and arguments.endpoint:
        raise InvalidInput("--once polls; it cannot wait for notifications (--endpoint)")
    store = open_settings_store(settings)
    renewal = open_renewal(settings)
    service = with_feeds(open_service(settings), store)
    service.audit = audit_of(settings, store)
    warm(service.knowledge)  # the first result is as quick as the others
    renewal.follow(service.use)
    only = frozenset(arguments.patient)
    worker = open_worker(settings, service, store, threads=max(1, arguments.at_once), only=only, told=_told)
    poll = arguments.poll or (300.0 if arguments.endpoint else 30.0)
    keeper, subscriber = open_keeper(
        settings, store, arguments.endpoint, only=only, poll_every=poll, tell=_say
    )
    Poller(store, open_server(settings), lambda: ()).begin(from_now=not arguments.from_start)
    if arguments.once:
        keeper.catch_up()
        worker.run_until_idle(float("inf"))
        return 0
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = _receive(settings, service, store, worker) if arguments.endpoint else None
    crew = threading.Thread(target=worker.run, name="worker", daemon=True)
    crew.start()
    try:
        if arguments.endpoint:
            _subscribe(arguments, keeper, subscriber)
        _say(f"watching {settings.text('server')}; polling every {poll:.0f} s; Ctrl-C ends it")
        _look_after(keeper, worker, stopping, min(poll, 30.0))
    finally:
        _end(arguments, keeper, server)
        worker.stop()
        crew.join(30)
        store.close()
    return 0


def _subscribe(arguments: argparse.Namespace, keeper: Keeper, subscriber: Subscriber) -> None:
    if not subscriber.offered():
        _say("the server offers no subscriptions; it is polled")
        return
    if arguments.topic:
        wishes = [Wish("topic", arguments.topic, tuple(arguments.filter), lasts=timedelta(days=7))]
    else:
        wishes = [Wish("classic", f"{t}?") for t in arguments.types.split(",") if t]
    for wish in wishes:
        try:
            keeper.want(wish)
            _say(f"subscribed: {wish.criteria}")
        except TwinError as error:
            _say(f"not subscribed: {wish.criteria} ({error.message}); its changes are polled")


def _receive(settings: Settings, service: Any, store: Store, worker: Worker) -> Any:
    import waitress

    from fhir_twin.web import create_app

    app = create_app(service, settings, lambda: open_library(settings), store, worker.wake)
    host, port = settings.text("host"), settings.integer("port")
    server = waitress.create_server(app, host=host, port=port, threads=4, ident=None)
    threading.Thread(target=server.run, name="hooks", daemon=True).start()
    _say(f"notifications are received at http://{host}:{server.effective_port}/hooks")
    return server


def _look_after(keeper: Keeper, worker: Worker, stopping: threading.Event, every: float) -> None:
    while True:
        try:
            keeper.tick()
        except TwinError as error:  # the server or the store is away: the next round tries again
            log.failure("watch.tick", error, code=error.code)
        worker.wake()
        if stopping.wait(every):
            return


def _end(arguments: argparse.Namespace, keeper: Keeper, server: Any) -> None:
    if arguments.endpoint and not arguments.keep:
        try:
            keeper.release()
            _say("subscriptions taken away")
        except TwinError as error:
            _say(f"a subscription could not be taken away: {error.message}")
    if server is not None:
        server.close()


def _told(what: str, box: str, kind: str, seconds: float) -> None:
    _say(f"{box} {kind}: {what} in {seconds:.2f} s")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

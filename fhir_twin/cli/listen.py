"""`fhir-twin listen`: HL7 v2 over MLLP. AA and CA mean that the message is on disk."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.intake.mllp import Listener
from fhir_twin.settings import load_settings
from fhir_twin.wiring_feeds import mllp_port, open_feed_worker, open_reception
from fhir_twin.wiring_work import open_settings_store

SETTINGS = (
    "mllp_host", "mllp_port", "mllp_idle", "mllp_connections", "mllp_certificate", "mllp_key", "mllp_client_ca",
    "mllp_plain", "intake_zone", "intake_processing", "intake_authorities", "server", "store", "tenant", "lease",
    "queue_depth", "queue_free", "knowledge", "log_level",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Messages become records in the store. With --server each message also asks for a new look at the patient's "
        "twin, which `fhir-twin worker` takes. See what came: fhir-twin queue list."
    )
    parser.add_argument(
        "--no-work", action="store_true", help="only take messages; `fhir-twin worker` makes records of them"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    port = mllp_port(settings)
    store = open_settings_store(settings)
    reception = open_reception(settings, store)
    listener = Listener(
        port, lambda data: reception.hl7v2(data).replies, lambda: reception.too_large().replies
    )
    worker = None if arguments.no_work else open_feed_worker(settings, store)
    working = threading.Thread(target=worker.run, daemon=True) if worker is not None else None
    if working is not None:
        working.start()
    stopping = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
    serving = listener.start()
    tls = "TLS" if port.certificate else "no TLS"
    print(
        f"listening for HL7 v2 on {port.host}:{listener.port} ({tls}), tenant {store.tenant}",
        file=sys.stderr,
        flush=True,
    )
    while not stopping.wait(0.5) and serving.is_alive():
        continue
    listener.stop()
    if worker is not None and working is not None:
        worker.stop()
        working.join(30.0)
    store.close()
    return 0

"""A process that loads everything once and then forks intake and worker processes on demand, to be killed.

    python nursery.py CONFIG      (JSON: server, store, subscription, lease)

Each line "intake" or "worker" on stdin forks one; the answer is its process id. All intakes share one listening
socket, so that a sender only ever knows one address.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from fhir_twin.knowledge import load_knowledge
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.storage.work import Limits
from fhir_twin.wiring import open_service
from fhir_twin.wiring_work import open_settings_store, open_worker, warm
from fhir_twin.worker.matters import limits_of


def main() -> None:
    config = json.loads(sys.argv[1])
    settings = load_settings({k: config[k] for k in ("server", "store", "lease")}, {})
    service = open_service(settings, load_knowledge())
    warm(service.knowledge)
    limits_of(service.knowledge)  # as all that a worker needs and a kill should not have to wait for
    gc.collect()
    gc.freeze()  # a fork need not copy what it only looks at
    import waitress  # loaded before the forks

    from fhir_twin.web import create_app

    assert waitress
    assert create_app
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    print(listening.getsockname()[1], flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.close(0)
            (_intake if line.strip() == "intake" else _worker)(settings, service, listening)
            os._exit(0)
        print(child, flush=True)


def _intake(settings: Any, service: TwinService, listening: socket.socket) -> None:
    import waitress

    from fhir_twin.web import create_app

    store = open_settings_store(settings)
    app = create_app(service, settings, None, store)
    waitress.create_server(app, sockets=[listening], threads=3).run()


def _worker(settings: Any, service: TwinService, listening: socket.socket) -> None:
    listening.close()
    store = open_settings_store(settings)
    for queue in (store.jobs, store.outbox):
        # What kills these workers is not their work: it must not be taken for poison.
        queue.limits = Limits(crashes=1_000_000)
    worker = open_worker(settings, service, store, threads=1)
    worker.poll = 0.02
    worker.run()


if __name__ == "__main__":
    main()

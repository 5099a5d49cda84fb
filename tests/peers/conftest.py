"""Our faces on real sockets, for other people's clients (`make peers` installs them)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from fhir_twin.intake.mllp import Listener, Port
from fhir_twin.knowledge import load_knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.web import create_app
from fhir_twin.wiring import open_server, open_service
from fhir_twin.wiring_feeds import open_reception

PATIENT = stories()[0][0]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def facade() -> Iterator[str]:
    """Base of the FHIR face; its record server is a sandbox with three sample patients."""
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        settings = load_settings({"server": sandbox.base}, {})
        for bundle in load_bundles()[:3]:
            open_server(settings).transaction(bundle)
        server = make_server(
            "127.0.0.1", 0, create_app(open_service(settings, load_knowledge()), settings), threaded=True
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with contextlib.closing(server.socket):
            yield f"http://127.0.0.1:{server.server_port}/fhir"
            server.shutdown()
            thread.join()


@dataclass
class Door:
    port: int
    store: Store

    def kept(self) -> int:
        return sum(Desk(self.store.jobs).counts().states.values())


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """An MLLP listener with a store on disk."""
    settings = load_settings({"store": str(tmp_path / "store.db")}, {})
    store = open_store(str(tmp_path / "store.db"))
    reception = open_reception(settings, store)
    listener = Listener(
        Port(), lambda data: reception.hl7v2(data).replies, lambda: reception.too_large().replies
    )
    listener.start()
    yield Door(listener.port, store)
    listener.stop()
    store.close()


@pytest.fixture
def patient() -> str:
    return PATIENT

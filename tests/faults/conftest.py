"""A FHIR server that misbehaves, a store, and a worker with the real write-back: one plan to be written."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from faulty import FaultyProxy

from fhir_twin.fhir.encode import dump_json
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.storage.work import NewWork, Row
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.wiring import open_server, open_service
from fhir_twin.worker.circuit import Circuit
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.verdict import Patience
from fhir_twin.worker.write_back import WriteBack


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()


class Line:
    """Everything for one plan on its way through a faulty line. `direct` reaches the server past the proxy."""

    def __init__(self, base: str, knowledge: Knowledge, folder: Path) -> None:
        self.direct: FhirServer = open_server(load_settings({"server": base}, {}))
        for bundle in load_bundles()[:2]:
            self.direct.transaction(bundle)
        self.proxy = FaultyProxy(base)
        fast = {"timeout": 1.5, "retries": 0, "retry_budget": 1.0}
        self.settings = load_settings({"server": self.proxy.base, **fast}, {})
        self.service: TwinService = open_service(self.settings, knowledge)
        for client in (self.service.source.server.client, self.service.sink._server.client):  # type: ignore[union-attr]
            client.limits = replace(client.limits, read=1.5, total=3.0)
        self.store: Store = open_store(str(folder / "store.db"), lease=1.0)
        self.patient = stories()[0][0]
        self.circuit = Circuit()
        self.patience = Patience(attempts=6, first=0.05, longest=0.2, outage=20)
        assert self.service.sink is not None
        self.handler = WriteBack(self.service.sink, lambda _: "")
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        bench = Bench(self.store.outbox, {"plan": self.handler}, self.circuit)
        return Worker([bench], threads=1, poll=0.02, patience=self.patience)

    def plan(self) -> int:
        """A plan in the outbox; its id."""
        done, _, _ = self.service.run_whole(self.patient, datetime.now(UTC))
        new = NewWork("plan", f"Patient/{self.patient}", dump_json(done.output), "p1", blocks=False)
        return self.store.outbox.accept(new).id

    def row(self, id_: int) -> Row:
        return Desk(self.store.outbox).row(id_)

    def held(self) -> dict[str, int]:
        """How many of our resources the server holds, by type, each business identifier once or not."""
        found: dict[str, int] = {}
        for type_ in (
            "CarePlan",
            "Goal",
            "RiskAssessment",
            "ServiceRequest",
            "MedicationRequest",
            "DetectedIssue",
        ):
            keys = [k for k in map(_key, self.direct.search(type_, {"patient": self.patient})) if k]
            found[type_] = len(keys)
            assert len(keys) == len(set(keys)), f"two copies of one {type_}"
        return found


@pytest.fixture
def line(knowledge: Knowledge, tmp_path: Path) -> Iterator[Line]:
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        made = Line(sandbox.base, knowledge, tmp_path)
        yield made
        made.proxy.close()
        made.store.close()


@pytest.fixture
def until() -> Callable[..., None]:
    def wait(true: Callable[[], Any], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not come about in time"
            time.sleep(0.02)

    return wait


def _key(resource: dict[str, Any]) -> str:
    for identifier in resource.get("identifier", ()):
        if "/ids/fhir-twin-" in identifier["system"] and not identifier["system"].endswith("content"):
            return f"{identifier['system']}|{identifier['value']}"
    return ""

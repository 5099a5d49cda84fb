"""SIGKILL at random moments across intake, planning and write-back: lost 0, duplicated 0, disorder 0.

200 kills; FHIR_TWIN_KILLS=1000 for the long form (`make chaos`). Real parts throughout: notifications over HTTP, the
store on disk, workers that run the whole chain, a FHIR server that outlives them all. The checker compares three
histories: what was sent and acknowledged, what the twins hold, what the server was given.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from fhir_twin.assimilation.keep import load_twin
from fhir_twin.knowledge import load_knowledge
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.storage.subscriptions import Subscribed, hash_of
from fhir_twin.wiring import open_server, open_service

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("FHIR_TWIN_KILLS", "200"))
PER_PATIENT = max(8, KILLS // 16)
LEASE = 0.2
SECRET = "between-us"
# (LOINC, unit, values): some stay where they are, some cross limits, so that both ways are taken.
SERIES = [
    ("2823-3", "mmol/L", (4.2, 4.3, 6.2, 4.4, 4.5)),
    ("8480-6", "mm[Hg]", (131, 133, 165, 134, 132)),
    ("29463-7", "kg", (81.0, 81.2, 81.1, 81.3, 81.0)),
]


class Crew:
    """The nursery, and who of its children lives: 1 intake, 2 workers, started again as soon as they are killed."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py")), json.dumps(config)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.living = {self._spawn(role): role for role in ("intake", "worker", "worker")}

    def _spawn(self, role: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(role + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def kill_one(self, pick: random.Random) -> str:
        pid = pick.choice(sorted(self.living))
        role = self.living.pop(pid)
        os.kill(pid, signal.SIGKILL)
        self.living[self._spawn(role)] = role
        return role

    def close(self) -> None:
        for pid in self.living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(20)
        self._process.stdout.close()  # type: ignore[union-attr]


class Clinic:
    """Writes Observations to the server and tells us of each until we say that we have it; some are told twice."""

    def __init__(self, base: str, port: int, patient: str, seed: int, lasts: float) -> None:
        self._lasts = lasts
        self.patient = patient
        self.acknowledged: list[str] = []
        self._server = open_server(load_settings({"server": base}, {}))
        self._url = f"http://127.0.0.1:{port}/hooks/sub"
        self._random = random.Random(seed)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        start = datetime.now(UTC) - timedelta(days=2 * PER_PATIENT)
        began = time.monotonic()
        for i in range(PER_PATIENT):
            code, unit, values = SERIES[i % len(SERIES)]
            resource = self._server.create(
                {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                    "subject": {"reference": f"Patient/{self.patient}"},
                    "effectiveDateTime": (start + timedelta(days=2 * i)).isoformat(),
                    "valueQuantity": {"value": values[i // 3 % 5], "unit": unit, "code": unit,
                                      "system": "http://unitsofmeasure.org"},
                }
            )  # fmt: skip
            for _ in range(2 if self._random.random() < 0.3 else 1):
                self._tell(json.dumps(resource, default=float))
            self.acknowledged.append(f"Observation/{resource['id']}")
            due = began + (i + 1) * self._lasts / PER_PATIENT  # spread over all the kills
            time.sleep(max(0.0, due - time.monotonic()))

    def _tell(self, body: str) -> None:
        headers = {
            "Content-Type": "application/fhir+json",
            "Authorization": f"Bearer {SECRET}",
            "Connection": "close",
        }
        while True:
            with contextlib.suppress(
                requests.RequestException
            ):  # the receiver was killed: the sender repeats
                if requests.post(self._url, data=body, headers=headers, timeout=20).status_code == 200:
                    return
            time.sleep(0.01)


def test_random_kills_lose_double_and_disorder_nothing(tmp_path: Path) -> None:
    pick = random.Random(20261128)
    url = str(tmp_path / "store.db")
    with contextlib.closing(serve_sandbox(port=0)) as sandbox, contextlib.closing(open_store(url)) as store:
        server = open_server(load_settings({"server": sandbox.base}, {}))
        for bundle in load_bundles():
            server.transaction(bundle)
        store.subscriptions.add(
            Subscribed("sub", "s1", "classic", "Observation?", hash_of(SECRET), "active", "", 0, 0, 0, 0, 0)
        )
        config = {"server": sandbox.base, "store": url, "lease": LEASE}
        with contextlib.closing(Crew(config)) as crew:
            patients = [s[0] for s in stories()[:4]]
            pace = max(0.08, _seconds_of_one_run(sandbox.base, patients[0]) / 2)
            clinics = [
                Clinic(sandbox.base, crew.port, p, i, 0.9 * KILLS * pace) for i, p in enumerate(patients)
            ]
            for clinic in clinics:
                clinic.thread.start()
            killed: Counter[str] = Counter()
            peace = KILLS * 0.3  # seconds in all that may be spent on letting somebody finish something
            for kill in range(KILLS):
                if kill % 4 == 0:
                    peace -= _progress(store, peace)
                # Killed about as often as a piece of work takes here: on a slow machine nobody would else live long
                # enough to finish anything, and on a fast one the kills would miss it.
                time.sleep(pick.expovariate(1 / pace))
                killed[crew.kill_one(pick)] += 1
            for clinic in clinics:
                clinic.thread.join(300)
                assert not clinic.thread.is_alive()
            _finish(store)
        history = check(store, server, {c.patient: c.acknowledged for c in clinics})
    print(f"{sum(killed.values())} kills {dict(killed)}; {history}")
    assert history["lost"] == history["duplicated"] == history["disorder"] == 0
    assert killed["intake"] > KILLS / 10
    assert killed["worker"] > KILLS / 4


def _seconds_of_one_run(base: str, patient: str) -> float:
    service = open_service(load_settings({"server": base}, {}))
    service.run_whole(patient, datetime.now(UTC))
    start = time.monotonic()
    service.run_whole(patient, datetime.now(UTC))
    return time.monotonic() - start


def _progress(store: Store, seconds: float) -> float:
    """Wait until another plan was made or written, at most `seconds`; how long it took. On a slow machine nobody would
    else live long enough, and only the peace at the end would be tested."""
    start, before = time.monotonic(), _made(store)
    while _made(store) == before and time.monotonic() - start < seconds and before < 4 * PER_PATIENT:
        time.sleep(0.02)
    return time.monotonic() - start


def _made(store: Store) -> int:
    made = Desk(store.jobs).rows(("done",), kind="refresh", limit=10_000)
    return len(made) + len(Desk(store.outbox).rows(("done",), limit=10_000))


def _finish(store: Store, seconds: float = 300.0) -> None:
    """Left in peace, the workers must come to an end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        states = [Desk(q).counts().states for q in (store.jobs, store.outbox)]
        if not any(s.get(name) for s in states for name in ("queued", "running")):
            return
        time.sleep(0.1)
    raise AssertionError(f"not done after {seconds} s: {states}")


def check(store: Store, server: Any, acknowledged: dict[str, list[str]]) -> dict[str, int]:
    """What is missing, double, or out of order, over all three histories."""
    found = Counter({"lost": 0, "duplicated": 0, "disorder": 0, "observations": 0, "plans written": 0})
    known = load_knowledge().biomarkers
    for patient, told in acknowledged.items():
        kept = store.twins.get(patient)
        twin = load_twin(kept.twin, known) if kept else None
        # A weight also makes a body mass index: what is derived is no second copy.
        given = [p for p in twin.points if not any(f.startswith("derived:") for f in p.flags)] if twin else []
        points = Counter(p.source.split("/_history/")[0] for p in given)
        for reference in told:
            found["observations"] += 1
            found["lost"] += not points.get(reference)
            found["duplicated"] += max(0, points.get(reference, 0) - 1)
            found["twice in a twin"] += max(0, points.get(reference, 0) - 1)
        ours = server.search("CarePlan", {"patient": patient})
        keys = Counter(
            i["value"] for p in ours for i in p.get("identifier", ()) if i["system"].endswith("care-plan")
        )
        found["lost"] += not keys
        found["duplicated"] += sum(n - 1 for n in keys.values())
        found["twice on the server"] += sum(n - 1 for n in keys.values())
        for type_ in ("Goal", "RiskAssessment", "DetectedIssue", "MedicationRequest", "ServiceRequest"):
            held = Counter(_key(r) for r in server.search(type_, {"patient": patient}))
            found["duplicated"] += sum(n - 1 for key, n in held.items() if key)
            found["twice on the server"] += sum(n - 1 for key, n in held.items() if key)
    for queue in (store.jobs, store.outbox):
        rows = Desk(queue).rows(limit=100_000)
        found["lost"] += sum(r.state != "done" for r in rows)
        lanes: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            lanes[row.lane].append(row)
        for lane in lanes.values():
            finished = [r.finished for r in lane]
            found["disorder"] += sum(a > b for a, b in itertools.pairwise(finished))
        if queue is store.outbox:
            found["plans written"] = len(rows)
    for row in Desk(store.jobs).rows(kind="refresh", limit=100_000):
        found[json.loads(Desk(store.jobs).row(row.id).reply or b'{"state": "-"}')["state"]] += 1
    return dict(found)


def _key(resource: dict[str, Any]) -> str:
    for identifier in resource.get("identifier", ()):
        if "/ids/fhir-twin-" in identifier["system"] and not identifier["system"].endswith("content"):
            return f"{identifier['system']}|{identifier['value']}"
    return ""

"""News about a patient: the stored twin moves in O(1) and equals a rebuild; the plan is made again when it matters."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from fhir_twin.assimilation.keep import load_twin
from fhir_twin.fhir.changes import as_change
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.change import Change
from fhir_twin.sandbox import serve_sandbox
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.service import TwinService
from fhir_twin.settings import load_settings
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.wiring import open_server, open_service
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.refresh import Refresher, refresh_work
from fhir_twin.worker.write_back import WriteBack


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


class Site:
    """A sandbox with one patient, a store and a worker; `now` is moved by hand."""

    def __init__(self, base: str, knowledge: Knowledge, folder: Path) -> None:
        settings = load_settings({"server": base}, {})
        self.now = time.time()
        self.server = open_server(settings)
        for bundle in load_bundles():
            self.server.transaction(bundle)
        self.service: TwinService = open_service(settings, knowledge)
        self.store: Store = open_store(str(folder / "store.db"), clock=lambda: self.now)
        self.refresher = Refresher(self.service, self.store, self.server.read, clock=lambda: self.now)
        self.withheld = ""
        sink = self.service.sink
        assert sink is not None
        self.worker = Worker(
            [
                Bench(self.store.outbox, {"plan": WriteBack(sink, lambda _: self.withheld)}),
                Bench(self.store.jobs, {"refresh": self.refresher}),
            ]
        )
        self.patient = next(iter(self.service.source.patients()))
        self._keys = 0

    def news(self, *changes: Change, patient: str = "") -> str:
        """What came of it."""
        self._keys += 1
        work = refresh_work(patient or self.patient, "test", changes, key=f"k{self._keys}")
        id_ = self.store.jobs.accept(work).id
        while self.worker.step():
            pass
        row = Desk(self.store.jobs).row(id_)
        assert row.state == "done", row.reason
        return str(orjson.loads(row.reply)["state"])

    def observe(self, code: str, value: float, unit: str, **more: Any) -> Change:
        when = datetime.fromtimestamp(self.now, UTC).isoformat()
        resource = {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                      "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": f"Patient/{self.patient}"},
            "effectiveDateTime": when,
            "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
            **more,
        }  # fmt: skip
        return as_change(self.server.create(resource))

    def twin(self) -> Any:
        kept = self.store.twins.get(self.patient)
        assert kept is not None
        return load_twin(kept.twin, self.service.knowledge.biomarkers)


@pytest.fixture
def site(knowledge: Knowledge, tmp_path: Path) -> Iterator[Site]:
    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        yield Site(sandbox.base, knowledge, tmp_path)


def plans(site: Site) -> int:
    return sum(Desk(site.store.outbox).counts().states.values())


def test_a_small_change_moves_the_twin_in_o1_and_the_plan_stands(site: Site) -> None:
    assert site.news() == "planned"
    assert plans(site) == 1
    before = site.twin()
    value = before.estimate("ldl").mean
    site.now += 3 * 86400
    site.news(site.observe("13457-7", round(value), "mg/dL"))  # the first of its kind in a while: planned
    base = plans(site)
    before = site.twin()
    site.now += 3 * 86400
    value = before.estimate("ldl").mean
    change = site.observe("13457-7", round(value + 0.4, 1), "mg/dL")
    assert site.news(change) == "twin moved, plan stands"
    assert plans(site) == base
    after = site.twin()
    assert len(after.points) > len(before.points)
    whole, _, _ = site.service.run_whole(site.patient, after.as_of)
    np.testing.assert_allclose(after.mean, whole.twin.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(after.covariance, whole.twin.covariance, rtol=0, atol=1e-9)
    assert site.news(change) == "nothing new"  # the same version again
    assert site.news(Change("Observation", change.id, change.version)) == "nothing new"


def test_a_value_across_a_limit_makes_a_new_plan(site: Site) -> None:
    site.news()
    site.now += 2 * 86400
    site.news(site.observe("2823-3", 4.4, "mmol/L"))
    base = plans(site)
    site.now += 2 * 86400
    assert site.news(site.observe("2823-3", 6.1, "mmol/L")) == "planned"
    assert plans(site) == base + 1
    row = Desk(site.store.outbox).rows()[-1]
    assert row.state == "done"
    assert Desk(site.store.outbox).row(row.id).reply


def test_an_amended_or_deleted_value_or_a_diagnosis_reads_the_whole_record(site: Site) -> None:
    site.news()
    change = site.observe("2823-3", 4.4, "mmol/L")
    site.news(change)
    assert change.resource is not None
    amended = {
        **change.resource,
        "status": "amended",
        "valueQuantity": {**change.resource["valueQuantity"], "value": 5.8},
    }
    assert site.news(as_change(site.server.update(amended))) == "planned"
    assert any(p.value == 5.8 for p in site.twin().points)
    assert site.news(Change("Observation", change.id, deleted=True)) == "planned"
    condition = site.server.create({"resourceType": "Condition", "subject": {"reference": f"Patient/{site.patient}"},
                                    "code": {"text": "gout"}})  # fmt: skip
    assert site.news(Change("Condition", str(condition["id"]))) == "planned"


def test_our_own_plan_is_no_news(site: Site) -> None:
    site.news()
    plan = site.server.search("CarePlan", {"patient": site.patient})[0]
    assert site.news(as_change(plan)) == "nothing new"


def test_somebody_elses_value_is_never_taken_in(site: Site) -> None:
    site.news()
    other = next(p for p in site.service.source.patients() if p != site.patient)
    change = site.observe("2823-3", 4.4, "mmol/L", subject={"reference": f"Patient/{other}"})
    id_ = site.store.jobs.accept(refresh_work(site.patient, "test", (change,), key="foreign")).id
    while site.worker.step():
        pass
    assert Desk(site.store.jobs).row(id_).state == "dead"


def test_consent_withdrawn_between_plan_and_write_holds_the_plan_back(site: Site) -> None:
    site.withheld = "consent denies the use of this record"
    site.news()
    row = Desk(site.store.outbox).rows()[-1]
    assert b"withheld" in Desk(site.store.outbox).row(row.id).reply
    assert site.server.search("CarePlan", {"patient": site.patient, "_tag": "fhir-twin"}) == []


def test_a_patient_who_is_gone_is_not_kept(site: Site) -> None:
    site.news()
    kept = site.store.twins.get(site.patient)
    assert kept is not None
    with site.store.database.write() as tx:
        site.store.twins.keep(replace(kept, patient="gone", seen={"Observation/1": "1"}), tx, anew=True)
    assert "no such patient" in site.news(patient="gone")
    assert site.store.twins.patients() == [site.patient]
    assert site.store.twins.version("gone", "Observation/1") is None


def test_a_clock_a_little_ahead_of_ours_loses_no_value(site: Site) -> None:
    site.news()
    site.now += timedelta(minutes=5).total_seconds()
    change = site.observe("2823-3", 4.6, "mmol/L")
    site.now -= timedelta(minutes=5).total_seconds()
    site.news(change)
    assert any(p.source.startswith(change.reference) for p in site.twin().points)

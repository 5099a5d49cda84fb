"""Writing a plan to a real HAPI FHIR server: accepted, valid, idempotent, respectful (standards.md 1.7 to 1.9)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from lxml import etree

sys.path.insert(0, str(Path(__file__).parents[1]))
from write_samples import ACE, STATIN, plan

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.digest import digest, stated
from fhir_twin.fhir.identity import identity_of
from fhir_twin.fhir.write import write_plan
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.fhir.xml import from_xml, to_xml
from fhir_twin.model.plan import Plan
from fhir_twin.model.written import Written
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.plan_writer import PlanWriter

pytestmark = pytest.mark.hapi

Json = dict[str, Any]
STRONGER = replace(STATIN, dose_text="80 mg once daily", dose_amount=Decimal("80"))


class Bench:
    """A server, a patient with the record that the sample plan speaks of, and a writer."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.server = FhirServer(HttpClient(base))
        self.writer = PlanWriter(self.server)
        self.patient = self._new({"resourceType": "Patient", "gender": "female", "birthDate": "1961-02-03"})
        subject = {"reference": f"Patient/{self.patient}"}
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "subject": subject,
            "code": {"text": "x"},
        }
        order = {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "subject": subject,
            "medicationCodeableConcept": {"text": "ibuprofen"},
        }
        condition = {"resourceType": "Condition", "subject": subject, "code": {"text": "hypertension"}}
        self.ids = {
            "pat-1": self.patient,
            "cond-1": self._new(condition),
            "ldl-1": self._new(observation),
            "bp-1": self._new(observation),
            "nsaid-1": self._new(order),
        }

    def _new(self, resource: Json) -> str:
        return str(self.server.create(resource)["id"])

    def plan(self, **changes: Any) -> Plan:
        made: Plan = self._real(plan(**changes))
        return made

    def write(self, **changes: Any) -> Written:
        bundle = write_plan(self.plan(**changes), base=self.base)
        try:
            return self.writer.write(self.patient, bundle)
        except InvalidInput as error:
            pytest.fail(f"{error.message}: {[(i.diagnostics, i.expression) for i in error.issues]}")

    def all(self, type_: str) -> list[Json]:
        found = self.server.search(type_, {"patient": f"Patient/{self.patient}"})
        return [r for r in found if identity_of(r) is not None]

    def validate(self, resource: Json) -> list[str]:
        body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": resource}]}
        answer = requests.post(
            f"{self.base}/{resource['resourceType']}/$validate",
            data=json.dumps(body, default=float),
            headers={"Content-Type": "application/fhir+json"},
            timeout=120,
        ).json()
        return [i["diagnostics"] for i in answer["issue"] if i["severity"] in ("error", "fatal")]

    def edit(self, resource: Json, **changes: Any) -> Json:
        """What a clinician's EHR does: read, change, write."""
        current = self.server.read(resource["resourceType"], resource["id"])
        assert current is not None
        return self.server.update({**current, **changes}, if_match=current["meta"]["versionId"])

    def _real(self, value: Any) -> Any:
        """The sample's ids replaced by the server's."""
        if isinstance(value, str):
            for sample, real in self.ids.items():
                value = value.replace(sample, real)
            return value
        if isinstance(value, tuple):
            return tuple(self._real(v) for v in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: self._real(getattr(value, f.name)) for f in fields(value)})
        return value


@pytest.fixture
def bench(hapi: str) -> Iterator[Bench]:
    bench = Bench(hapi)
    yield bench
    bench.server.close()


def _counts(written: Written) -> set[str]:
    return {i.action for i in written.items if i.type != "Device"}


def test_transaction_accepted_and_every_resource_valid(bench: Bench) -> None:
    """Issue 3: validate every written resource with $validate, no error."""
    written = bench.write()
    assert written.mode == "transaction"
    assert _counts(written) == {"create"}
    for item in written.items:
        type_, id_ = item.reference.split("/")[:2]
        stored = bench.server.read(type_, id_)
        assert stored is not None
        assert bench.validate(stored) == [], type_
    care_plan = bench.all("CarePlan")[0]
    for provenance in bench.server.search("Provenance", {"target": f"CarePlan/{care_plan['id']}"}):
        assert bench.validate(provenance) == []


def test_what_hapi_stores_is_what_we_sealed(bench: Bench) -> None:
    """Decision 0020: our digests see through what HAPI does to a resource (HP-5, narrative, urns)."""
    written = bench.write()
    assert not any("changed what we wrote" in i.diagnostics for i in written.issues)
    for type_ in ("CarePlan", "MedicationRequest", "Goal", "RiskAssessment", "DetectedIssue", "RequestGroup"):
        for stored in bench.all(type_):
            said = stated(stored)
            assert said is not None
            assert said.seal == digest(stored, bench.base).seal, type_


def test_second_run_writes_nothing(bench: Bench) -> None:
    bench.write()
    care_plan = bench.all("CarePlan")[0]
    again = bench.write()
    assert _counts(again) == {"unchanged"}
    assert bench.all("CarePlan")[0]["meta"]["versionId"] == care_plan["meta"]["versionId"]
    provenances = bench.server.search("Provenance", {"target": f"CarePlan/{care_plan['id']}"})
    assert len(provenances) == 1


def test_changed_input_updates_the_same_ids(bench: Bench) -> None:
    bench.write()
    before = {
        r["id"]: r["meta"]["versionId"] for t in ("CarePlan", "MedicationRequest") for r in bench.all(t)
    }
    written = bench.write(recommendations=(STRONGER, *plan().recommendations[1:]))
    after = {r["id"]: r["meta"]["versionId"] for t in ("CarePlan", "MedicationRequest") for r in bench.all(t)}
    assert before.keys() == after.keys()
    assert sum(before[i] != after[i] for i in before) == 2, "the statin and the plan, nothing else"
    assert written.count("create") == 0


def test_activated_plan_untouched(bench: Bench) -> None:
    bench.write()
    active = bench.edit(bench.all("CarePlan")[0], status="active", intent="plan")
    assert "left-to-clinician" in _counts(bench.write())
    written = bench.write(recommendations=(STRONGER, *plan().recommendations[1:]))
    plans = {r["id"]: r for r in bench.all("CarePlan")}
    assert len(plans) == 2
    assert plans[active["id"]]["meta"]["versionId"] == active["meta"]["versionId"]
    assert plans[active["id"]]["status"] == "active"
    assert any("new draft" in i.diagnostics for i in written.issues)
    again = bench.write(recommendations=(STRONGER, *plan().recommendations[1:]))
    assert not again.changed


def test_withdrawn_items_are_cancelled_and_stay_valid(bench: Bench) -> None:
    bench.write()
    written = bench.write(recommendations=(STATIN, ACE), questions=(), findings=(), risks=())
    gone = [i for i in written.items if i.action == "cancel"]
    assert {i.type for i in gone} >= {
        "MedicationRequest",
        "ServiceRequest",
        "NutritionOrder",
        "CommunicationRequest",
        "RequestGroup",
        "DetectedIssue",
        "RiskAssessment",
        "GuidanceResponse",
    }
    for item in gone:
        type_, id_ = item.reference.split("/")[:2]
        stored = bench.server.read(type_, id_)
        assert stored is not None, "withdrawn, not deleted (CP-2)"
        assert stored["status"] in ("cancelled", "revoked", "success")
        assert bench.validate(stored) == [], type_
    assert not bench.write(recommendations=(STATIN, ACE), questions=(), findings=(), risks=()).changed


def test_refused_plan_revokes_goal_and_plan(bench: Bench) -> None:
    bench.write()
    bench.write(refused="deceased", findings=(), questions=(), risks=())
    assert bench.all("CarePlan")[0]["status"] == "revoked"
    assert {g["lifecycleStatus"] for g in bench.all("Goal")} == {"cancelled"}
    for stored in (*bench.all("CarePlan"), *bench.all("Goal")):
        assert bench.validate(stored) == []


def test_ordered_single_writes_on_hapi(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """TX-4: as on a server without transactions."""
    capability = bench.server.capability()
    monkeypatch.setattr(type(capability), "supports_system", lambda self, name: False)
    written = bench.write()
    assert written.mode == "single"
    assert not bench.write().changed


def test_document_where_care_plans_are_read_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    capability = bench.server.capability()
    offered = type(capability).supports
    monkeypatch.setattr(
        type(capability),
        "supports",
        lambda self, type_, how: (type_, how) != ("CarePlan", "create") and offered(self, type_, how),
    )
    written = bench.write()
    assert written.mode == "document"
    (document,) = bench.all("DocumentReference")
    assert bench.validate(document) == []
    assert not bench.write().changed


def test_four_workers_at_once_make_one_plan(bench: Bench) -> None:
    """E6 and ID-8: separate writers share no lock, as separate processes would."""
    bundle = write_plan(bench.plan(), base=bench.base)
    writers = [PlanWriter(FhirServer(HttpClient(bench.base))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda w: w.write(bench.patient, bundle), writers))
    assert len(bench.all("CarePlan")) == 1
    assert len(bench.all("MedicationRequest")) == 4


def test_sources_unknown_to_the_server(bench: Bench) -> None:
    bench.ids["ldl-1"] = "does-not-exist"
    written = bench.write()
    assert any("not on this server" in i.diagnostics for i in written.issues)
    assert len(bench.all("CarePlan")) == 1
    assert not bench.write().changed


def test_desired_bundle_alone_is_accepted(bench: Bench) -> None:
    """The dry run's Bundle can be posted by hand: conditional updates (ID-2)."""
    bundle = write_plan(bench.plan(), base=bench.base, options=WriteOptions(label="DEVAST"))
    answer = bench.server.transaction(bundle)
    assert all(e["response"]["status"].startswith("20") for e in answer["entry"])


def test_hapis_xml_reads_as_its_json_and_ours_is_taken(bench: Bench) -> None:
    """E13: another implementation's XML is the oracle for `fhir.xml`, in both directions."""
    bench.write()
    for type_ in (
        "CarePlan",
        "MedicationRequest",
        "Goal",
        "RiskAssessment",
        "DetectedIssue",
        "GuidanceResponse",
    ):
        stored = bench.all(type_)[0]
        url = f"{bench.base}/{type_}/{stored['id']}"
        theirs = requests.get(url, headers={"Accept": "application/fhir+xml"}, timeout=60).content
        assert _plain(from_xml(theirs)) == _plain(stored), type_
        answer = requests.put(
            url,
            data=to_xml(stored),
            headers={"Content-Type": "application/fhir+xml", "Accept": "application/fhir+json"},
            timeout=60,
        )
        assert answer.status_code == 200, "HP-8: the same content, so no new version"
        assert answer.json()["meta"]["versionId"] == stored["meta"]["versionId"], type_


def _plain(value: Any) -> Any:
    """Numbers as Decimals, narratives as canonical XML: what may differ between two ways to write one thing."""
    if isinstance(value, dict):
        return {k: _canonical(v) if k == "div" else _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


def _canonical(div: str) -> bytes:
    return etree.tostring(etree.fromstring(div), method="c14n")


def test_many_patients_at_once_with_a_new_release(hapi: str) -> None:
    """The first patients of a new release race for its Device; all are written, and the next run writes nothing."""
    benches = [Bench(hapi) for _ in range(4)]
    release = f"m-{benches[0].patient}"
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda b: b.write(model_version=release), benches))
    assert all(w.mode == "transaction" and w.count("create") >= 15 for w in written)
    assert not any(b.write(model_version=release).changed for b in benches)

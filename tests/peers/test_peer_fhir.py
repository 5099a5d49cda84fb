"""The FHIR face read by other people's clients: fhirpy, fhirclient, smart-fetch (E13, F1)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's code is not ours to warn about


def test_fhirpy(facade: str, patient: str) -> None:
    fhirpy = pytest.importorskip("fhirpy", reason="needs fhirpy (make peers)")
    client = fhirpy.SyncFHIRClient(facade)
    risks = client.resources("RiskAssessment").search(patient=patient)
    assert len(risks.limit(3).fetch_all()) == risks.count() > 3
    [plan] = client.resources("CarePlan").search(patient=patient).fetch_all()
    assert plan["status"] == "draft"
    goal = client.reference("Goal", plan["goal"][0]["reference"].partition("/")[2]).to_resource()
    assert goal["lifecycleStatus"]
    found = client.execute(f"Patient/{patient}/$twin", method="get", params={"biomarker": "sbp"})
    assert found["resourceType"] == "Parameters"
    with pytest.raises(fhirpy.base.exceptions.OperationOutcome):
        client.resources("CarePlan").search(patient="a/b").fetch_all()
    with pytest.raises(fhirpy.base.exceptions.ResourceNotFound):
        client.reference("CarePlan", "none").to_resource()


def test_fhirclient(facade: str, patient: str) -> None:
    """Its models check every element by type."""
    pytest.importorskip("fhirclient", reason="needs fhirclient (make peers)")
    from fhirclient import client
    from fhirclient.models import careplan, operationoutcome, riskassessment
    from fhirclient.server import FHIRNotFoundException

    smart = client.FHIRClient({"app_id": "peer", "api_base": facade})
    smart.prepare()
    [plan] = careplan.CarePlan.where({"patient": patient}).perform_resources(smart.server)
    assert plan.status == "draft"
    again = careplan.CarePlan.read(plan.id, smart.server)
    assert again.as_json() == plan.as_json()
    risks = list(
        riskassessment.RiskAssessment.where({"patient": patient}).perform_resources_iter(smart.server)
    )
    assert len({r.id for r in risks}) == len(risks) > 3
    with pytest.raises(FHIRNotFoundException) as refused:
        careplan.CarePlan.read("none", smart.server)
    assert operationoutcome.OperationOutcome(refused.value.response.json()).issue[0].code == "not-found"


def test_smart_fetch(facade: str, patient: str, tmp_path: Path) -> None:
    program = shutil.which("smart-fetch") or str(Path(sys.executable).with_name("smart-fetch"))
    if not Path(program).exists():
        pytest.skip("needs smart-fetch (make peers)")
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    cohort.mkdir()
    (cohort / "Patient.ndjson").write_text(
        json.dumps({"resourceType": "Patient", "id": patient}) + "\n", "utf-8"
    )
    how = [
        "--fhir-url",
        facade,
        "--source-dir",
        str(cohort),
        "--type",
        "ServiceRequest,MedicationRequest",
        "--no-compression",
    ]
    done = subprocess.run(
        [program, "crawl", str(out), *how], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [
        json.loads(line)
        for path in out.glob("*Request.ndjson")
        for line in path.read_text("utf-8").splitlines()
    ]
    assert {r["resourceType"] for r in rows} == {"ServiceRequest", "MedicationRequest"}
    assert {r["intent"] for r in rows} == {"proposal"}
    one = subprocess.run(
        [program, "single", f"ServiceRequest/{rows[0]['id']}" if rows[0]["resourceType"] == "ServiceRequest" else
         f"MedicationRequest/{rows[0]['id']}", "--fhir-url", facade],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert json.loads(one.stdout)["id"] == rows[0]["id"]

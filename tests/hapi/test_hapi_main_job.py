"""The whole main job on a real HAPI server, as a user calls it (issue "main job", done-when 2).

Sample patients always; the 30 Synthea patients where the reference folder is there.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from fhir_twin.cli import main
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.settings import load_settings
from fhir_twin.wiring import open_server

pytestmark = pytest.mark.hapi
SHARED = Path(os.environ.get("FHIR_TWIN_SHARED", Path(__file__).parents[3] / "shared"))
SYNTHEA = SHARED / "data" / "synthea-30"
AS_OF = "2026-11-01"


@pytest.fixture(scope="module")
def loaded(hapi: str) -> str:
    server = open_server(load_settings({"server": hapi}, {}))
    for bundle in load_bundles():
        server.transaction(bundle)
    return hapi


def job(
    capsys: pytest.CaptureFixture[str], server: str, patients: list[str], as_of: str = AS_OF
) -> dict[str, Any]:
    code = main(["run", "--server", server, "--patient", *patients, "--as-of", as_of, "--json"])
    told = capsys.readouterr()
    assert code == 0, told.err
    answer: dict[str, Any] = json.loads(told.out)
    return answer


def faults(server: str, reference: str) -> list[str]:
    """Errors that HAPI's validator finds in a stored resource."""
    stored = requests.get(f"{server}/{reference.split('/_history')[0]}", timeout=60).json()
    answer = requests.post(f"{server}/{stored['resourceType']}/$validate", json=stored, timeout=120).json()
    return [i["diagnostics"] for i in answer["issue"] if i["severity"] in ("error", "fatal")]


def test_the_samples_are_written_validated_and_left_alone_the_second_time(
    loaded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [story[0] for story in stories()]
    first = job(capsys, loaded, ids)
    states = {p["patient"]: p["state"] for p in first["patients"]}
    assert set(states.values()) <= {"written", "refused"}
    assert sum(s == "written" for s in states.values()) >= 8
    checked = 0
    for patient in first["patients"]:
        for item in (patient.get("written") or {}).get("items", []):
            if item.get("reference"):
                assert faults(loaded, item["reference"]) == [], item["type"]
                checked += 1
    assert checked > 100
    second = job(capsys, loaded, ids)
    assert {p["state"] for p in second["patients"]} <= {"unchanged", "refused"}


def test_a_careplan_reads_back_as_a_draft_about_the_patient(
    loaded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """CP-1, CP-4: draft and proposal; and our own output is not read back as patient data."""
    patient = stories()[0][0]
    before = job(capsys, loaded, [patient])["patients"][0]
    headers = {"Cache-Control": "no-cache"}
    found = requests.get(f"{loaded}/CarePlan?patient={patient}", headers=headers, timeout=60).json()
    plans = [e["resource"] for e in found["entry"]]
    assert [(p["status"], p["intent"], p["subject"]["reference"]) for p in plans] == [
        ("draft", "proposal", f"Patient/{patient}")
    ]
    assert "DRAFT" in plans[0]["text"]["div"]
    again = job(capsys, loaded, [patient])["patients"][0]
    assert again["state"] == "unchanged"
    assert again["plan"]["recommendations"] == before["plan"]["recommendations"]


def test_a_new_value_moves_the_twin_and_updates_the_same_plan(
    loaded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    patient = stories()[0][0]
    job(capsys, loaded, [patient])
    value = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-10-30T09:00:00Z",
        "valueQuantity": {
            "value": 188,
            "unit": "mmHg",
            "system": "http://unitsofmeasure.org",
            "code": "mm[Hg]",
        },
    }
    assert requests.post(f"{loaded}/Observation", json=value, timeout=60).status_code == 201
    moved = job(capsys, loaded, [patient])["patients"][0]
    assert moved["state"] == "written"
    plans = [i for i in moved["written"]["items"] if i["type"] == "CarePlan"]
    assert [p["action"] for p in plans] == ["update"]
    found = requests.get(
        f"{loaded}/CarePlan?patient={patient}", headers={"Cache-Control": "no-cache"}, timeout=60
    )
    assert len(found.json()["entry"]) == 1


def test_load_and_run_are_commands(hapi: str) -> None:
    """What `make hapi` does after the start."""
    command = [sys.executable, "-m", "fhir_twin", "load", "--server", hapi, "--samples"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert f"loaded {len(load_bundles())} bundles" in done.stdout


@pytest.mark.skipif(
    not SYNTHEA.is_dir(), reason="the reference patients (synthea-30) are not on this machine"
)
def test_all_thirty_synthea_patients_end_in_a_valid_plan_or_a_reason(
    hapi: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = open_server(load_settings({"server": hapi}, {}))
    ids: list[str] = []
    for path in sorted(SYNTHEA.glob("*.json.gz")):
        answer = server.transaction(json.loads(gzip.decompress(path.read_bytes())))
        places = [str(e["response"].get("location", "")) for e in answer["entry"]]
        ids += [place.split("/")[1] for place in places if place.startswith("Patient/")]
    assert len(ids) == 30
    first = job(capsys, hapi, ids, "2020-07-01")
    for patient in first["patients"]:
        assert patient["state"] in ("written", "refused")
        if patient["state"] == "refused":
            assert patient["plan"]["refused"]
    plans = [
        item["reference"]
        for patient in first["patients"]
        for item in patient["written"]["items"]
        if item["type"] == "CarePlan" and item.get("reference")
    ]
    assert len(plans) >= 28
    for reference in plans:
        assert faults(hapi, reference) == []
    second = job(capsys, hapi, ids, "2020-07-01")
    assert {p["state"] for p in second["patients"]} <= {"unchanged", "refused"}

"""fhir-twin calibrate on files: the exit code, the table, and no patient data in it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from fhir_twin.__main__ import main
from fhir_twin.assimilation import load_biomarkers
from mappings import Source


def bundle(number: int, noise: float, rng: random.Random) -> dict:
    """A patient with eight office pressures around a level of their own."""
    level = rng.gauss(130, 12)
    patient = {"resourceType": "Patient", "id": f"p{number}", "gender": "male", "birthDate": "1960-01-01"}
    readings = [
        {
            "resourceType": "Observation",
            "id": f"p{number}-{year}",
            "status": "final",
            "subject": {"reference": f"Patient/p{number}"},
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "effectiveDateTime": f"{year}-05-05T10:00:00Z",
            "valueQuantity": {
                "value": round(level * (1 + rng.gauss(0, noise)), 1),
                "unit": "mmHg",
                "system": "http://unitsofmeasure.org",
                "code": "mm[Hg]",
            },
        }
        for year in range(2017, 2025)
    ]
    entries = [{"fullUrl": f"urn:x:{r['id']}", "resource": r} for r in [patient, *readings]]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.mark.slow
def test_calibrate_writes_a_table_and_rings_the_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, folder, out = random.Random(3), tmp_path / "in", tmp_path / "knowledge" / "biomarkers"
    folder.mkdir()
    out.mkdir(parents=True)
    for number in range(20):
        (folder / f"{number}.json").write_text(json.dumps(bundle(number, 0.2, rng)), "utf-8")
    table = out / "calibration.toml"
    code = main(
        ["calibrate", "--bundle", str(folder), "--as-of", "2025-01-01", "--out", str(table), "--json"]
    )
    answer = json.loads(capsys.readouterr().out)
    assert code == 1 and ["sbp", "all"] in answer["alarms"]
    assert answer["coverage"]["sbp"]["all"][1] > 130 and answer["coverage"]["sbp"]["all"][0] < 0.7
    assert "p0" not in table.read_text("utf-8").split("scores", 1)[1]
    site = load_biomarkers(Source(overlay=tmp_path / "knowledge"))
    assert site.calibration["sbp", "any", "any"][0] < -2.2  # wider than the normal's 1.96


def test_calibrate_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate"]) == 2
    assert "--server" in capsys.readouterr().err

"""The registered reference simulation: any change of a number shows as a difference of a file under version control.

FHIR_TWIN_GOLDEN=1 writes the file anew; the difference then belongs into the CHANGELOG under *Knowledge*.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.simulation import load_interventions, load_outcomes
from fhir_twin.simulation.reference import load_reference, reference_table
from mappings import Source

FILE = Path(__file__).with_name("reference_simulation.json")


def _lines(table: dict[str, Any]) -> str:
    """One line per patient and option, so that a difference is readable."""
    patients = []
    for patient, rows in sorted(table.items()):
        options = [
            f"  {json.dumps(key)}: {json.dumps(row, sort_keys=True)}" for key, row in sorted(rows.items())
        ]
        patients.append(f" {json.dumps(patient)}: {{\n" + ",\n".join(options) + "\n }")
    return "{\n" + ",\n".join(patients) + "\n}\n"


def test_reference_simulation_has_not_moved() -> None:
    source = Source()
    known = load_biomarkers(source)
    patients = load_reference(source, known)
    table = reference_table(patients, known, load_interventions(source), load_outcomes(source))
    if os.environ.get("FHIR_TWIN_GOLDEN"):
        FILE.write_text(_lines(table))
    stored = json.loads(FILE.read_text())
    assert set(stored) == set(table)
    for patient, rows in table.items():
        assert set(stored[patient]) == set(rows), patient
        for option, row in rows.items():
            assert row.keys() == stored[patient][option].keys(), (patient, option)
            assert row.get("issues") == stored[patient][option].get("issues")
            for kind in ("risk", "change", "biomarkers", "relative"):
                for name, numbers in row.get(kind, {}).items():
                    expected = stored[patient][option][kind][name]
                    assert numbers == pytest.approx(expected, rel=1e-4, abs=2e-5), (
                        patient,
                        option,
                        kind,
                        name,
                    )


def test_the_reference_patients_tell_different_stories() -> None:
    table = json.loads(FILE.read_text())
    assert len(table) >= 6
    assert "risk" not in table["infarction-70-man"]["continue"]
    assert "kidney-failure 5 y" in table["diabetes-kidney-66-woman"]["continue"]["risk"]
    assert table["well-35-man"]["continue"]["risk"]["cvd 10 y"][0] < 0.02
    smoker = table["smoker-45-woman"]["smoking-cessation"]
    assert smoker["change"]["cvd"][0] < 0

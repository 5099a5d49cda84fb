"""The reference simulation: registered patients whose twins are kept under version control.

A change of any number of the model shows as a diff of tests/science/reference/*.json, to be explained in CHANGELOG
under Knowledge. After a change that was meant:  python tests/science/test_science_reference.py
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.model.chart import Chart, Measurement, Medication, PatientRecord, Problem
from fhir_twin.model.coded import CodedChart, CodedMeasurement, CodedMedication, CodedProblem
from fhir_twin.model.codes import LOINC, UCUM, Coding, Concept
from mappings import Source

FOLDER = Path(__file__).parent / "reference"
FILES = sorted(FOLDER.glob("*.json"))


def moment(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).replace(hour=9)


def read_patient(case: dict[str, Any]) -> CodedChart:
    """values: [date, LOINC, value, unit, comparator?, setting?]; drugs: [class, start, end?, ingredient?, mg/day?]."""
    measurements = []
    for i, row in enumerate(case["values"]):
        when, loinc, value, unit, comparator, setting = [*row, None, None][:6]
        m = Measurement(
            f"Observation/{i}", Concept((Coding(LOINC, loinc),)), moment(when), value=Decimal(str(value)), unit=unit,
            unit_code=unit, unit_system=UCUM if unit else "", comparator=comparator, setting=setting or "unknown",
        )  # fmt: skip
        measurements.append(CodedMeasurement(m, (loinc,), 1.0, False))
    drugs = []
    for i, row in enumerate(case.get("drugs", [])):
        drug_class, start, end, ingredient, dose = [*row, None, None, None][:5]
        medication = Medication(
            f"MedicationRequest/{i}", Concept(), "active" if end is None else "stopped", end is None,
            start=moment(start), end=moment(end) if end else None,
        )  # fmt: skip
        names = (ingredient,) if ingredient else ()
        drugs.append(CodedMedication(medication, names, (), frozenset({drug_class}), dose, 1.0, False))
    groups = frozenset(case.get("groups", []))
    problem = Problem("Condition/0", Concept(), clinical="active")
    problems = (CodedProblem(problem, (), (), groups, "present", 1.0, False),) if groups else ()
    patient = PatientRecord(
        "Patient/1", "1", sex=case["sex"], birth_date=date.fromisoformat(case["born"]), birth_precision="day"
    )
    return CodedChart(
        Chart(patient, moment(case["as_of"])), problems, tuple(drugs), measurements=tuple(measurements)
    )


def results(case: dict[str, Any]) -> dict[str, Any]:
    """What is registered: every estimate with its 80 % interval, responses, slope, and values not used."""
    known = load_biomarkers(Source())
    twin = build_twin(read_patient(case), known)
    slope = twin.state_names.index("egfr:slope")
    estimates = {k: twin.estimate(k) for k in twin.biomarkers}
    return {
        "estimates": {
            k: {"low": _round(e.low), "mean": _round(e.mean), "high": _round(e.high), "basis": e.basis}
            for k, e in estimates.items()
        },
        "egfr_change_percent_per_year": _round(100 * float(twin.state[slope])),
        "responses_percent": {
            f"{k} {c}": [_round(100 * m), _round(100 * s)] for k, c, m, s in twin.responses
        },
        "not_used": sorted(f"{p.biomarker} {p.source}: {p.reason}" for p in twin.points if not p.used),
        "turned_down": sorted(
            f"{p.biomarker} {p.source}: weight {p.weight:.2f}" for p in twin.points if p.used and p.weight < 1
        ),
    }


def _round(value: float) -> float:
    return float(f"{value:.4g}")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_reference_patient(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    assert results(case) == case["results"]


def test_there_are_patients_and_each_tells_a_story() -> None:
    assert len(FILES) >= 8
    assert all(len(json.loads(p.read_text("utf-8"))["story"]) > 60 for p in FILES)


if __name__ == "__main__":
    for file in FILES:
        content = json.loads(file.read_text("utf-8"))
        content["results"] = results(content)
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")

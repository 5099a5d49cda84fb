"""Charts for the twin's tests, built by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from fhir_twin.model.chart import Chart, Measurement, Medication, PatientRecord, Problem
from fhir_twin.model.coded import CodedChart, CodedMeasurement, CodedMedication, CodedProblem
from fhir_twin.model.codes import LOINC, UCUM, Coding, Concept

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(year: int, month: int = 1, day: int = 1, hour: int = 10) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def measured(
    source: str, loinc: str, value: Any, unit: str, when: datetime | None, **more: Any
) -> CodedMeasurement:
    concept = Concept((Coding(LOINC, loinc),))
    m = Measurement(
        f"Observation/{source}", concept, when, value=Decimal(str(value)), unit=unit, unit_code=unit,
        unit_system=UCUM if unit else "", **more,
    )  # fmt: skip
    return CodedMeasurement(m, (loinc,), 1.0, False)


def problem(source: str, *groups: str) -> CodedProblem:
    return CodedProblem(
        Problem(f"Condition/{source}", Concept(), clinical="active"), (), (), frozenset(groups), "present", 1.0, False
    )  # fmt: skip


def drug(source: str, start: datetime | None, *classes: str, end: datetime | None = None) -> CodedMedication:
    status = "active" if end is None else "stopped"
    m = Medication(f"MedicationRequest/{source}", Concept(), status, end is None, start=start, end=end)
    return CodedMedication(m, (), (), frozenset(classes), None, 1.0, False)


def chart(
    *measurements: CodedMeasurement,
    sex: str = "male",
    born: date | None = date(1960, 1, 1),
    problems: tuple[CodedProblem, ...] = (),
    drugs: tuple[CodedMedication, ...] = (),
    now: datetime = NOW,
    **more: Any,
) -> CodedChart:
    patient = PatientRecord(
        "Patient/1", "1", sex=sex, birth_date=born, birth_precision="day" if born else "", **more
    )  # type: ignore[arg-type]
    return CodedChart(Chart(patient, now), problems=problems, medications=drugs, measurements=measurements)

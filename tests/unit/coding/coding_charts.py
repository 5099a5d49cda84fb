"""Small charts and a small coder for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

from fhir_twin.model.chart import Chart, Dosage, Measurement, Medication, PatientRecord, Problem
from fhir_twin.model.codes import ICD10CM, LOINC, RXNORM, SNOMED, Coding, Concept
from terminology.decision import Assertion, Candidate, CodingDecision, Kind

AS_OF = datetime(2026, 1, 15, tzinfo=UTC)


class SmallCoder:
    """Knows a handful of texts; counts how often it is asked."""

    known: ClassVar = {
        "sugar diabetes": ("E11.9", "present", 0.95),
        "no chest pain": ("R07.9", "absent", 0.95),
        "denies diabetes": ("E11.9", "absent", 0.95),
        "osteoporosis": ("M81.0", "present", 0.6),
        "maybe gout": ("M10.9", "present", 0.5),
        "s/p kidney transplant": ("Z94.0", "historical", 0.95),
        "prior stroke": ("Z86.73", "historical", 0.95),
        "hx of gout": ("M10.9", "historical", 0.95),
        "hx of pancreatitis": ("Z87.19", "historical", 0.95),
        "gestational diabetes 2010": ("O24.419", "present", 0.95),
        "gestational diabetes 2025": ("O24.419", "present", 0.95),
        "wheeze disease": ("J45.909", "present", 0.95),
    }

    drugs: ClassVar = {
        "atorvaststin 40 mg": (RXNORM, "83367", "atorvastatin", 0.9),
        "newbrand": (RXNORM, "999999999", "rosuvastatin 20 MG Oral Tablet", 0.9),
        "maybe metformn": (RXNORM, "6809", "metformin", 0.4),
        "nothing drug": (RXNORM, "999999999", "water", 0.9),
        "creatnine level": (LOINC, "2160-0", "Creatinine", 0.9),
        "maybe glucoze": (LOINC, "2345-7", "Glucose", 0.4),
    }

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def code(self, text: str, kind: Kind) -> CodingDecision:
        self.asked.append((text, kind))
        return self._one(text, text, kind, 0)

    def code_all(self, text: str, kind: Kind) -> tuple[CodingDecision, ...]:
        self.asked.append((text, kind))
        found, at = [], 0
        for part in text.split(";"):
            found.append(self._one(text, part.strip(), kind, at))
            at += len(part) + 1
        return tuple(found)

    def _one(self, text: str, part: str, kind: Kind, at: int) -> CodingDecision:
        code, assertion, confidence = self.known.get(part.lower(), ("", "present", 0.0))
        chosen = (Candidate(ICD10CM, code, part, confidence),) if code and kind == "problem" else ()
        if kind in ("drug", "allergy", "lab") and part in self.drugs:
            system, code, display, confidence = self.drugs[part]
            chosen = (Candidate(system, code, display, confidence),)
        said: Assertion = assertion  # type: ignore[assignment]
        return CodingDecision(text, kind, (at, at + len(part)), said, chosen, chosen, confidence, "exact")


def chart(**entries: object) -> Chart:
    return Chart(PatientRecord("Patient/1", "1"), AS_OF, **entries)  # type: ignore[arg-type]


def coded(system: str, code: str, display: str = "", text: str = "") -> Concept:
    return Concept((Coding(system, code, display),), text)


def snomed(code: str, display: str = "", text: str = "") -> Concept:
    return coded(SNOMED, code, display, text)


def icd(code: str, text: str = "") -> Concept:
    return coded(ICD10CM, code, "", text)


def rxnorm(code: str, display: str = "", text: str = "") -> Concept:
    return coded(RXNORM, code, display, text)


def loinc(code: str, display: str = "") -> Concept:
    return coded(LOINC, code, display)


def words(text: str) -> Concept:
    return Concept((), text)


def problem(concept: Concept, number: int = 1, **more: object) -> Problem:
    return Problem(f"Condition/{number}", concept, **{"clinical": "active", **more})  # type: ignore[arg-type]


def drug(concept: Concept, number: int = 1, **more: object) -> Medication:
    values = {"status": "active", "current": True, **more}
    return Medication(f"MedicationRequest/{number}", concept, **values)  # type: ignore[arg-type]


def dosage(
    amount: str, unit: str, per_day: float | None = 1.0, *, as_needed: bool = False, text: str = ""
) -> Dosage:
    return Dosage(text=text, amount=Decimal(amount), unit=unit, per_day=per_day, as_needed=as_needed)


def measured(concept: Concept, number: int = 1, **more: object) -> Measurement:
    values = {"time": AS_OF, **more}
    return Measurement(f"Observation/{number}", concept, **values)  # type: ignore[arg-type]

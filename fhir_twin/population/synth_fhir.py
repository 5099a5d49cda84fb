"""One invented life -> the FHIR R4 resources a clinic would have of it, with gaps and shorthand.

Every resource is marked: meta.tag HTEST, and our own tag `synthetic`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from fhir_twin.dynamics.prior import visit_variance
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.codes import ICD10CM, LOINC, RXNORM, SNOMED, UCUM
from fhir_twin.population.synth_design import Choice, ClinicDesign, ConditionDesign, Remark
from fhir_twin.population.synth_draw import NEVER, Lives

Resource = dict[str, Any]
_THO = "http://terminology.hl7.org/CodeSystem"
META = {
    "tag": [
        {"system": f"{_THO}/v3-ActReason", "code": "HTEST", "display": "test health data"},
        {"system": "https://fhir-twin.org/fhir/CodeSystem/origin", "code": "synthetic"},
    ]
}
DEPRIVATION = "https://fhir-twin.org/fhir/StructureDefinition/deprivation-decile"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_OMB = "urn:oid:2.16.840.1.113883.6.238"
_ACTIVE = {"coding": [{"system": f"{_THO}/condition-clinical", "code": "active"}]}
_CONFIRMED = {"coding": [{"system": f"{_THO}/condition-ver-status", "code": "confirmed"}]}
# what is measured together, and as what: group -> (biomarker, LOINC, printed unit, UCUM, digits)
PANELS: dict[str, tuple[tuple[str, str, str, int], ...]] = {
    "lipids": (
        ("total-cholesterol", "2093-3", "mg/dL", 0),
        ("ldl", "13457-7", "mg/dL", 0),
        ("hdl", "2085-9", "mg/dL", 0),
        ("triglycerides", "2571-8", "mg/dL", 0),
    ),
    "hba1c": (("hba1c", "4548-4", "%", 1),),
    "kidney": (("egfr", "98979-8", "mL/min/{1.73_m2}", 0),),
    "uacr": (("uacr", "9318-7", "mg/g", 0),),
    "weight": (("bmi", "39156-5", "kg/m2", 1),),
}


@dataclass(frozen=True, slots=True)
class Clinic:
    """What all people of a cohort share. start: the day of month 0."""

    design: ClinicDesign
    known: BiomarkerSet
    start: date
    months: int

    def day(self, month: float) -> date:
        return self.start + timedelta(days=int(month * 30.4375))

    @property
    def end(self) -> date:
        return self.day(self.months)


def resources(clinic: Clinic, lives: Lives, i: int, key: str, rng: np.random.Generator) -> Iterator[Resource]:
    """All resources of person `i` under the id `key`, the Patient first."""
    person = _Person(clinic, lives, i, key, rng)
    yield person.patient()
    yield from person.smoking()
    yield from person.visits()
    yield from person.problems()
    yield from person.drugs()
    yield from person.allergies()


class _Person:
    def __init__(self, clinic: Clinic, lives: Lives, i: int, key: str, rng: np.random.Generator) -> None:
        self.clinic, self.lives, self.i, self.key, self.rng = clinic, lives, i, key, rng
        self.subject = {"reference": f"Patient/{key}"}
        self.last = min(int(lives.death[i]), clinic.months)
        self.count = 0

    def _new(self, kind: str, **fields: Any) -> Resource:
        self.count += 1
        return {"resourceType": kind, "id": f"{self.key}-{self.count}", "meta": META, **fields}

    def patient(self) -> Resource:
        lives, i = self.lives, self.i
        born = self.clinic.start - timedelta(days=float(lives.age[i] * 365.25))
        found: Resource = {
            "resourceType": "Patient",
            "id": self.key,
            "meta": META,
            "identifier": [{"system": "https://fhir-twin.org/synthetic/people", "value": self.key}],
            "name": [{"family": "Synthetic", "given": [self.key]}],
            "gender": "female" if lives.sex[i] else "male",
            "birthDate": born.isoformat(),
            "extension": [],
        }
        design = self.clinic.design
        for name, choice in (
            ("race", design.race[lives.race[i]]),
            ("ethnicity", design.ethnicity[lives.ethnicity[i]]),
        ):
            if choice.code:
                found["extension"].append(_category(name, choice))
        if lives.decile[i]:
            found["extension"].append({"url": DEPRIVATION, "valueInteger": int(lives.decile[i])})
        if not found["extension"]:
            del found["extension"]
        language = design.language[lives.language[i]]
        if language.code:
            spoken = {
                "coding": [{"system": "urn:ietf:bcp:47", "code": language.code}],
                "text": language.words,
            }
            found["communication"] = [{"language": spoken, "preferred": True}]
        if lives.death[i] < self.clinic.months:
            found["deceasedDateTime"] = self.clinic.day(float(lives.death[i])).isoformat()
        return found

    def smoking(self) -> Iterator[Resource]:
        code = self.clinic.design.smoking[self.lives.smoking[self.i]].code
        if code:
            yield self._observation(
                "72166-2", "social-history", self.clinic.day(self.rng.uniform(0, max(self.last, 1))),
                valueCodeableConcept={"coding": [{"system": SNOMED, "code": code}]},
            )  # fmt: skip

    def visits(self) -> Iterator[Resource]:
        design, rng = self.clinic.design, self.rng
        chronic = any(months[self.i] < self.last for months in self.lives.diagnosed.values())
        rate = design.visits_base + (design.visits_chronic if chronic else 0.0)
        number = int(rng.poisson(rate * self.last / 12.0))
        if number:
            height = round(float(self.lives.height[self.i]), 1)
            yield self._observation(
                "8302-2", "vital-signs", self.clinic.day(0.5), valueQuantity=_quantity(height, "cm")
            )
        for month in np.sort(rng.uniform(0, self.last, number)):
            yield from self._visit(float(month))

    def _visit(self, month: float) -> Iterator[Resource]:
        design, rng, day = self.clinic.design, self.rng, self.clinic.day(month)
        home = rng.random() < design.home
        if rng.random() >= design.missing["pressure"]:
            yield self._pressure(month, day, home)
        if home:
            return
        for group, items in PANELS.items():
            if rng.random() < design.missing[group]:
                continue
            for key, loinc, unit, digits in items:
                value = round(self._measured(key, month, "office"), digits)
                category = "vital-signs" if group == "weight" else "laboratory"
                yield self._observation(
                    loinc, category, day, valueQuantity=_quantity(value if digits else int(value), unit)
                )

    def _pressure(self, month: float, day: date, home: bool) -> Resource:
        setting = "home" if home else "office"
        values = [("8480-6", "sbp"), ("8462-4", "dbp")]
        parts = []
        for loinc, key in values:
            value = round(self._measured(key, month, setting))
            parts.append(
                {
                    "code": {"coding": [{"system": LOINC, "code": loinc}]},
                    "valueQuantity": _quantity(value, "mm[Hg]"),
                }
            )
        found = self._observation("85354-9", "vital-signs", day, component=parts)
        if home:
            found["performer"] = [self.subject]
        return found

    def _measured(self, key: str, month: float, setting: str) -> float:
        known = self.clinic.known
        model = known.model(key)
        usual = self.lives.usual[self.i, int(month), known.keys.index(key)]
        age = float(self.lives.age[self.i] + month / 12.0)
        noise = visit_variance(model, setting, 1, age) ** 0.5
        return float(np.exp(usual + noise * self.rng.standard_normal()))

    def problems(self) -> Iterator[Resource]:
        design, rng = self.clinic.design, self.rng
        for condition in design.conditions:
            month = int(self.lives.diagnosed[condition.key][self.i])
            if month < self.last:
                yield self._problem(condition, self.clinic.day(month))
        for event in design.events:
            month = int(self.lives.events[event.key][self.i])
            if month < self.last:
                yield self._remark(event, self.clinic.day(month), 0.2)
        for remark in design.background:
            if rng.random() < remark.share:
                yield self._remark(remark, self.clinic.day(rng.uniform(-60, max(self.last, 1))), 0.5)

    def _problem(self, design: ConditionDesign, day: date) -> Resource:
        coding: list[Resource] = []
        if self.rng.random() >= design.text_only:
            coding.append({"system": SNOMED, "code": design.snomed})
            if self.rng.random() < 0.5:
                coding = [{"system": ICD10CM, "code": design.icd10cm}]
        text = design.texts[int(self.rng.integers(len(design.texts)))]
        return self._condition(coding, text, day)

    def _remark(self, remark: Remark, day: date, text_only: float) -> Resource:
        text = remark.texts[int(self.rng.integers(len(remark.texts)))]
        coded = bool(remark.snomed) and self.rng.random() >= text_only
        return self._condition([{"system": SNOMED, "code": remark.snomed}] if coded else [], text, day)

    def _condition(self, coding: list[Resource], text: str, day: date) -> Resource:
        return self._new(
            "Condition",
            clinicalStatus=_ACTIVE,
            verificationStatus=_CONFIRMED,
            code={**({"coding": coding} if coding else {}), "text": text},
            subject=self.subject,
            onsetDateTime=day.isoformat(),
            recordedDate=day.isoformat(),
        )

    def drugs(self) -> Iterator[Resource]:
        for drug, months in zip(self.clinic.design.drugs, self.lives.started, strict=True):
            month = int(months[self.i])
            if month < self.last:
                coding = [{"system": RXNORM, "code": drug.rxnorm, "display": drug.name}]
                concept: Resource = {"text": drug.text}
                if self.rng.random() < 0.6:
                    concept["coding"] = coding
                yield self._new(
                    "MedicationRequest", status="active", intent="order", medicationCodeableConcept=concept,
                    subject=self.subject, authoredOn=self.clinic.day(month).isoformat(),
                    dosageInstruction=[{"text": drug.text.partition(", ")[2]}],
                )  # fmt: skip

    def allergies(self) -> Iterator[Resource]:
        for remark in self.clinic.design.allergies:
            if self.rng.random() < remark.share:
                code: Resource = {"text": remark.texts[0]}
                if remark.snomed:
                    code["coding"] = [{"system": SNOMED, "code": remark.snomed}]
                status = {"coding": [{"system": f"{_THO}/allergyintolerance-clinical", "code": "active"}]}
                yield self._new("AllergyIntolerance", clinicalStatus=status, code=code, patient=self.subject)

    def _observation(self, loinc: str, category: str, day: date, **fields: Any) -> Resource:
        coded = {"coding": [{"system": f"{_THO}/observation-category", "code": category}]}
        moment = datetime(day.year, day.month, day.day, 9, 30).isoformat() + "+00:00"
        return self._new(
            "Observation", status="final", category=[coded],
            code={"coding": [{"system": LOINC, "code": loinc}]}, subject=self.subject, effectiveDateTime=moment,
            **fields,
        )  # fmt: skip


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _category(name: str, choice: Choice) -> Resource:
    coded = {
        "url": "ombCategory",
        "valueCoding": {"system": _OMB, "code": choice.code, "display": choice.words},
    }
    return {"url": f"{_US_CORE}{name}", "extension": [coded, {"url": "text", "valueString": choice.words}]}


__all__ = ["DEPRIVATION", "META", "NEVER", "Clinic", "resources"]

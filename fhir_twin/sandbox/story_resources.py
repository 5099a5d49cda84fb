"""One line of a story -> the FHIR R4 resources it stands for. Legend: patients/README.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from fhir_twin.model.codes import LOINC, RXNORM, SNOMED, UCUM

Resource = dict[str, Any]
_THO = "http://terminology.hl7.org/CodeSystem"
_LOINC_CODE = re.compile(r"\d{3,6}-\d")
_VITALS = frozenset(["8867-4", "29463-7", "8302-2", "39156-5", "8460-8", "8480-6", "8462-4", "8310-5"])
_SOCIAL = frozenset(["72166-2", "82810-3", "8664-5"])
_SYSTEMS = {"snomed": SNOMED, "loinc": LOINC, "rxnorm": RXNORM}
_MORNING = "T09:30:00+00:00"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one table: `number` counts from 1 and becomes part of the id."""

    table: str
    number: int
    fields: tuple[str, ...]

    def field(self, index: int) -> str:
        return self.fields[index] if index < len(self.fields) else ""

    @property
    def marks(self) -> frozenset[str]:
        return frozenset(self.field(4).replace(",", " ").split())

    @property
    def place(self) -> str:
        """office unless said otherwise; only values have a place."""
        said = {self.field(2)} if self.table == "bp" else self.marks
        return next((place for place in ("home", "inpatient") if place in said), "office")


@dataclass(frozen=True, slots=True)
class Person:
    """The patient of a story; `shift` moves all days."""

    id: str
    shift: timedelta

    @property
    def reference(self) -> Resource:
        return {"reference": f"Patient/{self.id}"}

    def day(self, text: str) -> str:
        """A day, month or year, moved; a partial date keeps its precision."""
        full = date.fromisoformat(f"{text}-06-15"[:10] if len(text) == 4 else f"{text}-15"[:10])
        return (full + self.shift).isoformat()[: len(text)]

    def moment(self, text: str) -> str:
        return self.day(text) + _MORNING if len(text) == 10 else self.day(text)

    def visit_id(self, day: str, place: str) -> str:
        return f"{self.id}-{place}-{day}"

    def named(self, kind: str, line: Line, tail: str = "") -> Resource:
        """resourceType and id; the id comes from the table and the line's number."""
        return {"resourceType": kind, "id": f"{self.id}-{line.table}-{line.number}{tail}"}

    def patient(self, told: dict[str, Any]) -> Resource:
        given, _, family = told["name"].rpartition(" ")
        resource: Resource = {
            "resourceType": "Patient",
            "id": self.id,
            "meta": {
                "tag": [{"system": f"{_THO}/v3-ActReason", "code": "HTEST", "display": "test health data"}]
            },
            "identifier": [{"system": "https://fhir-twin.org/sandbox/people", "value": self.id}],
            "name": [{"use": "official", "family": family, "given": [given]}],
            "gender": told["gender"],
            "birthDate": self.day(told["birthDate"]),
        }
        return resource

    def smoking(self, told: dict[str, Any]) -> list[Resource]:
        """72166-2 with the SNOMED CT status, said at the beginning of the story's last year."""
        if "smoking" not in told:
            return []
        line = Line("smoking", 1, ("2026-03-02", "72166-2", f"snomed:{told['smoking']}"))
        return result(line, self)


def coded(system: str, code: str, words: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code}], **({"text": words} if words else {})}


def concept(code: str, words: str, system: str = SNOMED) -> Resource:
    """words with a code, or words alone when the code is "-" or ""; "rxnorm:1" names its own system."""
    name, _, rest = code.rpartition(":")
    if not rest or rest == "-":
        return {"text": words}
    return coded(_SYSTEMS[name] if name else system, rest, words)


def quantity(value: str, unit: str) -> Resource:
    """ "<5" has a comparator; "~mg%" is a printed unit without code; "" is no unit at all."""
    sign = re.match(r"[<>]=?", value)
    number = Decimal(value[sign.end() :] if sign else value)
    found: Resource = {"value": int(number) if number == number.to_integral_value() else float(number)}
    if sign:
        found["comparator"] = sign[0]
    if unit.startswith("~"):
        found["unit"] = unit[1:]
    elif unit:
        found |= {"unit": unit, "system": UCUM, "code": unit}
    return found


def _observation(line: Line, person: Person, code: Resource, category: str, tail: str = "") -> Resource:
    day, place = line.field(0), line.place
    found: Resource = {
        **person.named("Observation", line, tail),
        "status": next((m for m in ("preliminary", "entered-in-error") if m in line.marks), "final"),
        "category": [coded(f"{_THO}/observation-category", category)],
        "code": code,
        "subject": person.reference,
    }
    if line.table != "smoking":
        if place == "home":
            found["performer"] = [person.reference]
        else:
            found["encounter"] = {"reference": f"Encounter/{person.visit_id(day, place)}"}
    found["issued" if "issued" in line.marks else "effectiveDateTime"] = person.moment(day)
    return found


def pressure(line: Line, person: Person) -> list[Resource]:
    systolic, diastolic = line.field(1).split("/")
    form = line.field(3) or "panel"
    parts = [
        ("8480-6", "Systolic blood pressure", systolic),
        ("8462-4", "Diastolic blood pressure", diastolic),
    ]
    if form == "split":
        return [
            _observation(line, person, coded(LOINC, code, words), "vital-signs", f"-{code}")
            | {"valueQuantity": quantity(value, "mm[Hg]")}
            for code, words, value in parts
        ]
    panel = _observation(line, person, coded(LOINC, "85354-9", "Blood pressure panel"), "vital-signs")
    if form == "text":
        return [panel | {"valueString": line.field(1)}]
    components = [
        {"code": coded(LOINC, code, words), "valueQuantity": quantity(value, "mm[Hg]")}
        for code, words, value in parts
    ]
    return [panel | {"component": components}]


def result(line: Line, person: Person) -> list[Resource]:
    code, value, unit = line.field(1), line.field(2), line.field(3)
    said = coded(LOINC, code) if _LOINC_CODE.fullmatch(code) else {"text": code}
    category = "vital-signs" if code in _VITALS else "social-history" if code in _SOCIAL else "laboratory"
    found = _observation(line, person, said, category)
    if value.startswith(("snomed:", "loinc:")):
        found["valueCodeableConcept"] = concept(value, "")
    elif "string" in line.marks:
        found["valueString"] = f"{value} {unit.lstrip('~')}".strip()
    else:
        found["valueQuantity"] = quantity(value, unit)
    copies = [found]
    if "again" in line.marks:
        copies.append({**found, "id": f"{found['id']}-again"})
    return copies

"""Reading speed against the bare msgspec floor, in one run (performance.md 1.1). Exit 1 when the bar is missed.

    python benchmarks/bench_read.py [--lines 20000] [--rounds 7]

1. One NDJSON line -> typed row <= 2.0 x the floor: decoding the same line into bare msgspec structs and picking
   (type, id, patient, code, time, value, unit) as a tuple. Decoding alone, without picking, is printed too.
2. read_chart of one patient with 1,500 resources < 100 ms of CPU.
The lines are synthetic and made here: same mix and shape as a Synthea export, nothing real.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

import msgspec

from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.read import read_chart
from fhir_twin.fhir.read_lines import Row, read_lines

BAR, CHART_MS = 2.0, 100.0
LABS = [
    ("4548-4", "%"),
    ("2160-0", "mg/dL"),
    ("2093-3", "mg/dL"),
    ("8867-4", "/min"),
    ("29463-7", "kg"),
    ("2823-3", "mmol/L"),
]
START = datetime(2010, 1, 1, tzinfo=UTC)


# --- the floor: the least that can hold what a row holds, decoded and nothing else ------------------
class Coding(msgspec.Struct, frozen=True, gc=False):
    system: str | None = None
    code: str | None = None


class Concept(msgspec.Struct, frozen=True, gc=False):
    coding: tuple[Coding, ...] = ()


class Reference(msgspec.Struct, frozen=True, gc=False):
    reference: str | None = None


class Quantity(msgspec.Struct, frozen=True, gc=False):
    value: Decimal | None = None
    code: str | None = None


class Component(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    code: Concept | None = None
    value_quantity: Quantity | None = None


class Resource(msgspec.Struct, frozen=True, gc=False, rename="camel", tag_field="resourceType"):
    id: str | None = None
    status: str | None = None
    code: Concept | None = None
    subject: Reference | None = None


class Observation(Resource, frozen=True, gc=False, rename="camel", tag="Observation"):
    effective_date_time: str | None = None
    value_quantity: Quantity | None = None
    component: tuple[Component, ...] = ()


class Condition(Resource, frozen=True, gc=False, rename="camel", tag="Condition"):
    onset_date_time: str | None = None


class MedicationRequest(Resource, frozen=True, gc=False, rename="camel", tag="MedicationRequest"):
    medication_codeable_concept: Concept | None = None
    authored_on: str | None = None


class Procedure(Resource, frozen=True, gc=False, rename="camel", tag="Procedure"):
    performed_date_time: str | None = None


FLOOR = msgspec.json.Decoder(Observation | Condition | MedicationRequest | Procedure)


# --- synthetic lines --------------------------------------------------------------------------------
def resource(i: int, rng: random.Random) -> dict[str, Any]:
    when = (START + timedelta(days=rng.randrange(5000))).isoformat()
    base = {"id": f"synthetic-{i}", "meta": {"versionId": "1", "lastUpdated": when}}
    who = {"subject": {"reference": "Patient/synthetic"}, "encounter": {"reference": f"Encounter/e{i % 97}"}}
    kind = rng.random()
    if kind < 0.12:
        parts = [
            {
                "code": concept("8480-6", "Systolic"),
                "valueQuantity": quantity(rng.randrange(95, 190), "mm[Hg]"),
            },
            {
                "code": concept("8462-4", "Diastolic"),
                "valueQuantity": quantity(rng.randrange(55, 110), "mm[Hg]"),
            },
        ]
        body = {"code": concept("85354-9", "Blood pressure panel"), "component": parts}
        return {"resourceType": "Observation", **base, **who, **observed("vital-signs", when), **body}
    if kind < 0.75:
        code, unit = rng.choice(LABS)
        body = {
            "code": concept(code, "A laboratory value"),
            "valueQuantity": quantity(round(rng.uniform(1, 250), 2), unit),
        }
        return {"resourceType": "Observation", **base, **who, **observed("laboratory", when), **body}
    if kind < 0.83:
        states = {
            "clinicalStatus": concept(
                "active", "", "http://terminology.hl7.org/CodeSystem/condition-clinical"
            )
        }
        said = concept("38341003", "Hypertensive disorder", "http://snomed.info/sct")
        return {"resourceType": "Condition", **base, **states, "code": said, **who, "onsetDateTime": when}
    if kind < 0.93:
        drug = concept(
            "314076", "lisinopril 10 MG Oral Tablet", "http://www.nlm.nih.gov/research/umls/rxnorm"
        )
        body = {"status": "active", "intent": "order", "medicationCodeableConcept": drug, "authoredOn": when}
        return {"resourceType": "MedicationRequest", **base, **body, **who}
    said = concept("430193006", "Medication reconciliation", "http://snomed.info/sct")
    return {
        "resourceType": "Procedure",
        **base,
        "status": "completed",
        "code": said,
        **who,
        "performedDateTime": when,
    }


def observed(category: str, when: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "status": "final",
        "category": [concept(category, category, system)],
        "effectiveDateTime": when,
        "issued": when,
    }


def concept(code: str, display: str, system: str = "http://loinc.org") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def decoded(lines: list[bytes]) -> None:
    decode = FLOOR.decode
    for line in lines:
        decode(line)


def floor(lines: list[bytes]) -> None:
    decode = FLOOR.decode
    for line in lines:
        found = decode(line)
        kind, value, unit = type(found), None, None
        concept = found.medication_codeable_concept if kind is MedicationRequest else found.code
        if kind is Observation:
            time_ = found.effective_date_time
            if found.value_quantity is not None:
                value, unit = found.value_quantity.value, found.value_quantity.code
        elif kind is Condition:
            time_ = found.onset_date_time
        else:
            time_ = found.authored_on if kind is MedicationRequest else found.performed_date_time
        code = concept.coding[0].code if concept is not None and concept.coding else None
        picked = (kind, found.id, found.subject.reference, code, time_, value, unit)
        del picked


def rows(lines: list[bytes]) -> None:
    for row in read_lines(lines):
        if type(row) is not Row:
            raise SystemExit("a synthetic line was not read")


def chart_ms(rounds: int) -> float:
    rng = random.Random(2)
    resources = [
        {"resourceType": "Patient", "id": "synthetic", "gender": "female", "birthDate": "1960-01-01"}
    ]
    resources += [resource(i, rng) for i in range(1499)]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": each} for each in resources],
    }
    parsed = parse_json(json.dumps(bundle))
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    return 1000 * median(seconds(lambda: read_chart(parsed, as_of)) for _ in range(rounds))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    wanted = parser.parse_args()
    rng = random.Random(1)
    lines = [json.dumps(resource(i, rng)).encode() for i in range(wanted.lines)]
    works = (decoded, floor, rows)
    spent = [[seconds(lambda work=work: work(lines)) for work in works] for _ in range(wanted.rounds)]
    decode, bare, row = (1e6 / wanted.lines * median(each[i] for each in spent) for i in range(3))
    ratio, strict = median(s[2] / s[1] for s in spent), median(s[2] / s[0] for s in spent)
    print(f"one NDJSON line: decode {decode:.2f} us, floor {bare:.2f} us, row {row:.2f} us")
    print(f"row / floor {ratio:.2f} (bar {BAR}); row / decode alone {strict:.2f}")
    chart = chart_ms(wanted.rounds)
    print(f"read_chart, 1,500 resources: {chart:.1f} ms (bar {CHART_MS:.0f})")
    return 0 if ratio <= BAR and chart < CHART_MS else 1


if __name__ == "__main__":
    sys.exit(main())

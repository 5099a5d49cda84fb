"""Stage coding over whole records: the 30 Synthea patients need no guess, and a hand-made chart is a known answer."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.fhir.read import read_chart
from mappings import Source

SHARED = Path(os.environ.get("FHIR_TWIN_SHARED", Path(__file__).parents[3] / "shared"))
PATIENTS = sorted((SHARED / "data" / "synthea-30").glob("[0-9][0-9].json.gz"))
AS_OF = datetime(2026, 1, 15, tzinfo=UTC)
MAPS = load_concept_maps(Source())


class NobodyAsks:
    """A coder that must not be needed: every resource of the sample comes coded."""

    def code(self, text, kind):
        raise AssertionError(f"asked for a {kind}")

    code_all = code


@pytest.mark.skipif(not PATIENTS, reason="the Synthea sample patients are not here")
@pytest.mark.parametrize("path", PATIENTS, ids=lambda p: p.name[:2])
def test_synthea_patient_is_coded_without_a_guess(path):
    chart = read_chart(json.loads(gzip.decompress(path.read_bytes())), AS_OF)
    coded = code_chart(chart, NobodyAsks(), MAPS)
    assert [p.problem.source for p in coded.problems if not p.icd10cm] == []
    assert [m.medication.source for m in coded.medications if not m.ingredients or m.from_text] == []
    assert [a.allergy.source for a in coded.allergies if not a.understood] == []
    assert [m.measurement.source for m in coded.measurements if not m.loinc] == []
    assert coded.social.smoking in ("current", "former", "never")
    assert {i.severity for i in coded.issues} <= {"information"}
    assert coded == code_chart(chart, NobodyAsks(), MAPS)


def test_a_hand_made_record():
    """Codes of every kind as a hospital sends them; every fact checked by hand."""
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in _record()],
    }
    coded = code_chart(read_chart(bundle, AS_OF), NobodyAsks(), MAPS)
    assert coded.has("diabetes-type-2")
    assert coded.has("ckd")
    assert coded.has("hypertension")
    assert not coded.has("breast-cancer")
    assert coded.ever_had("breast-cancer")
    assert coded.takes("ace-inhibitor")
    assert coded.takes("thiazide")
    assert not coded.takes("statin")
    metformin = coded.taking("metformin")[0]
    assert metformin.daily_dose == 2000.0
    assert coded.allergies[0].classes == {"sulfonamide-antibiotic"}
    assert coded.social.smoking == "former"
    assert coded.social.pack_years == 15.0
    assert coded.measurements[-1].loinc == ("2160-0",)


def _record():
    me = {"reference": "Patient/1"}
    active = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    }
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    tobacco = {"coding": [{"system": "http://loinc.org", "code": "72166-2"}]}
    yield {"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1960-03-01"}
    codes = [
        {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.96", "code": "44054006"}]},
        {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E1122"}]},
        {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.90", "code": "I10"}]},
        {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "Z85.3"}]},
    ]
    for number, code in enumerate(codes):
        yield {
            "resourceType": "Condition",
            "id": f"c{number}",
            "subject": me,
            "clinicalStatus": active,
            "code": code,
        }
    yield _order("m1", me, {"text": "Zestoretic 20-12.5 mg tablet"}, None)
    yield _order("m2", me, {"coding": [{"system": rxnorm, "code": "860975"}]}, (2, "tablet", 2))
    yield {**_order("m3", me, {"text": "simvastatin 20 mg"}, None), "status": "stopped"}
    yield {"resourceType": "AllergyIntolerance", "id": "a", "patient": me, "code": {"text": "Sulfa"}}
    base = {
        "resourceType": "Observation",
        "status": "final",
        "subject": me,
        "effectiveDateTime": "2025-06-01",
    }
    yield {**base, "id": "s", "code": tobacco, "valueCodeableConcept": {"text": "Former smoker"}}
    pack = {"coding": [{"system": "http://loinc.org", "code": "8664-5"}]}
    yield {**base, "id": "p", "code": pack, "valueQuantity": {"value": 15}}
    creatinine = {"value": 1.1, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}
    yield {**base, "id": "l", "code": {"text": "Creatinine, serum"}, "valueQuantity": creatinine}


def _order(name, me, drug, dose):
    order = {
        "resourceType": "MedicationRequest", "id": name, "status": "active", "intent": "order", "subject": me,
        "medicationCodeableConcept": drug, "authoredOn": "2025-12-01",
    }  # fmt: skip
    if dose:
        amount, unit, per_day = dose
        order["dosageInstruction"] = [
            {
                "timing": {"repeat": {"frequency": per_day, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": amount, "unit": unit}}],
            }
        ]
    return order

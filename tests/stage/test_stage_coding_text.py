"""Stage coding with the real text coder: a problem list, drugs and results that are nothing but text."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.model.chart import Allergy, Chart, Measurement, Medication, PatientRecord, Problem
from fhir_twin.model.codes import Concept
from mappings import Source
from terminology import open_coder

AS_OF = datetime(2026, 1, 15, tzinfo=UTC)
PATIENT = PatientRecord("Patient/1", "1")


@pytest.fixture(scope="module")
def code():
    coder, maps = open_coder(Source(), None), load_concept_maps(Source())
    return lambda **entries: code_chart(Chart(PATIENT, AS_OF, **entries), coder, maps)


def problems(*texts):
    return tuple(Problem(f"Condition/{n}", Concept((), t), clinical="active") for n, t in enumerate(texts))


@pytest.mark.parametrize(
    ("text", "now", "ever", "not_even_ever"),
    [
        ("T2DM w/ CKD3, HTN, no h/o MI", "diabetes-type-2 ckd hypertension", "", "myocardial-infarction"),
        ("hx of breast cancer", "", "breast-cancer", ""),
        ("HFrEF", "heart-failure heart-failure-reduced-ef", "", ""),
        ("FHx of MI", "", "", "myocardial-infarction"),
        ("r/o PE", "", "", "diabetes"),
        ("CAD", "coronary-disease ascvd", "", ""),
        (
            "s/p kidney transplant",
            "kidney-transplant solid-organ-transplant immunosuppression",
            "",
            "dialysis",
        ),
        ("ESRD on HD", "dialysis ckd-stage-4-5", "", "kidney-transplant"),
        ("hx of pancreatitis", "", "pancreatitis", ""),
        ("history of angioedema with lisinopril", "", "angioedema", ""),
        ("hx of medullary thyroid cancer", "", "medullary-thyroid-cancer thyroid-cancer", "men-2"),
        ("not pregnant", "", "", "pregnancy"),
        ("gestational diabetes 2010", "", "diabetes-gestational", "diabetes-type-2"),
        ("prior stroke", "stroke ascvd", "", "hemorrhagic-stroke"),
        ("former smoker", "", "", "tobacco-use"),
        ("xyzzy foo", "", "", "diabetes"),
    ],
)
def test_problem_text(code, text, now, ever, not_even_ever):
    found = code(problems=problems(text))
    groups = {g for p in found.problems for g in p.groups}
    assert [g for g in now.split() if not found.has(g)] == [], groups
    assert [g for g in ever.split() if not found.ever_had(g) or found.has(g)] == [], groups
    assert [g for g in not_even_ever.split() if found.ever_had(g)] == []
    assert all(p.from_text for p in found.problems)
    assert found.decisions


def test_a_misspelt_drug_is_found_and_an_unknown_one_is_said(code):
    texts = ("Atorvaststin 40 mg", "lisinopril-HCTZ 20-12.5", "qwertzol 5 mg")
    orders = (Medication(f"M/{n}", Concept((), t), "active", current=True) for n, t in enumerate(texts))
    found = code(medications=tuple(orders))
    assert found.takes("statin")
    assert found.takes("ace-inhibitor")
    assert found.takes("thiazide")
    assert [i.expression for i in found.issues] == ["M/2"]


def test_results_by_name(code):
    names = {"HgbA1c": "4548-4", "Creatinine, serum": "2160-0", "LDL": "13457-7", "Glucose, CSF": ""}
    found = code(
        measurements=tuple(
            Measurement(f"O/{n}", Concept((), name), AS_OF, value=Decimal(7)) for n, name in enumerate(names)
        )
    )
    assert ["".join(m.loinc) for m in found.measurements] == list(names.values())


def test_allergies_by_name(code):
    names = ("sulfa", "penicillin - rash", "peanuts", "zyxwol")
    found = code(allergies=tuple(Allergy(f"A/{n}", Concept((), t)) for n, t in enumerate(names)))
    assert [a.understood for a in found.allergies] == [True, True, True, False]
    assert [i.expression for i in found.issues] == ["A/3"]


def test_the_same_chart_gives_the_same_answer(code):
    texts = ("T2DM w/ CKD3, HTN", "CAD", "hx of gout", "xyzzy foo")
    assert code(problems=problems(*texts)) == code(problems=problems(*texts))

"""Allergies to what they forbid (AL-1)."""

from __future__ import annotations

import pytest
from coding_charts import SmallCoder, chart, coded, rxnorm, snomed, words

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.model.chart import Allergy
from fhir_twin.model.codes import Concept
from mappings import Source

MAPS = load_concept_maps(Source())


def coded_allergy(concept, **more):
    found = code_chart(
        chart(allergies=(Allergy("AllergyIntolerance/1", concept, **more),)), SmallCoder(), MAPS
    )
    return found.allergies[0], found.issues


@pytest.mark.parametrize(
    ("concept", "ingredients", "classes"),
    [
        (rxnorm("723"), ("amoxicillin",), {"penicillin"}),
        (rxnorm("10831"), ("sulfamethoxazole", "trimethoprim"), {"sulfonamide-antibiotic"}),
        (rxnorm("29046"), ("lisinopril",), {"ace-inhibitor"}),
        (rxnorm("83367"), ("atorvastatin",), set()),
        (words("sulfa"), (), {"sulfonamide-antibiotic"}),
        (words("Sulfa (Sulfonamide Antibiotics)"), (), {"sulfonamide-antibiotic"}),
        (words("PCN"), (), {"penicillin"}),
        (words("Penicillins"), (), {"penicillin"}),
        (words("ACE inhibitors - cough"), (), {"ace-inhibitor"}),
        (words("statins"), (), {"statin"}),
        (words("NSAIDs"), (), {"nsaid"}),
        (snomed("1", "Allergy to penicillin (finding)"), (), {"penicillin"}),
        (snomed("1", "Allergy to lisinopril (finding)"), ("lisinopril",), {"ace-inhibitor"}),
        (words("Bactrim"), ("sulfamethoxazole", "trimethoprim"), {"sulfonamide-antibiotic"}),
        (coded("http://www.whocc.no/atc", "C09AA03"), ("lisinopril",), {"ace-inhibitor"}),
        (coded("http://www.whocc.no/atc", "C10AA"), (), {"statin"}),
        (words("Lasix"), ("furosemide",), set()),
    ],
)
def test_allergen(concept, ingredients, classes):
    found, issues = coded_allergy(concept)
    assert (found.ingredients, found.classes, found.understood) == (ingredients, classes, True)
    assert issues == ()


@pytest.mark.parametrize(
    "text", ["Peanuts", "House dust mite allergy", "Dander (animal) allergy", "latex", "IV contrast"]
)
def test_allergens_that_are_no_drug_are_understood(text):
    found, issues = coded_allergy(words(text))
    assert (found.understood, found.ingredients, found.classes) == (True, (), frozenset())
    assert issues == ()


def test_a_food_allergy_by_category():
    assert coded_allergy(words("durian"), categories=("food",))[0].understood
    assert not coded_allergy(words("durian"), categories=("food", "medication"))[0].understood


@pytest.mark.parametrize("concept", [words("zyxwol"), Concept()])
def test_unknown_allergen_is_said(concept):
    found, issues = coded_allergy(concept)
    assert not found.understood
    assert [i.severity for i in issues] == ["warning"]


def test_no_known_allergy_is_understood_and_forbids_nothing():
    found, issues = coded_allergy(snomed("716186003"), none_known=True)
    assert (found.understood, found.ingredients, found.classes, issues) == (True, (), frozenset(), ())


@pytest.mark.parametrize(
    ("text", "ingredients", "understood"),
    [
        ("atorvaststin 40 mg", ("atorvastatin",), True),
        ("maybe metformn", (), False),
        ("nothing drug", (), False),
    ],
)
def test_what_no_name_matches_is_asked_of_the_coder(text, ingredients, understood):
    found, _ = coded_allergy(words(text))
    assert (found.ingredients, found.understood, found.from_text) == (ingredients, understood, True)

"""Drugs to ingredients, classes and daily dose (MR-1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from coding_charts import AS_OF, SmallCoder, chart, dosage, drug, rxnorm, words
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.coding.drug_text import acts_locally, name_drugs, name_of_start, strength_mg
from fhir_twin.coding.words import tokens
from fhir_twin.model.codes import Coding, Concept
from mappings import Source

MAPS = load_concept_maps(Source())
DRUGS = MAPS.drugs


def coded_chart(*drugs):
    return code_chart(chart(medications=tuple(drugs)), SmallCoder(), MAPS)


@pytest.mark.parametrize(
    ("text", "ingredients"),
    [
        ("Metformin hydrochloride 500 MG Oral Tablet", ("metformin",)),
        ("metoprolol succinate ER 100 mg", ("metoprolol",)),
        ("lisinopril-hydrochlorothiazide 20-12.5", ("lisinopril", "hydrochlorothiazide")),
        ("LISINOPRIL/HCTZ", ("lisinopril", "hydrochlorothiazide")),
        ("Zestoretic", ("lisinopril", "hydrochlorothiazide")),
        ("Diovan HCT 160/12.5", ("valsartan", "hydrochlorothiazide")),
        ("Diovan 160 mg", ("valsartan",)),
        ("losartan potassium", ("losartan",)),
        ("Ethinyl estradiol 0.02 mg", ("ethinyl estradiol",)),
        ("vitamin B 12", ("cyanocobalamin",)),
        ("Insulin glargine 100 units/mL", ("insulin glargine",)),
        ("insulin", ("insulin human",)),
        ("Abacavir 300 MG Oral Tablet", ("abacavir",)),
        ("Xeloda 500 mg", ("capecitabine",)),
        ("fluorouracil 50 MG/ML Injection", ("fluorouracil",)),
        ("6-mercaptopurine 50 mg", ("mercaptopurine",)),
        ("tioguanine 40 mg", ("thioguanine",)),
        ("Mayzent 2 mg", ("siponimod",)),
        ("rasburicase", ("rasburicase",)),
        ("irinotecan", ("irinotecan",)),
        ("nitrazepam 5 mg", ("nitrazepam",)),
        ("Isosorbide mononitrate ER", ("isosorbide mononitrate",)),
        ("St. John's wort", ("st. john's wort",)),
        ("bottled water", ()),
        ("", ()),
    ],
)
def test_names_in_text(text, ingredients):
    assert name_drugs(text, DRUGS).ingredients == ingredients


@pytest.mark.parametrize("name", sorted(DRUGS.ingredients))
def test_every_ingredient_and_its_synonyms_are_found_again(name):
    ingredient = DRUGS.ingredients[name]
    for written in (name, name.upper(), *ingredient.synonyms):
        assert name_drugs(f"{written} 10 mg tablet", DRUGS).ingredients == (name,)


@given(st.text(max_size=80))
def test_no_text_breaks_the_name_search(text):
    named = name_drugs(text, DRUGS)
    assert set(named.ingredients) <= DRUGS.ingredients.keys()
    assert set(named.class_words) <= DRUGS.classes.keys()
    assert all(t == t.lower() for t in tokens(text) if t.isascii())


@pytest.mark.parametrize(
    ("text", "mg"),
    [
        ("Metformin hydrochloride 500 MG Oral Tablet", 500.0),
        ("24 HR metformin 1 g tablet", 1000.0),
        ("levothyroxine 75 mcg", 0.075),
        ("Metformin 1,000 mg", 1000.0),
        ("Digoxin 0.125 MG Oral Tablet", 0.125),
        ("amoxicillin 250 mg/5 mL", None),
        ("Nitroglycerin 0.4 MG/ACTUAT Mucosal Spray", None),
        ("lisinopril 20 mg / HCTZ 12.5 mg", None),
        ("lisinopril-hydrochlorothiazide 20-12.5 mg", None),
        ("warfarin", None),
    ],
)
def test_strength_only_when_it_is_one_clear_amount(text, mg):
    assert strength_mg(text) == mg


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("hydrocortisone 1% cream", True),
        ("Fluticasone 44 mcg HFA inhaler", True),
        ("timolol ophthalmic 0.5%", True),
        ("prednisone 5 mg tablet", False),
        ("estradiol transdermal patch", False),
    ],
)
def test_local_forms(text, local):
    assert acts_locally(text) is local


def test_cut_off_names_need_half_of_one_name_only():
    assert name_of_start("Amioda", DRUGS) == ("amiodarone",)
    assert name_of_start("Isosorbide Mononitrat", DRUGS) == ("isosorbide mononitrate",)
    assert name_of_start("predni", DRUGS) == ()  # prednisone or prednisolone
    assert name_of_start("hydro", DRUGS) == ()
    assert name_of_start("", DRUGS) == ()


def test_classes_with_their_unions():
    found = coded_chart(drug(rxnorm("314076", "lisinopril 10 MG Oral Tablet"))).medications[0]
    assert found.classes == {"ace-inhibitor", "ras-inhibitor", "bp-lowering"}
    assert (found.ingredients, found.rxcuis, found.confidence) == (("lisinopril",), ("29046",), 1.0)


def test_sacubitril_valsartan_is_arni_and_arb():
    found = coded_chart(drug(words("Entresto 24-26 mg")))
    assert found.takes("arni")
    assert found.takes("arb")
    assert not found.takes("ace-inhibitor")


def test_a_steroid_cream_is_no_systemic_steroid_but_stays_known():
    found = coded_chart(drug(words("hydrocortisone 1% cream")))
    assert not found.takes("corticosteroid")
    assert found.takes("hydrocortisone")


def test_a_nitrate_spray_is_a_nitrate():
    assert coded_chart(drug(rxnorm("705129", "Nitroglycerin 0.4 MG/ACTUAT Mucosal Spray"))).takes("nitrate")


def test_a_class_named_as_such():
    assert coded_chart(drug(words("a statin"))).takes("statin")


def test_unknown_current_drug_is_a_warning_past_one_is_information():
    now = coded_chart(drug(words("qwertzol")))
    past = coded_chart(drug(words("qwertzol"), current=False, status="stopped"))
    assert [i.severity for i in now.issues] == ["warning"]
    assert [i.severity for i in past.issues] == ["information"]
    assert now.medications[0].ingredients == ()
    assert "qwertzol" not in now.issues[0].diagnostics


def test_unknown_code_with_display_is_read_by_its_display():
    found = coded_chart(drug(rxnorm("1", "Metformin hydrochloride 850 MG Oral Tablet"))).medications[0]
    assert found.ingredients == ("metformin",)
    assert found.from_text


def test_code_against_text_is_a_conflict_and_the_code_counts():
    found = coded_chart(drug(rxnorm("314076", "", "warfarin 5 mg")))
    assert found.medications[0].ingredients == ("lisinopril",)
    assert [i.code for i in found.issues] == ["conflict"]


@pytest.mark.parametrize(
    ("label", "lines", "mg"),
    [
        ("metformin 500 mg tablet", [dosage("1", "tablet", 2.0)], 1000.0),
        ("metformin 500 mg tablet", [dosage("1000", "mg", 2.0)], 2000.0),
        ("levothyroxine 75 mcg", [dosage("1", "TAB")], 0.075),
        ("metformin", [dosage("1", "tablet", 2.0)], None),
        ("metformin 500 mg", [dosage("1", "tablet", None)], None),
        ("ibuprofen 200 mg", [dosage("1", "tablet", 3.0, as_needed=True)], None),
        ("insulin glargine", [dosage("20", "U")], None),
        ("warfarin 5 mg", [dosage("1", "", text="am"), dosage("0.5", "", text="pm")], 7.5),
        ("warfarin 5 mg", [dosage("1", ""), dosage("1", "")], None),
        ("lisinopril 20 mg / hctz 12.5 mg", [dosage("1", "tablet")], None),
        ("metformin 500 mg", [], None),
    ],
)
def test_daily_dose(label, lines, mg):
    found = coded_chart(drug(words(label), dosages=tuple(lines))).medications[0].daily_dose
    assert found == (pytest.approx(mg) if mg is not None else None)


def test_the_same_drug_told_twice_counts_once():
    """MR-1: request and statement of one drug; the one with a dose stays."""
    request = drug(rxnorm("314076"), 1, start=AS_OF - timedelta(days=5), dosages=(dosage("1", "tablet"),))
    told = drug(words("lisinopril 10 mg"), 2, reported=True, start=AS_OF)
    found = coded_chart(request, told)
    assert [m.medication.source for m in found.medications] == ["MedicationRequest/1"]
    assert [i.code for i in found.issues] == ["duplicate"]


def test_a_drug_told_without_strength_is_the_one_with_strength():
    found = coded_chart(drug(words("warfarin"), 1), drug(words("warfarin 5 mg"), 2))
    assert [m.medication.source for m in found.medications] == ["MedicationRequest/2"]


def test_different_strengths_are_both_taken():
    found = coded_chart(drug(words("warfarin 5 mg"), 1), drug(words("warfarin 2.5 mg"), 2))
    assert len(found.medications) == 2


def test_past_drugs_stay_in_the_history():
    old = [drug(words("simvastatin 10 mg"), n, current=False, status="completed") for n in range(3)]
    found = coded_chart(*old, drug(words("simvastatin 10 mg"), 9))
    assert len(found.medications) == 4
    assert len(found.taking("statin")) == 1


def test_several_codings_and_no_words():
    concept = Concept(
        (Coding("urn:local", "77"), Coding("http://www.nlm.nih.gov/research/umls/rxnorm", "29046"))
    )
    assert coded_chart(drug(concept)).medications[0].ingredients == ("lisinopril",)
    assert coded_chart(drug(Concept())).medications[0].ingredients == ()


@pytest.mark.parametrize(
    ("code", "display", "ingredients", "classes"),
    [
        ("C09AA05", "", ("ramipril",), {"ace-inhibitor", "ras-inhibitor", "bp-lowering"}),
        (
            "C03AA03",
            "Hydrochlorothiazid",
            ("hydrochlorothiazide",),
            {"thiazide", "bp-lowering", "sulfonamide-nonantibiotic"},
        ),
        ("C09DX04", "", ("valsartan", "sacubitril"), {"arb", "arni", "ras-inhibitor", "bp-lowering"}),
        ("C09AA08", "", (), {"ace-inhibitor", "ras-inhibitor", "bp-lowering"}),
        ("C10AA99", "Simvastatin 20", ("simvastatin",), {"statin", "lipid-lowering"}),
        ("Z99", "", (), set()),
    ],
)
def test_atc_codes(code, display, ingredients, classes):
    concept = Concept((Coding("http://www.whocc.no/atc", code, display),))
    found = coded_chart(drug(concept)).medications[0]
    assert (found.ingredients, found.classes) == (ingredients, classes)


@pytest.mark.parametrize(
    ("text", "ingredients", "confidence"),
    [
        ("atorvaststin 40 mg", ("atorvastatin",), 0.9),
        ("newbrand", ("rosuvastatin",), 0.9),
        ("maybe metformn", (), 0.0),
        ("nothing drug", (), 0.0),
    ],
)
def test_what_no_name_matches_is_asked_of_the_coder(text, ingredients, confidence):
    found = code_chart(chart(medications=(drug(words(text)),)), SmallCoder(), MAPS)
    assert (found.medications[0].ingredients, found.medications[0].confidence) == (ingredients, confidence)
    assert [d.decision.kind for d in found.decisions] == ["drug"]

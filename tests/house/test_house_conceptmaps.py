"""Concept maps, condition groups, drug classes, social facts: every code can exist, every key of the brief is there."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.coding import load_concept_maps
from fhir_twin.coding.check import check_concept_maps
from fhir_twin.coding.icd import below
from fhir_twin.coding.problem_map import COLUMNS, concept_map
from fhir_twin.errors import KnowledgeError
from fhir_twin.model.check_digits import loinc_digit, snomed_digit
from mappings import Source

with warnings.catch_warnings():  # the package reads its data in a way that Python 3.11 calls out of date
    warnings.simplefilter("ignore", DeprecationWarning)
    import simple_icd_10_cm as icd10

SOURCE = Source()
MAPS = load_concept_maps(SOURCE)
ROWS = next(rows for name, rows in SOURCE.tsv("concept-maps") if name == "starter-problems.tsv")
LABS = next(rows for name, rows in SOURCE.tsv("concept-maps") if name == "lab-names.tsv")
GROUPS = MAPS.groups.groups

CONDITION_GROUPS = """
diabetes diabetes-type-1 diabetes-type-2 diabetes-gestational prediabetes hypertension hyperlipidemia
familial-hypercholesterolemia obesity ckd ckd-stage-4-5 dialysis kidney-transplant solid-organ-transplant
polycystic-kidney acute-kidney-injury heart-failure heart-failure-reduced-ef ascvd coronary-disease
myocardial-infarction stroke hemorrhagic-stroke tia peripheral-artery-disease aortic-aneurysm atrial-fibrillation
heart-block sick-sinus bradycardia long-qt angioedema gout pancreatitis medullary-thyroid-cancer men-2 gastroparesis
ketoacidosis liver-disease-active cirrhosis nafld pregnancy lactation asthma copd active-cancer bladder-cancer
breast-cancer colorectal-cancer hospice dementia frailty osteoporosis depression bipolar eating-disorder myopathy
rhabdomyolysis hyperkalemia hypokalemia hyponatremia hypoglycemia-severe renal-artery-stenosis
orthostatic-hypotension falls genital-infection amputation diabetic-foot-ulcer retinopathy neuropathy albuminuria
sleep-apnea hypothyroidism migraine epilepsy hiv hepatitis-b hepatitis-c tobacco-use alcohol-use-disorder
bleeding-major peptic-ulcer g6pd-deficiency inflammatory-bowel-disease rheumatoid-arthritis hysterectomy-total
mastectomy-bilateral colectomy-total immunosuppression sickle-cell thyroid-cancer aortic-stenosis
"""

DRUG_CLASSES = """
ace-inhibitor arb arni ras-inhibitor ccb-dhp ccb-non-dhp thiazide loop-diuretic potassium-sparing-diuretic mra
beta-blocker alpha-blocker bp-lowering statin fibrate pcsk9-inhibitor lipid-lowering sglt2-inhibitor glp1-ra
dpp4-inhibitor sulfonylurea thiazolidinedione insulin glucose-lowering nsaid p2y12-inhibitor antiplatelet doac
vitamin-k-antagonist anticoagulant cyp3a4-inhibitor-strong cyp3a4-inducer-strong potassium-supplement ssri snri
tricyclic opioid corticosteroid antiarrhythmic qt-prolonging lithium-like sulfonamide-antibiotic
sulfonamide-nonantibiotic penicillin cephalosporin macrolide fluoroquinolone azole-antifungal ppi bisphosphonate
estrogen thyroid-hormone nitrate pde5-inhibitor
"""

SINGLE_DRUGS = "metformin ezetimibe aspirin digoxin lithium trimethoprim finerenone colchicine allopurinol"

_D = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043",
      "8765932104", "9876543210")  # fmt: skip
_P = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def verhoeff(code: str) -> bool:
    """SNOMED CT identifiers end in a Verhoeff check digit (SNOMED CT technical specification)."""
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = int(_D[check][int(_P[place % 8][int(digit)])])
    return check == 0


def loinc_check_digit(code: str) -> bool:
    """LOINC codes end in a mod-10 (Luhn) check digit. In answer codes ("LA...") a letter counts as its ASCII number
    less 48, as a digit does."""
    body, _, check = code.partition("-")
    total = 0
    for place, sign in enumerate(reversed(body)):
        value = ord(sign) - 48
        total += sum(map(int, str(value * 2))) if place % 2 == 0 else value
    return -total % 10 == int(check)


def test_the_check_digit_tests_can_fail():
    assert verhoeff("44054006")
    assert not verhoeff("44054007")
    assert all(map(loinc_check_digit, ("4548-4", "2160-0", "LA18976-3", "LA6576-8", "LA9663-1")))
    assert not loinc_check_digit("4548-5")


def test_the_starter_map_is_large_enough_and_has_its_columns():
    assert tuple(ROWS[0]) == COLUMNS
    assert len(ROWS) >= 600
    assert {row["kind"] for row in ROWS} == {"problem", "finding", "social"}


def test_every_snomed_code_has_a_right_check_digit_and_a_partition_of_concepts():
    codes = [row["snomed"] for row in ROWS] + [c for g in GROUPS.values() for c in g.snomed]
    assert [c for c in codes if not verhoeff(c)] == []
    assert [c for c in codes if c[-3:-1] not in ("00", "10")] == []


def test_rows_are_unique_and_sourced():
    for column in ("snomed", "term"):
        values = [row[column].lower() for row in ROWS]
        assert len(values) == len(set(values))
    assert [row["term"] for row in ROWS if not row["source"].strip()] == []


def test_no_word_stands_for_two_concepts():
    owner: dict[str, str] = {}
    for row in ROWS:
        for name in (row["term"], *filter(None, row["synonyms"].split("|"))):
            assert owner.setdefault(name.lower(), row["snomed"]) == row["snomed"], name


def test_every_icd10cm_code_exists_and_only_social_rows_may_lack_one():
    assert [row for row in ROWS if row["icd10cm"] and not icd10.is_valid_item(row["icd10cm"])] == []
    assert [row["term"] for row in ROWS if not row["icd10cm"] and row["kind"] != "social"] == []
    assert [
        row["term"]
        for row in ROWS
        if row["icd10cm"] and not icd10.is_leaf(row["icd10cm"]) and len(row["icd10cm"]) < 3
    ] == []


def test_the_map_as_fhir_concept_map():
    made = concept_map(MAPS.problems)
    elements = made["group"][0]["element"]
    assert len(elements) == sum(1 for row in ROWS if row["icd10cm"])
    assert all(e["target"][0]["equivalence"] == "relatedto" for e in elements)


def test_the_map_is_valid_r4():
    concept = pytest.importorskip("fhir.resources.R4B.conceptmap")
    concept.ConceptMap.model_validate(concept_map(MAPS.problems))


def test_every_group_of_the_brief_exists():
    assert set(CONDITION_GROUPS.split()) - GROUPS.keys() == set()


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_group_headings_exist_in_icd10cm(name):
    group = GROUPS[name]
    for heading in (*group.icd10cm, *group.excluded):
        for end in heading.split("-"):
            assert icd10.is_valid_item(end), heading
    for heading in group.excluded:
        first = heading.split("-")[0]
        assert any(below(first, h) for h in group.icd10cm), f"{heading} takes nothing out"


def test_words_of_groups_are_lower_case():
    assert [w for g in GROUPS.values() for w in g.words if w != w.lower()] == []


def test_every_class_of_the_brief_exists_and_has_members():
    assert set(DRUG_CLASSES.split()) - MAPS.drugs.classes.keys() == set()
    held = set().union(*(MAPS.drugs.classes_of([i]) for i in MAPS.drugs.ingredients))
    assert MAPS.drugs.classes.keys() - held == set()


def test_single_drugs_that_rules_name_exist():
    assert set(SINGLE_DRUGS.split()) | {"bempedoic acid"} <= MAPS.drugs.ingredients.keys()


def test_ingredients_have_a_source_and_a_numeric_rxcui_or_none():
    found = MAPS.drugs.ingredients.values()
    assert len(found) >= 250
    assert sum(1 for i in found if i.rxcui) >= 250
    assert [i.name for i in found if i.rxcui and not re.fullmatch(r"[1-9][0-9]{0,7}", i.rxcui)] == []
    assert [i.name for i in found if not i.source] == []


def test_lab_names_have_right_loinc_codes_and_known_specimens():
    assert [row["loinc"] for row in LABS if not loinc_check_digit(row["loinc"])] == []
    assert {row["specimen"] for row in LABS} <= {"blood", "urine", ""}
    assert [row["name"] for row in LABS if not row["source"]] == []


def test_social_codes_have_right_check_digits():
    social = MAPS.social
    codes = [*social.questions, *(pair for answers in social.answers.values() for pair in answers)]
    for system, code in codes:
        if "snomed" in system:
            assert verhoeff(code), code
        else:
            assert loinc_check_digit(code), code


def test_the_rooms_own_check_finds_nothing():
    assert list(check_concept_maps(SOURCE)) == []


@given(st.integers(min_value=100000, max_value=10**12).map(str))
def test_check_digits_agree_with_the_tables(code):
    """Two independent computations: group product in the product, published tables here."""
    assert snomed_digit(code) == verhoeff(code)
    assert loinc_digit(f"{code[:-1]}-{code[-1]}") == loinc_check_digit(f"{code[:-1]}-{code[-1]}")


@pytest.mark.parametrize("code", ["", "-", "4548", "4548-44", "45x8-4", "٤٥٤٨-٤", "LA-", "12\n"])
def test_no_code_at_all_has_no_right_check_digit(code):
    assert not loinc_digit(code)
    assert not snomed_digit(code or "x")


@pytest.mark.parametrize(
    ("folder", "name", "text", "fault"),
    [
        ("conditions", "x.toml", '[made-up]\nlabel = "x"\nsnomed = ["44054007"]\n', "44054007"),
        ("conditions", "x.toml", '[made-up]\nlabel = "x"\nicd10cm = ["e11"]\n', "e11"),
        (
            "social",
            "x.toml",
            '[smoking]\nquestion = [{ system = "http://loinc.org", code = "72166-3" }]\n',
            "72166-3",
        ),
        (
            "concept-maps",
            "lab-names.tsv",
            "name\tloinc\tsynonyms\tspecimen\tsource\na\t4548-5\t\t\tx\n",
            "4548-5",
        ),
        ("concept-maps", "lab-names.tsv", "name\tloinc\na\t4548-4\n", "missing"),
        ("drug-classes", "atc.tsv", "atc\tingredients\tclasses\tsource\nC9\t\tstatin\tx\n", "C9"),
    ],
)
def test_the_rooms_own_check_names_the_fault(tmp_path, folder, name, text, fault):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text(text)
    found = list(check_concept_maps(Source(overlay=tmp_path)))
    assert [line for line in found if fault in line]


@pytest.mark.parametrize(
    ("folder", "name", "text"),
    [
        ("conditions", "x.toml", '[made-up]\nlabel = "x"\n'),
        ("conditions", "x.toml", '[diabetes]\nlabel = "again"\nicd10cm = ["E11"]\n'),
        ("conditions", "x.toml", '[made-up]\nlabel = "x"\nincludes = ["no-such-group"]\n'),
        ("conditions", "x.toml", '[made-up]\nlabel = "x"\nicd10 = ["E11"]\n'),
        ("drug-classes", "x.toml", 'ingredient = [{ name = "Upper", rxcui = "", classes = [] }]\n'),
        ("drug-classes", "x.toml", 'ingredient = [{ name = "lisinopril", rxcui = "" }]\n'),
        (
            "drug-classes",
            "x.toml",
            'ingredient = [{ name = "x", rxcui = "", classes = ["no-such-class"] }]\n',
        ),
        ("drug-classes", "x.toml", 'ingredient = [{ name = "x", rxcui = "29046", classes = [] }]\n'),
        ("drug-classes", "x.toml", 'combination = [{ ingredients = ["lisinopril", "no-such-drug"] }]\n'),
        ("social", "x.toml", "[shoe-size]\nquestion = []\n"),
    ],
)
def test_a_wrong_file_of_a_site_is_refused(tmp_path, folder, name, text):
    """An overlay that contradicts the knowledge stops the start, naming the file."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text(text)
    with pytest.raises(KnowledgeError):
        load_concept_maps(Source(overlay=tmp_path))

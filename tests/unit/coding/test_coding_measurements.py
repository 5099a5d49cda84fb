"""Names of results to LOINC (OB-9, OB-12)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from coding_charts import SmallCoder, chart, coded, loinc, measured, words

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.model.codes import LOINC
from mappings import Source
from terminology.decision import Candidate, CodingDecision

MAPS = load_concept_maps(Source())


def code(concept, **more):
    found = code_chart(
        chart(measurements=(measured(concept, **{"value": Decimal(5), **more}),)), SmallCoder(), MAPS
    )
    return found.measurements[0], found.issues


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HgbA1c", "4548-4"),
        ("% Hemoglobin A1c", "4548-4"),
        ("Cholesterol, LDL, Calculated", "13457-7"),
        ("CREATININE", "2160-0"),
        ("Creatinine, Whole Blood", "2160-0"),
        ("creatinine serum", "2160-0"),
        ("Creatinine, Urine", "2161-8"),
        ("Alanine Aminotransferase (ALT)", "1742-6"),
        ("Systolic BP", "8480-6"),
        ("Albumin [Mass/volume] in Serum or Plasma", "1751-7"),
        ("Platelets [#/volume] in Blood by Automated count", "777-3"),
        ("Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "1742-6"),
        ("Albumin [Mass/volume] in Urine", "14957-5"),
    ],
)
def test_known_names(name, expected):
    found, issues = code(words(name))
    assert (found.loinc, found.from_text, issues) == ((expected,), True, ())
    assert 0.8 <= found.confidence < 1


@pytest.mark.parametrize(
    "name",
    ["Glucose, Ascites", "Creatinine, Pleural", "Glucose, CSF", "Glucose, Urine", "Plasma Hemoglobin",
     "Potassium, Stool", "Potassium, Urine", "24 hr Creatinine", "Glucose, Body Fluid",
     "Glucose in Cord blood", "Glucose [Mass/volume] in Cord blood",
     "Glucose [Mass/volume] in Urine by Test strip", "Glucose [Presence] in Blood"],
)  # fmt: skip
def test_another_specimen_or_analyte_is_never_taken_for_blood(name):
    assert code(words(name))[0].loinc == ()


@pytest.mark.parametrize("specimen", ["Urine", "Urine specimen (specimen)", "Ascites", "Cerebrospinal fluid"])
def test_the_specimen_of_the_record_counts(specimen):
    assert code(words("Glucose"), specimen=words(specimen))[0].loinc in ((), ("2345-7",))
    assert code(words("Glucose"), specimen=words("Urine"))[0].loinc == ()
    assert code(words("Glucose"), specimen=words("Ascites"))[0].loinc == ()
    assert code(words("Glucose"), specimen=words("Serum"))[0].loinc == ("2345-7",)


def test_a_urinalysis_panel_means_urine():
    assert code(words("Glucose"), panel=words("Urinalysis macro panel"))[0].loinc == ()


def test_given_codes_count_and_are_kept_in_order():
    found, _ = code(loinc("2345-7", "something else entirely"))
    assert (found.loinc, found.confidence, found.from_text) == (("2345-7",), 1.0, False)


def test_a_local_code_is_read_by_its_display():
    assert code(coded("urn:local", "50912", "Creatinine"))[0].loinc == ("2160-0",)


def test_an_unknown_name_with_a_number_is_said_one_without_is_not():
    assert [i.severity for i in code(words("qwertz antibodies"))[1]] == ["information"]
    assert code(words("qwertz antibodies"), value=None, text="see note")[1] == ()


@pytest.mark.parametrize(("name", "expected"), [("creatnine level", ("2160-0",)), ("maybe glucoze", ())])
def test_what_no_name_matches_is_asked_of_the_coder(name, expected):
    assert code(words(name))[0].loinc == expected


@pytest.mark.parametrize(("code_", "meant"), [("2823-3", ("2823-3",)), ("2823-4", ()), ("K", ())])
def test_a_code_without_a_system_is_loinc_by_its_check_digit(code_, meant):
    """OB-12: the system may be missing; a number that only looks like a LOINC code is none."""
    assert code(coded("", code_, ""))[0].loinc == meant


class _Lenient(SmallCoder):
    """Finds `matched` for everything, as a coder does that drops what it cannot place."""

    def __init__(self, matched, *steps):
        self.matched, self.steps = matched, steps

    def code(self, text, kind):
        found = Candidate(LOINC, "2160-0", self.matched, 0.95, matched=self.matched)
        return CodingDecision(
            text, kind, (0, len(text)), "present", (found,), (found,), 0.95, "retrieval", steps=self.steps
        )


@pytest.mark.parametrize(
    ("name", "matched", "steps", "taken"),
    [
        ("Hemoglobin C", "Hemoglobin", ("shorthand: c",), False),
        ("Protein S", "Protein/creatinine, urine", ("shorthand: s",), False),
        ("L", "LVEF", ("shorthand: l",), False),
        ("Stat", "Stature", ("spelling: stat -> stature",), False),
        ("Glyco A", "Glycohemoglobin", (), False),
        ("Triglycer", "Triglycerides", (), True),
        ("Vit D 25-OH", "25-OH vitamin D", ("shorthand: vit d",), True),
        ("body wt", "Body weight", ("shorthand: wt",), True),
    ],
)
def test_a_dropped_letter_or_a_finished_beginning_is_another_analyte(name, matched, steps, taken):
    given = chart(measurements=(measured(words(name), value=Decimal(5)),))
    found = code_chart(given, _Lenient(matched, *steps), MAPS)
    assert bool(found.measurements[0].loinc) is taken

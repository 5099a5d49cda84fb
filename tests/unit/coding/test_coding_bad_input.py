"""Bad input is normal: no text breaks coding, none takes long, none ends up in an issue."""

from __future__ import annotations

import time

import pytest
from coding_charts import AS_OF, SmallCoder, chart, drug, measured, problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.coding.words import key, says, tokens, without_tag
from fhir_twin.model.chart import Allergy, FamilyCondition, FamilyMember
from fhir_twin.model.codes import ICD10CM, LOINC, RXNORM, SNOMED, Coding, Concept
from mappings import Source

MAPS = load_concept_maps(Source())
SECONDS = 6.0  # of CPU; quadratic work would take minutes

systems = st.sampled_from(
    [SNOMED, ICD10CM, LOINC, RXNORM, "", "urn:local", "SNOMED", "http://hl7.org/fhir/sid/icd-10"]
)
codes = st.text(max_size=12) | st.sampled_from(["44054006", "E11.9", "e119", "2345-7", "29046", "O24.410"])
codings = st.lists(st.builds(Coding, systems, codes, st.text(max_size=30)), max_size=3).map(tuple)
concepts = st.builds(Concept, codings, st.text(max_size=40))


def everything(concept):
    relative = FamilyMember("FamilyMemberHistory/1", "FTH", 1, conditions=(FamilyCondition(concept),))
    return chart(
        problems=(problem(concept, onset=AS_OF),),
        medications=(drug(concept),),
        allergies=(Allergy("AllergyIntolerance/1", concept),),
        measurements=(measured(concept, coded=concept, specimen=concept, panel=concept),),
        family=(relative,),
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(concepts)
def test_any_concept_is_coded_or_said(concept):
    found = code_chart(everything(concept), SmallCoder(), MAPS)
    assert len(found.problems) >= 1
    assert len(found.medications) == len(found.allergies) == len(found.measurements) == 1
    assert found == code_chart(everything(concept), SmallCoder(), MAPS)


LONG = {
    "digits": "1" * 100_000,
    "blanks": " " * 100_000,
    "brackets": "(" * 100_000,
    "denials": "no angioedema " * 7_000,
    "drugs": "metformin 500 mg " * 5_000,
    "numbers": "1 mg / " * 13_000,
    "ways": "Glucose [Mass/volume] in " + " by \n" * 17_000,
    "dots": "1.2." * 25_000,
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_long_text_takes_bounded_time(name):
    started = time.process_time()
    code_chart(everything(Concept((Coding("", "1", LONG[name]),), LONG[name])), SmallCoder(), MAPS)
    assert time.process_time() - started < SECONDS


def test_issues_never_quote_the_record():
    secret = "Zaphod Beeblebrox 1979-10-12"
    found = code_chart(everything(Concept((Coding("urn:local", "77", secret),), secret)), SmallCoder(), MAPS)
    assert found.issues
    assert not any(
        "Zaphod" in f"{i.diagnostics}{i.expression}" or "1979" in i.diagnostics for i in found.issues
    )
    assert "Zaphod" not in repr(found)


@given(st.text())
def test_words_of_any_text(text):
    assert key(text) == " ".join(tokens(text))
    assert key(key(text)) == key(text)
    assert len(without_tag(text)) <= len(text)
    assert says(text, "no such phrase here") is False

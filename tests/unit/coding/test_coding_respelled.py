"""A drug that is not in the list is not respelled into one that is."""

from __future__ import annotations

import pytest
from coding_charts import SmallCoder, chart

from fhir_twin.coding import code_chart, load_concept_maps
from fhir_twin.coding.respelled import is_believable
from fhir_twin.model.chart import Allergy, Medication
from fhir_twin.model.codes import RXNORM, Concept
from mappings import Source
from terminology.decision import Candidate, CodingDecision

MAPS = load_concept_maps(Source())
SLIPS = [
    "lisinoprol -> lisinopril",
    "metformn -> metformin",
    "atorvastin -> atorvastatin",
    "asprin -> aspirin",
]
OTHERS = [
    "daunorubicin -> doxorubicin",
    "olopatadine -> loratadine",
    "colistin -> colestid",
    "hydrin -> hytrin",
    "adenine -> adenosine",
    "cycloserine -> cyclosporine",
    "pentobarbital -> phenobarbital",
    "chloroprocaine -> chlorpromazine",
    "pyrimethamine -> promethazine",
]


@pytest.mark.parametrize(("pair", "slip"), [(p, True) for p in SLIPS] + [(p, False) for p in OTHERS])
def test_a_slip_or_another_drug(pair: str, slip: bool) -> None:
    assert is_believable(("matched: x", f"spelling: {pair}", "ingredient: y")) is slip
    assert is_believable(("shorthand: asa", "ingredient: aspirin"))


class _Respeller(SmallCoder):
    """Answers every question with colestipol, which it had to respell."""

    def code(self, text, kind):
        found = (Candidate(RXNORM, "2685", "colestipol", 0.9),)
        steps = ("spelling: colistin -> colestid",)
        return CodingDecision(
            text, kind, (0, len(text)), "present", found, found, 0.9, "retrieval", steps=steps
        )

    def code_all(self, text, kind):
        return (self.code(text, kind),)


def test_neither_a_drug_nor_an_allergy_is_another_than_written() -> None:
    """An unknown allergen said to be understood would leave the real one unchecked."""
    drug = Medication("MedicationRequest/1", Concept(text="Colistin"), "active", True)
    allergy = Allergy("AllergyIntolerance/1", Concept(text="Colistin"))
    found = code_chart(chart(medications=(drug,), allergies=(allergy,)), _Respeller(), MAPS)
    assert found.medications[0].ingredients == ()
    assert found.allergies[0].ingredients == () and not found.allergies[0].understood
    assert {i.severity for i in found.issues} == {"warning"}

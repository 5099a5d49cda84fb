"""Family history -> condition groups of relatives (FM-1). A relative's disease is never the patient's."""

from __future__ import annotations

from fhir_twin.coding.problems import ProblemCoder
from fhir_twin.coding.words import after_family, without_tag
from fhir_twin.model.chart import FamilyMember
from fhir_twin.model.coded import CodedFamilyCondition
from fhir_twin.model.codes import Concept

TOLD = ("present", "historical", "family")


def code_family(member: FamilyMember, problems: ProblemCoder) -> tuple[CodedFamilyCondition, ...]:
    """One entry per condition of the relative that belongs to a group and is not denied."""
    found = []
    for condition in member.conditions:
        for meaning in problems.meanings(_disease(condition.concept), member.source):
            if meaning.groups and meaning.assertion in TOLD:
                found.append(CodedFamilyCondition(member, meaning.groups, condition.onset_age))
    return tuple(found)


def _disease(concept: Concept) -> Concept:
    """ "Family history of breast cancer" (Z80.3, or a SNOMED CT situation) names the relative's breast cancer."""
    rest = after_family(without_tag(concept.label))
    return Concept((), rest) if rest else concept

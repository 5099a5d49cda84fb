"""Family history -> condition groups of relatives (FM-1). A relative's disease is never the patient's."""

from __future__ import annotations

from fhir_twin.coding.problems import ProblemCoder
from fhir_twin.model.chart import FamilyMember
from fhir_twin.model.coded import CodedFamilyCondition

TOLD = ("present", "historical", "family")


def code_family(member: FamilyMember, problems: ProblemCoder) -> tuple[CodedFamilyCondition, ...]:
    """One entry per condition of the relative that belongs to a group and is not denied."""
    found = []
    for condition in member.conditions:
        for meaning in problems.meanings(condition.concept, member.source):
            if meaning.groups and meaning.assertion in TOLD:
                found.append(CodedFamilyCondition(member, meaning.groups, condition.onset_age))
    return tuple(found)

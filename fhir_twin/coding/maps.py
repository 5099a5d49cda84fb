"""ConceptMaps: all the knowledge of this stage, loaded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fhir_twin.coding.drugs import DrugCatalogue, load_drug_catalogue
from fhir_twin.coding.groups import ConditionGroups, load_condition_groups
from fhir_twin.coding.labs import LabNames, load_lab_names
from fhir_twin.coding.problem_map import ProblemMap, load_problem_map
from fhir_twin.coding.released import ReleasedMaps, open_released
from fhir_twin.coding.social_words import SocialWords, load_social_words
from mappings import Source

ACCEPT_FROM = 0.8


@dataclass(frozen=True)
class ConceptMaps:
    """problems: SNOMED CT -> ICD-10-CM; groups, drugs, labs, social: see their modules. accept_from: a coder's
    decision below this confidence is kept, but its problem counts as possible, not as true. released: the maps of
    imported releases, None when there are none."""

    problems: ProblemMap
    groups: ConditionGroups
    drugs: DrugCatalogue
    labs: LabNames
    social: SocialWords
    accept_from: float = ACCEPT_FROM
    released: ReleasedMaps | None = None


def load_concept_maps(source: Source, releases: Path | None = None) -> ConceptMaps:
    """Read concept-maps/, conditions/, drug-classes/ and social/, and open the imported `releases`. Raises
    KnowledgeError naming what is wrong."""
    return ConceptMaps(
        load_problem_map(source),
        load_condition_groups(source),
        load_drug_catalogue(source),
        load_lab_names(source),
        load_social_words(source),
        released=open_released(releases),
    )

"""`make knowledge` for this room: check digits and shapes of the codes in its four folders of mappings/.

What the loaders refuse (unknown keys, classes, ingredients, names with two meanings) is not repeated here. Whether an
ICD-10-CM code exists is tested against the tabular list in tests/house/test_house_conceptmaps.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhir_twin.coding.drugs import ATC_FILE
from fhir_twin.coding.icd import dotted
from fhir_twin.coding.maps import ConceptMaps, load_concept_maps
from fhir_twin.errors import KnowledgeError
from fhir_twin.model.check_digits import loinc_digit, snomed_digit
from fhir_twin.model.codes import LOINC, SNOMED
from mappings import Source

_ATC = re.compile(r"[A-Z]\d{2}(?:[A-Z](?:[A-Z](?:\d{2})?)?)?\Z")
_RXCUI = re.compile(r"[1-9]\d{0,7}\Z")


def check_concept_maps(source: Source) -> Iterator[str]:
    """One line per fault: "folder: code: what". Nothing when all is well."""
    try:
        maps = load_concept_maps(source)
    except (KnowledgeError, ValueError, KeyError) as error:
        yield str(error) if not isinstance(error, KeyError) else f"a column or key {error} is missing"
        return
    yield from _problems(maps)
    yield from _social(maps)
    for name, (code, _) in maps.labs.by_name.items():
        if not loinc_digit(code):
            yield f"concept-maps: {name}: LOINC {code} has a wrong check digit"
    for rxcui in maps.drugs.products:
        if not _RXCUI.match(rxcui):
            yield f"drug-classes: RxCUI {rxcui} is no number"
    for code in (*maps.drugs.atc, *maps.drugs.atc_groups):
        if not _ATC.match(code) or (len(code) == 7) != (code in maps.drugs.atc):
            yield f"drug-classes/{ATC_FILE}: {code} is no ATC code of its kind"


def _problems(maps: ConceptMaps) -> Iterator[str]:
    for row in maps.problems.by_snomed.values():
        if not snomed_digit(row.snomed):
            yield f"concept-maps: {row.term}: SNOMED CT {row.snomed} has a wrong check digit"
        if row.icd10cm and dotted(row.icd10cm) != row.icd10cm:
            yield f"concept-maps: {row.term}: {row.icd10cm} is not written as an ICD-10-CM code"
    for group in maps.groups.groups.values():
        yield from (
            f"conditions: {group.name}: SNOMED CT {code} has a wrong check digit"
            for code in group.snomed
            if not snomed_digit(code)
        )
        for heading in (*group.icd10cm, *group.excluded):
            if any(dotted(end) != end for end in heading.split("-")):
                yield f"conditions: {group.name}: {heading} is no ICD-10-CM heading"


def _social(maps: ConceptMaps) -> Iterator[str]:
    answers = (pair for of_fact in maps.social.answers.values() for pair in of_fact)
    for system, code in (*maps.social.questions, *answers):
        if (system == SNOMED and not snomed_digit(code)) or (system == LOINC and not loinc_digit(code)):
            yield f"social: {code} has a wrong check digit"

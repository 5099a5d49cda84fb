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


def snomed_digit(code: str) -> bool:
    """SNOMED CT: Verhoeff's check digit, in the dihedral group D5 (rotations 0 to 4, reflections 5 to 9)."""
    if not code.isascii() or not code.isdigit():
        return False
    check = 0
    for place, sign in enumerate(reversed(code)):
        check = _product(check, _turned(int(sign), place % 8))
    return check == 0


def _product(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 + (5 if b >= 5 else 0)
    return (a - b) % 5 + (0 if b >= 5 else 5)


def _turned(digit: int, times: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def loinc_digit(code: str) -> bool:
    """LOINC: mod-10 (Luhn) check digit; a letter of an answer code ("LA...") counts as its ASCII number less 48."""
    body, dash, check = code.partition("-")
    if not (dash and body.isascii() and body.isalnum() and len(check) == 1 and check.isdigit()):
        return False
    total = 0
    for place, sign in enumerate(reversed(body)):
        value = ord(sign) - 48
        total += sum(map(int, str(value * 2))) if place % 2 == 0 else value
    return -total % 10 == int(check)

"""Allergies -> the ingredients and classes they forbid; an allergen nobody understands is said so (AL-1)."""

from __future__ import annotations

from fhir_twin.coding.drug_text import LONGEST, name_drugs
from fhir_twin.coding.drugs import DrugCatalogue
from fhir_twin.coding.findings import Desk
from fhir_twin.coding.respelled import is_believable
from fhir_twin.coding.words import tokens, without_tag
from fhir_twin.model.chart import Allergy
from fhir_twin.model.coded import CodedAllergy
from fhir_twin.model.codes import ATC, RXNORM

NOT_DRUGS = ("food", "environment")
UNKNOWN = "An allergen could not be recognised; drugs are not checked against it"


def code_allergy(allergy: Allergy, desk: Desk) -> CodedAllergy:
    """RxNorm codes first, then displays and text; class-level words ("sulfa") forbid the class, and an allergy to
    one member of a cross-reacting class (penicillins, ACE inhibitors ...) forbids the class too."""
    drugs = desk.maps.drugs
    if allergy.none_known:
        return CodedAllergy(allergy, (), frozenset(), from_text=False, understood=True)
    concept = desk.meant(allergy.concept, allergy.source)
    for code in concept.codes(RXNORM):
        product = drugs.products.get(code)
        if product is not None:
            classes = _cross(product.ingredients, drugs)
            return CodedAllergy(allergy, product.ingredients, classes, from_text=False, understood=True)
    for code in concept.codes(ATC):
        named_by = drugs.atc.get(code, ())
        of_group = () if named_by else drugs.classes_of_atc(code)
        if named_by or of_group:
            classes = _cross(named_by, drugs) | frozenset(of_group)
            return CodedAllergy(allergy, named_by, classes, from_text=False, understood=True)
    for text in _texts(allergy):
        named = name_drugs(text, drugs)
        if named.ingredients or named.class_words:
            classes = _cross(named.ingredients, drugs) | frozenset(named.class_words)
            return CodedAllergy(allergy, named.ingredients, classes, from_text=True, understood=True)
    coded = _ask_coder(allergy, desk)
    if coded is not None:
        return coded
    harmless = any(_names_no_drug(text, drugs) for text in _texts(allergy))
    category = bool(allergy.categories) and all(c in NOT_DRUGS for c in allergy.categories)
    understood = harmless or (category and bool(_texts(allergy)))
    if not understood:
        desk.note("warning", "not-found", UNKNOWN, allergy.source)
    return CodedAllergy(allergy, (), frozenset(), from_text=True, understood=understood)


def _ask_coder(allergy: Allergy, desk: Desk) -> CodedAllergy | None:
    texts = _texts(allergy)
    if not texts or any(_names_no_drug(t, desk.maps.drugs) for t in texts):
        return None
    decision = desk.whole(texts[0], "allergy", allergy.source, "code")
    if decision.abstained or decision.confidence < desk.maps.accept_from or not is_believable(decision.steps):
        return None
    named = name_drugs(" ; ".join(c.display for c in decision.chosen), desk.maps.drugs)
    if not named.ingredients and not named.class_words:
        return None
    classes = _cross(named.ingredients, desk.maps.drugs) | frozenset(named.class_words)
    return CodedAllergy(allergy, named.ingredients, classes, from_text=True, understood=True)


def _texts(allergy: Allergy) -> tuple[str, ...]:
    displays = (without_tag(c.display) for c in allergy.concept.codings if c.display)
    text = (allergy.concept.text,) if allergy.concept.text else ()
    return tuple(dict.fromkeys((*displays, *text)))


def _cross(ingredients: tuple[str, ...], drugs: DrugCatalogue) -> frozenset[str]:
    return frozenset(c for c in drugs.classes_of(ingredients) if drugs.classes[c].cross)


def _names_no_drug(text: str, drugs: DrugCatalogue) -> bool:
    words = tokens(text)
    return any(
        words[at : at + size] in drugs.harmless
        for at in range(len(words))
        for size in range(1, min(LONGEST, len(words) - at) + 1)
    )

"""Drugs -> CodedMedication: ingredients, classes, daily dose; the same drug told twice counts once (MR-1)."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.coding.doses import daily_mg
from fhir_twin.coding.drug_text import NamedDrug, acts_locally, name_drugs, name_of_start, strength_mg
from fhir_twin.coding.findings import Desk
from fhir_twin.coding.respelled import is_believable
from fhir_twin.model.chart import Medication
from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.codes import ATC, RXNORM, Concept

FROM_DISPLAY, FROM_TEXT, FROM_START = 0.95, 0.9, 0.85

UNKNOWN = "A current drug could not be recognised; safety checks do not see it"
UNKNOWN_PAST = "A drug of the past could not be recognised"
CONFLICT = "The words of a drug name another substance than its code; the code was taken"
TWICE = "The same drug is told by several resources; it was counted once"


@dataclass(frozen=True, slots=True)
class DrugMeaning:
    """What one drug concept says. strength: mg of the single ingredient in one piece."""

    ingredients: tuple[str, ...]
    rxcuis: tuple[str, ...]
    classes: frozenset[str]
    strength: float | None
    confidence: float
    from_text: bool


class DrugCoder:
    """Meanings of drug concepts, each worked out once per call."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._known: dict[Concept, DrugMeaning] = {}
        self._drugs = desk.maps.drugs

    def code(self, medication: Medication) -> CodedMedication:
        m = self.meaning(medication)
        dose = daily_mg(medication.dosages, m.strength) if len(m.ingredients) == 1 else None
        return CodedMedication(
            medication, m.ingredients, m.rxcuis, m.classes, dose, m.confidence, m.from_text
        )

    def meaning(self, medication: Medication) -> DrugMeaning:
        concept, source = medication.concept, medication.source
        if concept not in self._known:
            self._known[concept] = self._meaning(self.desk.meant(concept, source), source)
        found = self._known[concept]
        if not found.ingredients and not found.classes:
            if medication.current:
                self.desk.note("warning", "not-found", UNKNOWN, source)
            else:
                self.desk.note("information", "not-found", UNKNOWN_PAST, source)
        return found

    def _meaning(self, concept: Concept, source: str) -> DrugMeaning:
        words = _words(concept)
        spoken = name_drugs(concept.text, self._drugs)
        for code in concept.codes(RXNORM):
            product = self._drugs.products.get(code)
            if product is not None:
                if spoken.ingredients and not set(spoken.ingredients) & set(product.ingredients):
                    self.desk.note("warning", "conflict", CONFLICT, source)
                named = NamedDrug(product.ingredients)
                return self._finish(named, words, product.strength, 1.0, from_text=False)
        for code in concept.codes(ATC):
            if code in self._drugs.atc:
                return self._finish(NamedDrug(self._drugs.atc[code]), words, None, 1.0, from_text=False)
        for coding in concept.codings:
            named = name_drugs(coding.display, self._drugs)
            if named.ingredients:
                return self._finish(named, words, None, FROM_DISPLAY, from_text=True)
        if spoken.ingredients or spoken.class_words:
            return self._finish(spoken, words, None, FROM_TEXT, from_text=True)
        of_group = tuple(c for code in concept.codes(ATC) for c in self._drugs.classes_of_atc(code))
        if of_group:
            return self._finish(
                NamedDrug((), tuple(dict.fromkeys(of_group))), words, None, 1.0, from_text=False
            )
        start = name_of_start(concept.text, self._drugs)
        if start:
            return self._finish(NamedDrug(start), words, None, FROM_START, from_text=True)
        return self._ask_coder(concept, words, source)

    def _ask_coder(self, concept: Concept, words: str, source: str) -> DrugMeaning:
        text = concept.text or concept.label
        if not text:
            return self._finish(NamedDrug(()), words, None, 0.0, from_text=True)
        decision = self.desk.whole(text, "drug", source, "code")
        if decision.confidence >= self.desk.maps.accept_from and is_believable(decision.steps):
            for candidate in decision.chosen:
                product = self._drugs.products.get(candidate.code) if candidate.system == RXNORM else None
                named = (
                    NamedDrug(product.ingredients) if product else name_drugs(candidate.display, self._drugs)
                )
                if named.ingredients:
                    return self._finish(named, words, None, decision.confidence, from_text=True)
        return self._finish(NamedDrug(()), words, None, 0.0, from_text=True)

    def _finish(
        self, named: NamedDrug, words: str, strength: float | None, confidence: float, *, from_text: bool
    ) -> DrugMeaning:
        drugs = self._drugs
        classes = drugs.classes_of(named.ingredients, named.class_words)
        if acts_locally(words):
            classes = frozenset(c for c in classes if not drugs.classes[c].systemic)
        known = strength if strength is not None else _strength(words)
        return DrugMeaning(
            named.ingredients, drugs.rxcuis(named.ingredients), classes, known, confidence, from_text
        )


def _words(concept: Concept) -> str:
    """Displays first: they are the products' own names; one per line."""
    found = [c.display for c in concept.codings if c.display] + ([concept.text] if concept.text else [])
    return "\n".join(dict.fromkeys(found))


def _strength(words: str) -> float | None:
    """Of the first line that tells one."""
    return next((s for line in words.split("\n") if (s := strength_mg(line)) is not None), None)


def once(
    medications: tuple[CodedMedication, ...], drugs: DrugCoder, desk: Desk
) -> tuple[CodedMedication, ...]:
    """Current drugs of the same ingredients and strength told by several resources become one: that which gives a
    dose, was ordered, is newest. One without strength is taken for the same as one with. Different strengths
    stay apart (5 mg and 2.5 mg warfarin are both taken). Past drugs all stay."""
    same: dict[tuple[str, ...], dict[float | None, list[CodedMedication]]] = {}
    for drug in medications:
        if drug.medication.current and drug.ingredients:
            strength = drugs.meaning(drug.medication).strength
            same.setdefault(drug.ingredients, {}).setdefault(strength, []).append(drug)
    dropped: set[int] = set()
    for by_strength in same.values():
        unsaid = by_strength.pop(None, []) if len(by_strength) > 1 else []
        rest = [d for group in by_strength.values() for d in sorted(group, key=_worth)[:-1]]
        for drug in (*unsaid, *rest):
            dropped.add(id(drug))
            desk.note("information", "duplicate", TWICE, drug.medication.source)
    return tuple(d for d in medications if id(d) not in dropped)


def _worth(drug: CodedMedication) -> tuple[bool, bool, float, str]:
    start = drug.medication.start
    ordered = not drug.medication.reported
    return (drug.daily_dose is not None, ordered, start.timestamp() if start else 0.0, drug.medication.source)

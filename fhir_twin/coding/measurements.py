"""Measurements -> LOINC: the codes given, else the name by lab-names.tsv, else the text coder (OB-12)."""

from __future__ import annotations

from fhir_twin.coding.findings import Desk
from fhir_twin.coding.words import tokens
from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedMeasurement
from fhir_twin.model.codes import LOINC, Concept
from terminology.decision import CodingDecision

BY_NAME = 0.95
SHORTHAND = "shorthand:"  # how the coder's record names an abbreviation that it wrote out
LEAST_SHARE = 0.6  # of a word's letters that must be there before the coder's completion of it is believed
UNKNOWN = "A result without a known code could not be recognised by its name; it is not used"


class LabCoder:
    """LOINC per concept and specimen, each worked out once per call."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._meant: dict[Concept, tuple[str, ...]] = {}
        self._known: dict[tuple[Concept, str], tuple[tuple[str, ...], float]] = {}

    def code(self, measurement: Measurement) -> CodedMeasurement:
        given = self._given(measurement)
        if given:
            return CodedMeasurement(measurement, tuple(dict.fromkeys(given)), 1.0, from_text=False)
        specimen = _specimen(measurement)
        about = (measurement.concept, specimen)
        if about not in self._known:
            self._known[about] = self._by_words(measurement, specimen)
        loinc, confidence = self._known[about]
        return CodedMeasurement(measurement, loinc, confidence, from_text=True)

    def _given(self, measurement: Measurement) -> tuple[str, ...]:
        concept = measurement.concept
        if concept not in self._meant:
            self._meant[concept] = self.desk.meant(concept, measurement.source).codes(LOINC)
        return self._meant[concept]

    def _by_words(self, measurement: Measurement, specimen: str) -> tuple[tuple[str, ...], float]:
        concept, desk = measurement.concept, self.desk
        names = [w for w in (concept.text, *(c.display for c in concept.codings)) if w]
        for name in names:
            found = desk.maps.labs.loinc(name, specimen)
            if found:
                return (found,), BY_NAME
        if names and measurement.value is not None:
            text = f"{names[0]}, {specimen}" if specimen else names[0]
            decision = desk.whole(text, "lab", measurement.source, "code")
            chosen = tuple(c.code for c in decision.chosen if c.system == LOINC)
            accepted = decision.confidence >= desk.maps.accept_from
            if chosen and accepted and _is_all_said(text, decision):
                return chosen, decision.confidence
            desk.note("information", "not-found", UNKNOWN, measurement.source)
        return (), 0.0


def _is_all_said(name: str, decision: CodingDecision) -> bool:
    """False when the coder had to drop a letter or to finish a short beginning: hemoglobin C, protein S and "stat" are
    other things than hemoglobin, protein and stature, though they look alike."""
    known = tokens(decision.chosen[0].matched)
    if not known:
        return True
    short = {
        w for step in decision.steps if step.startswith(SHORTHAND) for w in tokens(step[len(SHORTHAND) :])
    }
    for word in tokens(name):
        whole = next((k for k in known if k != word and k.startswith(word) and word not in known), "")
        cut = bool(whole) and word not in short and len(word) < LEAST_SHARE * len(whole)
        if cut or (len(word) == 1 and word not in known):
            return False
    return True


def _specimen(measurement: Measurement) -> str:
    """The specimen as told; a urinalysis panel means urine ("Glucose 500" there is no blood glucose)."""
    if measurement.specimen is not None and measurement.specimen.label:
        return measurement.specimen.label
    panel = measurement.panel.label.lower() if measurement.panel else ""
    return "urine" if "urin" in panel or panel == "ua" else ""

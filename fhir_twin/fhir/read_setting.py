"""Where a value was measured: home, office, ambulatory (24 h monitor), inpatient (EN-1, OB-10).

Only what the record says counts, from the most to the least specific: who supplied it, method, device and
words of the code, then the class of the encounter.
"""

from __future__ import annotations

import re

from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.systems import US_CORE_TAGS, V3_OBSERVATION_VALUE
from fhir_twin.model.chart import Setting

# v3-ActCode encounter classes. HH = home health, VR = virtual: the patient is at home. EMER and OBSENC count as
# inpatient: the values are those of an acute state.
_BY_CLASS: dict[str, Setting] = {
    "AMB": "office",
    "HH": "home",
    "VR": "home",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "EMER": "inpatient",
    "OBSENC": "inpatient",
    "SS": "inpatient",
    "PRENC": "office",
}
_AMBULATORY = re.compile(
    r"\bABPM\b|\bambulatory\b.*\b(?:24|monitor)|\b24[ -]?h(?:ou)?rs?\b.*\bblood pressure", re.I
)
_HOME = re.compile(r"\bhome\b|\bself[- ](?:measured|monitored|reported)\b", re.I)


def is_patient_supplied(given: k.Observation) -> bool:
    """A label PATAST, the US Core tag patient-supplied, or the patient (or a relative) as performer."""
    labels = given.meta.security + given.meta.tag if given.meta is not None else ()
    for label in labels:
        if label.code == "PATAST" and label.system in (V3_OBSERVATION_VALUE, None):
            return True
        if label.code == "patient-supplied" and label.system == US_CORE_TAGS:
            return True
    performers = [(p.type or "", p.reference or "") for p in given.performer]
    return bool(performers) and all(
        kind in ("Patient", "RelatedPerson") or "Patient/" in text or "RelatedPerson/" in text
        for kind, text in performers
    )


def find_setting(given: k.Observation, raw: Resource, encounter: str, context: Context) -> Setting:
    """The setting; "unknown" when the record does not say."""
    told = _told(given, raw, context)
    if told == "ambulatory":
        return told
    if told == "home" or is_patient_supplied(given):
        return "home"
    return _BY_CLASS.get(context.encounters.get(encounter, ""), "unknown")


def _told(given: k.Observation, raw: Resource, context: Context) -> Setting:
    """The setting that words say; remembered by code, method and category, which repeat."""
    key = (given.code, given.method, given.category)
    if given.device is None and key in context.settings:
        return context.settings[key]
    words = _words(given, raw, context)
    told: Setting = (
        "ambulatory" if _AMBULATORY.search(words) else "home" if _HOME.search(words) else "unknown"
    )
    if given.device is None:
        context.settings[key] = told
    return told


def _words(given: k.Observation, raw: Resource, context: Context) -> str:
    """Texts and displays of code, method, device and category, for the two patterns above."""
    found: list[str] = []
    for concept in (given.code, given.method, *given.category):
        if concept is not None:
            found.append(concept.text or "")
            found += [c.display or "" for c in concept.coding]
    if given.device is not None:
        device = context.concept_of(given.device, raw, "type")
        found += [device.text, given.device.display or "", *(c.display for c in device.codings)]
    return " ".join(word for word in found if word)

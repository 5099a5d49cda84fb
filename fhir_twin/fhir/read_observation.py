"""Observation -> Measurements (standards.md 2.2). One Observation gives none, one, or one per component."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.moments import Moment
from fhir_twin.fhir.read_device import read_device
from fhir_twin.fhir.read_genes import is_gene_result, read_gene
from fhir_twin.fhir.read_setting import find_setting, is_patient_supplied
from fhir_twin.fhir.read_values import has_value, pressure_in_text, read_value
from fhir_twin.model.chart import GeneResult, Measurement, Setting
from fhir_twin.model.codes import LOINC, SNOMED, UCUM, Coding, Concept

# OB-1: a result that stands; "preliminary" stands with a flag. The others are no values of the patient.
USED_STATUSES = frozenset(["final", "amended", "corrected", "preliminary"])
# A number that is there but cannot be taken as one is said, not only left out.
UNUSABLE = {
    "number-out-of-range": "the number is of no size that a measured value can have: not used",
    "unknown-comparator": "the comparator of the value is not known: not used",
}
# OB-11: blood pressure panels (85354-9; obsolete 55284-4, 35094-2) and the average panel 96607-7.
PRESSURE_PANELS = frozenset(["85354-9", "55284-4", "35094-2"])
AVERAGE_PANELS = frozenset(["96607-7"])
# The same pair under another code or in words: SNOMED CT blood pressure (observable entity), "BP".
_PRESSURE_SNOMED = frozenset(["75367002", "364090009"])
_PRESSURE_WORDS = frozenset(["blood pressure", "bp", "blood pressure panel", "systolic/diastolic"])
_SYSTOLIC = Concept((Coding(LOINC, "8480-6", "Systolic blood pressure"),))
_DIASTOLIC = Concept((Coding(LOINC, "8462-4", "Diastolic blood pressure"),))


@dataclass(slots=True, repr=False)
class _Shared:
    """What all Measurements of one Observation have in common."""

    source: str
    status: str
    time: datetime | None
    time_end: datetime | None
    setting: Setting
    categories: tuple[str, ...]
    encounter: str
    specimen: Concept | None
    method: Concept | None
    device: Concept | None
    flags: tuple[str, ...]


def read_observation(
    given: k.Observation, raw: Resource, source: str, context: Context
) -> tuple[list[Measurement], list[GeneResult]]:
    """The Measurements, or the genetic findings, of one Observation; nothing (said or counted) if not used."""
    status = elements.status_code(given.status)
    if status not in USED_STATUSES:
        context.skip_status("Observation", status or "unknown")
        return [], []
    if not _is_about(given, source, context):
        return [], []
    time, time_end, flags = _time(given, source, context)
    if time is not None and time > context.as_of:
        context.skip_later("Observation")
        return [], []
    concept = context.concept(given.code)
    if is_gene_result(given, concept):
        return [], read_gene(given, source, time, context)
    shared = _shared(given, raw, source, status, time, time_end, flags, context)
    return _measurements(given, concept, shared, context), []


def _is_about(given: k.Observation, source: str, context: Context) -> bool:
    """OB-9: `focus` on anything but the patient (a fetus, a donor, a relative) takes it out."""
    if not given.focus or all(context.index.target(f, "Patient") == context.patient for f in given.focus):
        return True
    text = "Observation has a focus other than the patient: not used"
    context.issues.add("information", "business-rule", text, source)
    return False


def _time(
    given: k.Observation, source: str, context: Context
) -> tuple[datetime | None, datetime | None, tuple[str, ...]]:
    """(time, end of a period, flags): effective[x], else issued (OB-5)."""
    text = given.effective_date_time or given.effective_instant
    found = context.when(text, source, "Observation.effective[x]")
    if found is not None:
        return found.point_by(context.as_of), None, _precision_flags(found)
    if given.effective_period is not None:
        return _period(given.effective_period, source, context)
    if given.effective_timing is not None:
        return _timing(given.effective_timing, source, context), None, ("time-from-timing",)
    issued = context.when(given.issued, source, "Observation.issued")
    if issued is not None:
        return issued.point_by(context.as_of), None, ("time-from-issued", *_precision_flags(issued))
    return None, None, ("no-time",)


def _precision_flags(found: Moment) -> tuple[str, ...]:
    if found.precision != "time":
        return (f"time-{found.precision}-precision",)
    return ("time-without-zone",) if found.assumed_zone else ()


def _period(
    given: s.Period, source: str, context: Context
) -> tuple[datetime | None, datetime | None, tuple[str, ...]]:
    """The end for what is over (an average, a 24 h urine), the start for what still runs."""
    start = context.when(given.start, source, "Observation.effectivePeriod.start")
    end = context.when(given.end, source, "Observation.effectivePeriod.end")
    flags = ("time-from-period",)
    if end is not None and (end.start <= context.as_of or start is None):
        point = end.point_by(context.as_of)
        return point, point, flags
    if start is None:
        return None, None, ("no-time",)
    return start.point_by(context.as_of), None, flags


def _timing(given: s.Timing, source: str, context: Context) -> datetime | None:
    """The last event that is not after as_of; without one the first (then all are later)."""
    points = sorted(
        found.point
        for text in given.event
        if (found := context.when(text, source, "Observation.effectiveTiming"))
    )
    past = [point for point in points if point <= context.as_of]
    return past[-1] if past else points[0] if points else None


def _shared(
    given: k.Observation,
    raw: Resource,
    source: str,
    status: str,
    time: datetime | None,
    time_end: datetime | None,
    flags: tuple[str, ...],
    context: Context,
) -> _Shared:
    if status == "preliminary":
        flags = ("preliminary", *flags)
    if is_patient_supplied(given):
        flags = (*flags, "patient-reported")
    specimen = context.concept_of(given.specimen, raw, "type") if given.specimen is not None else None
    encounter = context.index.target(given.encounter, "Encounter") if given.encounter is not None else ""
    return _Shared(
        source=source,
        status=status,
        time=time,
        time_end=time_end,
        setting=find_setting(given, raw, encounter, context),
        categories=context.codes(given.category),
        encounter=encounter,
        specimen=specimen if specimen is not None and not elements.is_empty(specimen) else None,
        method=elements.concept(given.method) if given.method is not None else None,
        device=read_device(given, raw, context),
        flags=flags,
    )


def _measurements(
    given: k.Observation, concept: Concept, shared: _Shared, context: Context
) -> list[Measurement]:
    own = has_value(given)
    if elements.is_empty(concept) and not given.component:
        context.issues.add("warning", "required", "Observation without a code: not used", shared.source)
        return []
    panel_codes = {c.code for c in concept.codings if c.system in (LOINC, "")}
    if given.value_string is not None and (panel_codes & PRESSURE_PANELS or _names_pressure(concept)):
        pair = pressure_in_text(given.value_string)
        if pair is not None:
            return _pressure_pair(pair, concept, shared)
    if panel_codes & AVERAGE_PANELS:
        shared.flags = (*shared.flags, "average")
    panel = context.panels.get(shared.source.split("/_history/")[0])
    found = []
    if own or not (given.component or given.has_member):
        found.append(_measurement(given, concept, panel, shared, context))
    for component in given.component:
        found += _component(component, concept, shared, context)
    return found


def _names_pressure(concept: Concept) -> bool:
    """Without a LOINC code: a SNOMED CT code or words that mean the pair and nothing else."""
    if any(c.system == LOINC for c in concept.codings):
        return False
    if any(c.system == SNOMED and c.code in _PRESSURE_SNOMED for c in concept.codings):
        return True
    return " ".join(concept.label.lower().split()) in _PRESSURE_WORDS


def _component(given: k.Value, panel: Concept, shared: _Shared, context: Context) -> list[Measurement]:
    concept = context.concept(given.code)
    if given.modifier_extension:
        text = "component with an unknown modifierExtension: not used"
        context.issues.add("warning", "extension", text, shared.source)
        return []
    if elements.is_empty(concept):
        context.issues.add("warning", "required", "component without a code: not used", shared.source)
        return []
    return [_measurement(given, concept, panel, shared, context)]


def _measurement(
    given: k.Observation | k.Value, concept: Concept, panel: Concept | None, shared: _Shared, context: Context
) -> Measurement:
    read = read_value(given)
    for flag in read.flags:
        if flag in UNUSABLE:
            context.issues.add("warning", "value", UNUSABLE[flag], shared.source)
    low, high = _reference_range(given.reference_range) if given.reference_range else (None, None)
    return Measurement(
        source=shared.source,
        concept=concept,
        time=shared.time,
        status=shared.status,
        value=read.value,
        comparator=read.comparator,
        unit=read.unit,
        unit_code=read.unit_code,
        unit_system=read.unit_system,
        coded=read.coded,
        text=read.text,
        boolean=read.boolean,
        absent_reason=read.absent_reason,
        time_end=shared.time_end,
        setting=shared.setting,
        categories=shared.categories,
        interpretation=context.codes(given.interpretation),
        reference_low=low,
        reference_high=high,
        method=shared.method,
        specimen=shared.specimen,
        device=shared.device,
        panel=panel,
        encounter=shared.encounter,
        flags=(*shared.flags, *read.flags) if read.flags else shared.flags,
    )


def _pressure_pair(pair: tuple[Decimal, Decimal], panel: Concept, shared: _Shared) -> list[Measurement]:
    """ "142/88" written as one text on a blood pressure panel."""
    return [
        Measurement(
            source=shared.source,
            concept=concept,
            time=shared.time,
            status=shared.status,
            value=value,
            unit="mm[Hg]",
            unit_code="mm[Hg]",
            unit_system=UCUM,
            time_end=shared.time_end,
            setting=shared.setting,
            categories=shared.categories,
            method=shared.method,
            device=shared.device,
            panel=panel,
            encounter=shared.encounter,
            flags=(*shared.flags, "parsed-from-text"),
        )
        for concept, value in zip((_SYSTOLIC, _DIASTOLIC), pair, strict=True)
    ]


def _reference_range(given: tuple[k.ReferenceRange, ...]) -> tuple[Decimal | None, Decimal | None]:
    """The laboratory's own normal range, for display (OB-7): the first that is untyped or "normal"."""
    for each in given:
        kinds = elements.codes((each.type,)) if each.type is not None else ()
        if not kinds or "normal" in kinds:
            low, high = elements.amount(each.low), elements.amount(each.high)
            return (low.value if low else None, high.value if high else None)
    return None, None

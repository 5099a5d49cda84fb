"""MedicationRequest, -Statement, -Dispense, -Administration -> Medication (MR-1)."""

from __future__ import annotations

from datetime import datetime, timedelta

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.moments import Moment
from fhir_twin.fhir.read_dosage import dosages_or_name, read_dosages
from fhir_twin.fhir.read_stopped import FLAG as STOPPED
from fhir_twin.fhir.read_stopped import says_stopped, told
from fhir_twin.model.chart import Dosage, Medication
from fhir_twin.model.codes import Concept

# Orders that somebody means to happen. proposal and option are ideas (ours or another system's): not a drug taken.
ORDERS = frozenset(["order", "plan", "original-order", "reflex-order", "filler-order", "instance-order", ""])
CURRENT = frozenset(["active", "on-hold", "unknown"])
HAS_MEDICATION = (
    c.MedicationRequest | c.MedicationStatement | c.MedicationDispense | c.MedicationAdministration
)


def read_request(
    given: c.MedicationRequest, raw: Resource, source: str, context: Context
) -> Medication | None:
    status, intent = elements.status_code(given.status), elements.status_code(given.intent)
    start = context.when(given.authored_on, source, "MedicationRequest.authoredOn")
    concept = _usable(given, raw, source, status, start, context)
    if concept is None:
        return None
    end = _validity_end(given, source, context)
    past = end is not None and end.end <= context.as_of
    prohibited = bool(given.do_not_perform)
    reasons = (given.status_reason,) if given.status_reason is not None else ()
    stopped = says_stopped(
        (concept.label, *told(given.note, reasons, given.dosage_instruction)), concept.label
    )
    marks = {
        STOPPED: stopped and status in CURRENT,
        "on-hold": status == "on-hold",
        "status-unknown": status in ("unknown", ""),
        "do-not-perform": prohibited,
        "past-validity": past,
        "not-an-order": intent not in ORDERS,
    }
    return Medication(
        source=source,
        concept=concept,
        status=status,
        current=status in CURRENT and intent in ORDERS and not prohibited and not past and not stopped,
        intent=intent,
        start=start.point_by(context.as_of) if start is not None else None,
        end=end.point if end is not None else None,
        dosages=dosages_or_name(given.dosage_instruction, concept.label),
        reported=given.reported_boolean is True or given.reported_reference is not None,
        reasons=_reasons(given.reason_code, given.reason_reference, raw, context),
        flags=tuple(flag for flag, holds in marks.items() if holds),
    )


def read_statement(
    given: c.MedicationStatement, raw: Resource, source: str, context: Context
) -> Medication | None:
    status = elements.status_code(given.status)
    period = given.effective_period or s.Period(start=given.effective_date_time)
    start = context.when(period.start, source, "MedicationStatement.effective[x]")
    end = context.when(period.end, source, "MedicationStatement.effectivePeriod.end")
    asserted = context.when(given.date_asserted, source, "MedicationStatement.dateAsserted")
    concept = _usable(given, raw, source, status, start or asserted, context)
    if concept is None:
        return None
    over = end is not None and end.end <= context.as_of
    said = start or (asserted if status == "not-taken" else None)
    # A course that ended only after as_of was being taken on that day.
    running = status in CURRENT or (status in ("completed", "stopped") and end is not None)
    stopped = says_stopped(
        (concept.label, *told(given.note, given.status_reason, given.dosage)), concept.label
    )
    derived = [t for r in (*given.based_on, *given.derived_from) if (t := context.index.find(r)) is not None]
    marks = {
        STOPPED: stopped and running and not over,
        "on-hold": status == "on-hold",
        "status-unknown": status in ("unknown", ""),
        "not-taken": status == "not-taken",
        "past-validity": over,
        "derived": any(t.type == "MedicationRequest" for t in derived),
    }
    return Medication(
        source=source,
        concept=concept,
        status=status,
        current=running and not over and not stopped,
        start=said.point_by(context.as_of) if said is not None else None,
        end=end.point if end is not None else None,
        dosages=dosages_or_name(given.dosage, concept.label),
        reported=True,
        reasons=_reasons(given.reason_code, given.reason_reference, raw, context),
        flags=tuple(flag for flag, holds in marks.items() if holds),
    )


def read_dispense(
    given: c.MedicationDispense, raw: Resource, source: str, context: Context
) -> Medication | None:
    """Dated support. Alone it stands for a current drug while the supply lasts; beside its order it does not."""
    status = elements.status_code(given.status)
    handed = context.when(
        given.when_handed_over or given.when_prepared, source, "MedicationDispense.whenHandedOver"
    )
    concept = _usable(given, raw, source, status, handed, context)
    if concept is None:
        return None
    start = handed.point_by(context.as_of) if handed is not None else None
    end = _supplied_until(given, start)
    ordered = any(context.index.find(r) is not None for r in given.authorizing_prescription)
    return Medication(
        source=source,
        concept=concept,
        status=status,
        current=status == "completed" and not ordered and end is not None and end > context.as_of,
        start=start,
        end=end,
        dosages=read_dosages(given.dosage_instruction),
        flags=("dispensed", "derived") if ordered else ("dispensed",),
    )


def read_administration(
    given: c.MedicationAdministration, raw: Resource, source: str, context: Context
) -> Medication | None:
    """Dated support: that it was given once does not make it a drug the patient takes."""
    status = elements.status_code(given.status)
    period = given.effective_period or s.Period(start=given.effective_date_time)
    start = context.when(period.start, source, "MedicationAdministration.effective[x]")
    end = context.when(period.end, source, "MedicationAdministration.effectivePeriod.end")
    concept = _usable(given, raw, source, status, start, context)
    if concept is None:
        return None
    return Medication(
        source=source,
        concept=concept,
        status=status,
        current=False,
        start=start.point_by(context.as_of) if start is not None else None,
        end=end.point if end is not None else None,
        dosages=_administered(given.dosage),
        flags=("administered",),
    )


def _administered(given: c.AdministeredDose | None) -> tuple[Dosage, ...]:
    if given is None:
        return ()
    said = elements.amount(given.dose)
    route = elements.concept(given.route) if given.route is not None else None
    unit = (said.unit_code or said.unit) if said is not None else ""
    return (Dosage((given.text or "").strip(), said.value if said is not None else None, unit, None, route),)


def _usable(
    given: HAS_MEDICATION, raw: Resource, source: str, status: str, start: Moment | None, context: Context
) -> Concept | None:
    """The drug's concept; None (said) when the entry is in error, began after as_of, or names no drug."""
    kind = type(given).__name__
    if status == "entered-in-error":
        context.skip_status(kind, status)
        return None
    if context.later(start):
        context.skip_later(kind)
        return None
    concept = _drug(given, raw, context)
    if elements.is_empty(concept):
        context.issues.add(
            "warning", "required", f"{kind} names no medication that could be found: not used", source
        )
        return None
    return concept


def _drug(given: HAS_MEDICATION, raw: Resource, context: Context) -> Concept:
    """medication[x]: coded, text, contained, or referenced (I4); of a compound without a code its ingredient."""
    concept = elements.concept(given.medication_codeable_concept)
    if not elements.is_empty(concept) or given.medication_reference is None:
        return concept
    concept = context.concept_of(given.medication_reference, raw, "code")
    if concept.codings:
        return concept
    drug = context.resource_of(given.medication_reference, raw)
    listed = drug.get("ingredient") if drug is not None else None
    if isinstance(listed, list) and len(listed) == 1:
        held = context.convert({"resourceType": "Medication", "ingredient": listed}, c.Medication)
        item = held.ingredient[0].item_codeable_concept if held is not None else None
        only = elements.concept(item)
        return concept if elements.is_empty(only) else only
    return concept


def _validity_end(given: c.MedicationRequest, source: str, context: Context) -> Moment | None:
    """The earliest end that the order states: validity of the dispense request; bounds when all dosages end."""
    periods = [given.dispense_request.validity_period] if given.dispense_request is not None else []
    ends = [p.end for p in periods if p is not None and p.end]
    bounds = [_bound(d) for d in given.dosage_instruction]
    found = [context.when(end, source, "MedicationRequest validity") for end in ends]
    if bounds and all(bounds):
        read = [
            m for b in bounds if (m := context.when(b, source, "dosageInstruction.timing bounds")) is not None
        ]
        found += [max(read, key=lambda m: m.end)] if len(read) == len(bounds) else []
    known = [m for m in found if m is not None]
    return min(known, key=lambda m: m.end) if known else None


def _bound(given: s.DosageInstruction) -> str | None:
    repeat = given.timing.repeat if given.timing is not None else None
    return repeat.bounds_period.end if repeat is not None and repeat.bounds_period is not None else None


def _supplied_until(given: c.MedicationDispense, start: datetime | None) -> datetime | None:
    days = elements.amount(given.days_supply)
    if start is None or days is None or days.value is None or not 0 < days.value <= 400:
        return None
    return start + timedelta(days=float(days.value))


def _reasons(
    coded: tuple[s.CodeableConcept, ...], referenced: tuple[s.Reference, ...], raw: Resource, context: Context
) -> tuple[Concept, ...]:
    found = [elements.concept(each) for each in coded]
    found += [context.concept_of(each, raw, "code") for each in referenced]
    return tuple(each for each in found if not elements.is_empty(each))

"""Procedure, Immunization, Encounter, DiagnosticReport, ServiceRequest, DocumentReference, CarePlan -> Event."""

from __future__ import annotations

from datetime import datetime

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.model.chart import Event
from fhir_twin.model.codes import Concept


def read_procedure(given: c.Procedure, source: str, context: Context) -> Event | None:
    period = given.performed_period or s.Period(start=given.performed_date_time)
    notes = " ".join(n.text.strip() for n in given.note if n.text)
    category = (given.category,) if given.category is not None else ()
    text = notes or (given.performed_string or "").strip()
    return _event("Procedure", source, given.status, given.code, period, category, text, (), context)


def read_immunization(given: c.Immunization, source: str, context: Context) -> Event | None:
    period = s.Period(start=given.occurrence_date_time)
    text = (given.occurrence_string or "").strip()
    return _event("Immunization", source, given.status, given.vaccine_code, period, (), text, (), context)


def read_encounter(given: k.Encounter, source: str, context: Context) -> Event | None:
    """categories hold the class code (AMB, IMP, EMER ...)."""
    kind = given.class_
    code = elements.tidy(kind.code) if kind is not None else ""
    concept = elements.first_concept(given.type)
    if elements.is_empty(concept):
        concept = elements.first_concept(given.reason_code)
    if elements.is_empty(concept) and kind is not None:
        concept = elements.concept(s.CodeableConcept(coding=(kind,)))
    found = _event("Encounter", source, given.status, concept, given.period, (), "", (), context)
    return found if found is None or not code else _with_categories(found, (code,))


def read_report(given: c.DiagnosticReport, source: str, context: Context) -> Event | None:
    """text is the conclusion, its codes as words behind it."""
    period = given.effective_period or s.Period(start=given.effective_date_time or given.issued)
    words = [given.conclusion or "", *(elements.concept(code).label for code in given.conclusion_code)]
    text = "; ".join(word.strip() for word in words if word.strip())
    return _event(
        "DiagnosticReport", source, given.status, given.code, period, given.category, text, (), context
    )


def read_service_request(given: c.ServiceRequest, source: str, context: Context) -> Event | None:
    """An order that somebody else made; flags name its intent and a prohibition."""
    intent = elements.status_code(given.intent)
    flags = (f"intent-{intent}",) if intent.isascii() and intent.replace("-", "").isalpha() else ()
    if given.do_not_perform:
        flags = (*flags, "do-not-perform")
    period = s.Period(start=given.authored_on)
    return _event(
        "ServiceRequest", source, given.status, given.code, period, given.category, "", flags, context
    )


def read_document(given: c.DocumentReference, source: str, context: Context) -> Event | None:
    """Metadata only: the document itself is not opened."""
    if elements.status_code(given.doc_status) == "entered-in-error":
        context.skip_status("DocumentReference", "entered-in-error")
        return None
    text = (given.description or "").strip()
    period = s.Period(start=given.date)
    return _event(
        "DocumentReference", source, given.status, given.type, period, given.category, text, (), context
    )


def read_care_plan(given: c.CarePlan, source: str, context: Context) -> Event | None:
    """Somebody else's plan: what it is called and when it runs."""
    text = " - ".join(t.strip() for t in (given.title, given.description) if t and t.strip())
    concept = elements.first_concept(given.category)
    period = given.period or s.Period(start=given.created)
    return _event("CarePlan", source, given.status, concept, period, given.category, text, (), context)


def _event(
    kind: str,
    source: str,
    status: str | None,
    code: s.CodeableConcept | Concept | None,
    period: s.Period | None,
    category: tuple[s.CodeableConcept, ...],
    text: str,
    flags: tuple[str, ...],
    context: Context,
) -> Event | None:
    """None (counted) when in error or later than as_of. A time not given stays None."""
    said = elements.status_code(status)
    if said == "entered-in-error":
        context.skip_status(kind, said)
        return None
    start, end = _times(kind, source, period, context)
    if start is not None and start > context.as_of:
        context.skip_later(kind)
        return None
    return Event(
        source=source,
        kind=kind,
        concept=code if isinstance(code, Concept) else elements.concept(code),
        status=said,
        time=start,
        time_end=end,
        categories=elements.codes(category),
        text=text,
        flags=flags,
    )


def _times(
    kind: str, source: str, period: s.Period | None, context: Context
) -> tuple[datetime | None, datetime | None]:
    """(start, end); an end after as_of has not come yet; without a start the end is the only time known."""
    if period is None:
        return None, None
    start = context.point(period.start, source, f"{kind} time")
    end = context.point(period.end, source, f"{kind} time")
    if start is None:
        return end, end
    return start, None if end is not None and end > context.as_of else end


def _with_categories(event: Event, categories: tuple[str, ...]) -> Event:
    return Event(
        event.source,
        event.kind,
        event.concept,
        event.status,
        event.time,
        event.time_end,
        categories,
        event.text,
    )

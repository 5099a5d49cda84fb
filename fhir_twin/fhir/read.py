"""read_chart: a Bundle -> the Chart of one patient as of one moment. The only door for FHIR JSON.

    open_bundle -> choose the Patient -> per resource: ours? in error? understood? whose? -> typed struct -> reader

One bad resource never sinks the rest: it becomes an Issue that names the place and the rule, never a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.bundle import Entry, open_bundle
from fhir_twin.fhir.context import Context, Issues
from fhir_twin.fhir.convert import convert
from fhir_twin.fhir.read_conditions import read_allergy, read_condition
from fhir_twin.fhir.read_consent import read_consent, unreadable_consent
from fhir_twin.fhir.read_contained import contained_observations, is_of_report
from fhir_twin.fhir.read_duplicates import mark_duplicates
from fhir_twin.fhir.read_events import (
    read_care_plan,
    read_document,
    read_encounter,
    read_immunization,
    read_procedure,
    read_report,
    read_service_request,
)
from fhir_twin.fhir.read_family import read_family
from fhir_twin.fhir.read_fate import TYPES as PROPOSALS
from fhir_twin.fhir.read_fate import read_fate
from fhir_twin.fhir.read_gate import in_error, is_adopted, is_own, is_understood, note_labels, own_devices
from fhir_twin.fhir.read_genes import read_report_genes
from fhir_twin.fhir.read_goal import read_goal
from fhir_twin.fhir.read_links import encounter_classes, panels
from fhir_twin.fhir.read_medications import read_administration, read_dispense, read_request, read_statement
from fhir_twin.fhir.read_observation import USED_STATUSES, read_observation
from fhir_twin.fhir.read_patient import read_patient
from fhir_twin.fhir.read_subject import Subject, choose_patient, is_about
from fhir_twin.fhir.resolve import Index
from fhir_twin.model.chart import (
    Allergy,
    Chart,
    Completeness,
    Consent,
    Event,
    FamilyMember,
    GeneResult,
    Measurement,
    Medication,
    PatientGoal,
    Problem,
    Proposal,
)

UNFORESEEN = "could not be read: an element has a value that was not foreseen"

R = TypeVar("R", bound=s.Resource)
T = TypeVar("T")


@dataclass(slots=True, repr=False)
class _Shelf:
    """What has been read so far, in the order of the Bundle."""

    measurements: list[Measurement] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    medications: list[Medication] = field(default_factory=list)
    allergies: list[Allergy] = field(default_factory=list)
    family: list[FamilyMember] = field(default_factory=list)
    genes: list[GeneResult] = field(default_factory=list)
    goals: list[PatientGoal] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)


_Reader = Callable[[Entry, Context, _Shelf], None]


def read_chart(
    bundle: dict[str, Any],
    as_of: datetime,
    *,
    patient: str = "",
    completeness: tuple[Completeness, ...] = (),
) -> Chart:
    """The Chart of one patient.

    bundle: any R4 Bundle as parsed JSON (numbers as int, float or Decimal). as_of: timezone-aware; what is dated
    later is counted and left out; its zone is taken for dates without one. patient: the id the Bundle must be
    about ("" = its only Patient). Raises InvalidInput without a usable Patient; everything else is an Issue."""
    if as_of.tzinfo is None:
        raise InvalidInput("as_of needs a time zone")
    opened = open_bundle(bundle)
    index = Index(opened.entries, opened.bases)
    subject = choose_patient(opened.entries, index, patient)
    issues = Issues()
    issues.extend(opened.issues)
    context = Context(as_of, f"Patient/{subject.entry.id}", index, issues)
    person = _convert(subject.entry, k.Patient, issues)
    if person is None:
        raise InvalidInput("the Patient resource cannot be read", issues=issues.all())
    if not is_understood(subject.entry.raw, subject.entry.source, issues):
        raise InvalidInput("the Patient resource has modifiers that are not understood", issues=issues.all())
    note_labels(subject.entry.raw, subject.entry.source, issues)
    record = read_patient(person, subject.entry.source, subject.entry.id, context)
    context.encounters = encounter_classes(opened.entries)
    context.panels = panels(opened.entries, context)
    shelf = _read_all(opened.entries, subject, context)
    return Chart(
        patient=record,
        as_of=as_of,
        measurements=mark_duplicates(shelf.measurements),
        problems=tuple(shelf.problems),
        medications=tuple(shelf.medications),
        allergies=tuple(shelf.allergies),
        family=tuple(shelf.family),
        genes=_once(shelf.genes),
        goals=tuple(shelf.goals),
        consents=tuple(shelf.consents),
        events=tuple(shelf.events),
        issues=issues.all(),
        completeness=completeness,
        counts=tuple(sorted(Counter(entry.type for entry in opened.entries).items())),
        proposals=tuple(shelf.proposals),
    )


def _read_all(entries: tuple[Entry, ...], subject: Subject, context: Context) -> _Shelf:
    shelf, issues = _Shelf(), context.issues
    devices = own_devices(entries)
    for entry in entries:
        own = is_own(entry.raw, devices)
        if own and entry.type in PROPOSALS:
            _note_fate(entry, subject, context, shelf)
        read = _READERS.get(entry.type)
        if read is None:
            continue
        if own and not is_adopted(entry.raw):
            issues.count(
                "information", "informational", "resources are fhir-twin's own earlier output: not read back"
            )
        elif in_error(entry.raw):
            context.skip_status(entry.type, "entered-in-error")
        elif is_about(entry.raw, entry.source, subject, context.index, issues) and _may_read(entry, issues):
            note_labels(entry.raw, entry.source, issues)
            _read(entry, read, context, shelf)
    return shelf


def _note_fate(entry: Entry, subject: Subject, context: Context, shelf: _Shelf) -> None:
    """Only of this patient's; what is wrong with an output of ours is no issue of the record."""
    quiet = replace(context, issues=Issues())
    if is_about(entry.raw, entry.source, subject, context.index, quiet.issues):
        fate = read_fate(entry.raw, entry.source, quiet)
        if fate is not None:
            shelf.proposals.append(fate)


def _may_read(entry: Entry, issues: Issues) -> bool:
    """A Consent that is not understood must not pass for "no consent": its reader says so itself (CN-3)."""
    return entry.type == "Consent" or is_understood(entry.raw, entry.source, issues)


def _read(entry: Entry, read: _Reader, context: Context, shelf: _Shelf) -> None:
    """Last line of defence: a value that a reader did not foresee costs its resource, not the record."""
    try:
        read(entry, context, shelf)
    except (ValueError, ArithmeticError, RecursionError):
        context.issues.add("error", "exception", UNFORESEEN, entry.source)
        if entry.type == "Consent":
            shelf.consents.append(unreadable_consent(entry.raw, entry.source))


def _convert(entry: Entry, kind: type[R], issues: Issues) -> R | None:
    given, found = convert(entry.raw, kind, entry.source)
    for issue in found:
        issues.add(issue.severity, issue.code, issue.diagnostics, issue.expression)
    return given


def _once(genes: list[GeneResult]) -> tuple[GeneResult, ...]:
    """A report's conclusion often repeats its Observations: the same finding counts once, the Observation's."""
    ordered = sorted(genes, key=lambda g: g.source.startswith("DiagnosticReport/"))
    first: dict[tuple[str, str, str], GeneResult] = {}
    for gene in ordered:
        first.setdefault((gene.gene, gene.diplotype, gene.phenotype), gene)
    return tuple(gene for gene in genes if first[(gene.gene, gene.diplotype, gene.phenotype)] is gene)


# --- one small function per type -------------------------------------------------------------------


def _plain(
    kind: type[R], read: Callable[[R, str, Context], T | None], place: Callable[[_Shelf], list[T]]
) -> _Reader:
    """A reader that gives one thing or nothing and needs no raw JSON."""

    def reader(entry: Entry, context: Context, shelf: _Shelf) -> None:
        given = _convert(entry, kind, context.issues)
        found = read(given, entry.source, context) if given is not None else None
        if found is not None:
            place(shelf).append(found)

    return reader


def _drug(kind: type[R], read: Callable[[R, dict[str, Any], str, Context], Medication | None]) -> _Reader:
    """Medications need the raw JSON for their contained resources."""

    def reader(entry: Entry, context: Context, shelf: _Shelf) -> None:
        given = _convert(entry, kind, context.issues)
        found = read(given, entry.raw, entry.source, context) if given is not None else None
        if found is not None:
            shelf.medications.append(found)

    return reader


def _observation(entry: Entry, context: Context, shelf: _Shelf) -> None:
    _observation_alone(entry, context, shelf)
    _contained(entry, context, shelf)


def _observation_alone(entry: Entry, context: Context, shelf: _Shelf) -> None:
    given = _convert(entry, k.Observation, context.issues)
    if given is not None:
        measurements, genes = read_observation(given, entry.raw, entry.source, context)
        shelf.measurements += measurements
        shelf.genes += genes


def _report(entry: Entry, context: Context, shelf: _Shelf) -> None:
    given = _convert(entry, c.DiagnosticReport, context.issues)
    event = read_report(given, entry.source, context) if given is not None else None
    if given is not None and event is not None:
        shelf.events.append(event)
        if event.status in USED_STATUSES:
            shelf.genes += read_report_genes(given, entry.source, event.time)
    if given is not None:
        _contained(entry, context, shelf)


def _contained(entry: Entry, context: Context, shelf: _Shelf) -> None:
    """Observations inside a report or a panel: one that cannot be read does not cost the others."""
    for inner in contained_observations(entry):
        if in_error(inner.raw):
            context.skip_status("Observation", "entered-in-error")
        elif is_understood(inner.raw, inner.source, context.issues) and is_of_report(inner, entry, context):
            _read(inner, _observation_alone, context, shelf)


def _consent(entry: Entry, context: Context, shelf: _Shelf) -> None:
    given = _convert(entry, c.Consent, context.issues)
    found = (
        read_consent(given, entry.source, context) if given else unreadable_consent(entry.raw, entry.source)
    )
    if found is not None:
        shelf.consents.append(found)


_READERS: dict[str, _Reader] = {
    "Observation": _observation,
    "Condition": _plain(k.Condition, read_condition, lambda shelf: shelf.problems),
    "AllergyIntolerance": _plain(k.AllergyIntolerance, read_allergy, lambda shelf: shelf.allergies),
    "MedicationRequest": _drug(c.MedicationRequest, read_request),
    "MedicationStatement": _drug(c.MedicationStatement, read_statement),
    "MedicationDispense": _drug(c.MedicationDispense, read_dispense),
    "MedicationAdministration": _drug(c.MedicationAdministration, read_administration),
    "FamilyMemberHistory": _plain(k.FamilyMemberHistory, read_family, lambda shelf: shelf.family),
    "Goal": _plain(c.Goal, read_goal, lambda shelf: shelf.goals),
    "Consent": _consent,
    "DiagnosticReport": _report,
    "Procedure": _plain(c.Procedure, read_procedure, lambda shelf: shelf.events),
    "Immunization": _plain(c.Immunization, read_immunization, lambda shelf: shelf.events),
    "Encounter": _plain(k.Encounter, read_encounter, lambda shelf: shelf.events),
    "ServiceRequest": _plain(c.ServiceRequest, read_service_request, lambda shelf: shelf.events),
    "DocumentReference": _plain(c.DocumentReference, read_document, lambda shelf: shelf.events),
    "CarePlan": _plain(c.CarePlan, read_care_plan, lambda shelf: shelf.events),
}

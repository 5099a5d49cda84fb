"""Whose record is it: choose the Patient of a Bundle, and keep every other patient's resources out of the chart."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.bundle import Entry, Resource
from fhir_twin.fhir.context import Issues
from fhir_twin.fhir.resolve import Index

# Where the R4 types that we read name their subject.
SUBJECT_KEYS = ("subject", "patient")


@dataclass(frozen=True, slots=True, repr=False)
class Subject:
    """entry: the Patient; targets: every "Patient/id" that means this person (merged records too)."""

    entry: Entry
    targets: frozenset[str]


def choose_patient(entries: tuple[Entry, ...], index: Index, wanted: str) -> Subject:
    """The Patient that `wanted` ("id" or "Patient/id") names, or the only one in the Bundle.

    Raises InvalidInput when there is none, another one, or no telling which. Messages name no ids."""
    patients = [entry for entry in entries if entry.type == "Patient"]
    if not patients:
        raise InvalidInput("the Bundle holds no Patient")
    ident = wanted.strip().removeprefix("Patient/").split("/_history/")[0]
    if ident:
        entry = next((p for p in patients if p.id == ident), None)
        if entry is None:
            raise InvalidInput("the Bundle does not hold the Patient that was asked for")
        return Subject(entry, _same_person(entry, patients, index))
    entry = _only_patient(patients, index)
    if not entry.id:
        raise InvalidInput("the Patient has neither id nor a urn:uuid fullUrl")
    return Subject(entry, _same_person(entry, patients, index))


def _only_patient(patients: list[Entry], index: Index) -> Entry:
    """The one Patient; of merged records the one that stays; of a search the one that matched."""
    staying = [
        p for p in patients if not _linked(p, "replaced-by", index) & {f"Patient/{q.id}" for q in patients}
    ]
    if len(staying) > 1:
        staying = [p for p in staying if p.mode == "match"]
    if len(staying) != 1:
        raise InvalidInput("the Bundle holds several Patients: say which one, or split it")
    return staying[0]


def _same_person(entry: Entry, patients: list[Entry], index: Index) -> frozenset[str]:
    """This record and those merged into it (link replaces / replaced-by), directly or in turn."""
    same = {f"Patient/{entry.id}"} | _linked(entry, "replaces", index)
    for _ in patients:
        more = {
            f"Patient/{p.id}"
            for p in patients
            if p.id and f"Patient/{p.id}" not in same and _linked(p, "replaced-by", index) & same
        }
        more |= {
            t for p in patients if f"Patient/{p.id}" in same for t in _linked(p, "replaces", index)
        } - same
        if not more:
            break
        same |= more
    return frozenset(same)


def _linked(entry: Entry, kind: str, index: Index) -> set[str]:
    links = entry.raw.get("link")
    found = set()
    for link in links if isinstance(links, list) else ():
        try:
            read = msgspec.convert(link, k.PatientLink)
        except (msgspec.ValidationError, RecursionError):
            continue
        if read.type is not None and read.type.strip() == kind:
            found.add(index.target(read.other, "Patient"))
    return found - {""}


def is_about(raw: Resource, source: str, subject: Subject, index: Index, issues: Issues) -> bool:
    """True when the resource's subject is this patient; otherwise it is left out and said (OB-9, row 41)."""
    given = next((raw[key] for key in SUBJECT_KEYS if raw.get(key) is not None), None)
    try:
        reference = msgspec.convert(given, s.Reference) if given is not None else None
    except (msgspec.ValidationError, RecursionError):
        reference = None
    if reference is None:
        issues.add("warning", "required", "names no subject: not used", source)
        return False
    target = index.target(reference, "Patient")
    if target in subject.targets:
        return True
    if not target:
        issues.add("warning", "not-found", "its subject cannot be told from this Bundle: not used", source)
    elif target.startswith("Patient/"):
        issues.add("error", "business-rule", "is about another patient: not used", source)
    else:
        issues.add("information", "business-rule", "is not about a patient: not used", source)
    return False

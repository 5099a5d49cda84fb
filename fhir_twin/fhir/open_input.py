"""Bytes of a file or request -> one Bundle per patient: Bundle JSON, a single resource, an array, or NDJSON.

A bad line costs that line: it becomes an Issue with its number and byte offset, never with its content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fhir_twin.errors import InvalidInput, Issue, TooCostly
from fhir_twin.fhir import structs as s
from fhir_twin.fhir.bundle import Entry, open_bundle
from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.read_subject import SUBJECT_KEYS
from fhir_twin.fhir.resolve import Index

MAX_LINE = 64 * 1024 * 1024
Bundle = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class PatientBundle:
    """patient: the id to hand to `read_chart` beside the Bundle."""

    patient: str
    bundle: Bundle


@dataclass(frozen=True, slots=True, repr=False)
class Split:
    """One Bundle per patient, in the order of the patients in the input, and what could not be placed."""

    patients: tuple[PatientBundle, ...]
    issues: tuple[Issue, ...] = ()


def bundles_in(data: bytes, *, what: str = "input") -> Split:
    """The patients in `data`. Raises InvalidInput when nothing of it is FHIR; bad parts become issues."""
    bundle, issues = _one_bundle(data, what)
    split = split_by_patient(bundle)
    return Split(split.patients, (*issues, *split.issues))


def _one_bundle(data: bytes, what: str) -> tuple[Bundle, tuple[Issue, ...]]:
    if is_ndjson(data):
        return bundle_of_lines(data.splitlines(keepends=True), what=what)
    value = parse_json(data, what=what)
    if isinstance(value, dict) and value.get("resourceType") == "Bundle":
        return value, ()
    if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
        return collection([value]), ()
    if isinstance(value, list):
        return collection(value), ()
    raise InvalidInput(f"{what}: neither a FHIR resource nor a list of them")


def is_ndjson(data: bytes) -> bool:
    """Two lines or more that each begin an object. A pretty-printed Bundle has its second line inside the first."""
    head = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"{"):
        return False
    first, _, rest = head.partition(b"\n")
    return first.rstrip().endswith(b"}") and bool(rest.strip())


def bundle_of_lines(lines: Iterable[bytes], *, what: str = "input") -> tuple[Bundle, tuple[Issue, ...]]:
    """A collection Bundle of NDJSON lines (blank lines and CRLF are fine), and an Issue for each bad line."""
    resources: list[Any] = []
    issues: list[Issue] = []
    offset = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                resources.append(_resource(line))
            except (InvalidInput, TooCostly) as error:
                where = f"{what}: line {number}, byte {offset}"
                issues.append(Issue("error", error.code, f"line not read: {error.message}", where))
        offset += len(line)
    return collection(resources), tuple(issues)


def _resource(line: bytes) -> dict[str, Any]:
    value = parse_json(line, what="NDJSON", max_bytes=MAX_LINE)
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise InvalidInput("not a FHIR resource")
    return value


def collection(resources: list[Any]) -> Bundle:
    """A Bundle of type collection; a Bundle among the resources keeps its entries."""
    entries: list[Any] = []
    for resource in resources:
        is_bundle = isinstance(resource, dict) and resource.get("resourceType") == "Bundle"
        if is_bundle and isinstance(resource.get("entry"), list):
            entries += resource["entry"]
        else:
            entries.append({"resource": resource})
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@dataclass(slots=True, repr=False)
class _Sorting:
    """own: entries by "Patient/id". shared: resources that belong to nobody (Medication, Organization ...)."""

    own: dict[str, list[Entry]]
    shared: list[Entry] = field(default_factory=list)
    strange: int = 0


def split_by_patient(bundle: Bundle) -> Split:
    """One Bundle per Patient resource. Resources without subject go to all; those of a patient who is not in the
    input are counted in an Issue. Raises InvalidInput when there is no Patient at all."""
    opened = open_bundle(bundle)
    index = Index(opened.entries, opened.bases)
    patients = [entry for entry in opened.entries if entry.type == "Patient" and entry.id]
    if not patients:
        raise InvalidInput("the input holds no Patient")
    sorting = _Sorting({f"Patient/{p.id}": [p] for p in patients})
    for entry in opened.entries:
        if entry.type != "Patient":
            _sort(entry, index, sorting)
    issues = opened.issues
    if sorting.strange:
        text = f"{sorting.strange} resources are about a patient who is not in the input: not used"
        issues = (*issues, Issue("warning", "not-found", text))
    split = [PatientBundle(p.id, _bundle(sorting.own[f"Patient/{p.id}"] + sorting.shared)) for p in patients]
    return Split(tuple(split), issues)


def _sort(entry: Entry, index: Index, sorting: _Sorting) -> None:
    given = next((entry.raw[key] for key in SUBJECT_KEYS if entry.raw.get(key) is not None), None)
    if given is None:
        sorting.shared.append(entry)
        return
    try:
        target = index.target(msgspec.convert(given, s.Reference), "Patient")
    except (msgspec.ValidationError, RecursionError):
        target = ""
    if target in sorting.own:
        sorting.own[target].append(entry)
    else:
        sorting.strange += 1


def _bundle(entries: list[Entry]) -> Bundle:
    return {"resourceType": "Bundle", "type": "collection", "entry": list(_plain(entries))}


def _plain(entries: list[Entry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        item: dict[str, Any] = {"fullUrl": entry.full_url} if entry.full_url else {}
        if entry.mode:
            item["search"] = {"mode": entry.mode}
        item["resource"] = entry.raw
        yield item

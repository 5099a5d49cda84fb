"""Records from files: Bundles of any type and NDJSON, one or many patients in them, plain or gzip.

Implements service.Source. Everything given is one pool: a patient's resources may be spread over files (bulk
export gives one file per type) and refer to each other by Type/id or by the fullUrl of their Bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_twin.errors import Conflict, InvalidInput, Issue, NotFound
from fhir_twin.fhir.bundle import Entry, open_bundle
from fhir_twin.model.chart import Completeness
from fhir_twin.transport.files import MAX_FILE, Document, list_files, read_documents
from fhir_twin.transport.pull import Fetched
from fhir_twin.transport.urls import ID

Resource = dict[str, Any]
BASE = "urn:fhir-twin:files"


@dataclass(slots=True, repr=False)
class _Pool:
    """patients: id -> Patient entry; own: id -> entries about it; others: every key an entry answers to."""

    patients: dict[str, Entry] = field(default_factory=dict)
    own: dict[str, list[Entry]] = field(default_factory=dict)
    others: dict[str, Entry] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


class FolderSource:
    """Reads everything at the first question. Raises InvalidInput then when no Patient is in the files."""

    def __init__(self, paths: Path | Sequence[Path], *, base: str = BASE, max_bytes: int = MAX_FILE) -> None:
        self._paths = [paths] if isinstance(paths, Path) else list(paths)
        self._base = base
        self._max_bytes = max_bytes
        self._read: _Pool | None = None

    @property
    def base(self) -> str:
        return self._base

    @property
    def issues(self) -> tuple[Issue, ...]:
        """What could not be read, in the order of the files."""
        return tuple(self._pool().issues)

    def patients(self) -> Iterator[str]:
        yield from sorted(self._pool().patients)

    def find(self, system: str, value: str) -> str:
        found = sorted(
            id_
            for id_, entry in self._pool().patients.items()
            if any(
                isinstance(i, dict) and i.get("value") == value and (not system or i.get("system") == system)
                for i in _list(entry.raw.get("identifier"))
            )
        )
        if not found:
            raise NotFound("no patient in the files has this identifier")
        if len(found) > 1:
            raise Conflict(f"{len(found)} patients in the files have this identifier")
        return found[0]

    def fetch(self, patient: str) -> Fetched:
        pool = self._pool()
        if patient not in pool.patients:
            raise NotFound("the files hold no such patient")
        own = [pool.patients[patient], *pool.own.get(patient, [])]
        entries = [*own, *_referred(own, pool.others)]
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [
                {**({"fullUrl": e.full_url} if e.full_url else {}), "resource": _with_id(e)} for e in entries
            ],
        }
        return Fetched(bundle, _completeness(own), tuple(pool.issues), patient=patient)

    def _pool(self) -> _Pool:
        if self._read is None:
            pool = _Pool()
            waiting: list[tuple[Entry, dict[str, str]]] = []
            for document in read_documents(list_files(self._paths), max_bytes=self._max_bytes):
                waiting += _take(pool, document)
            for entry, urls in waiting:
                _file(pool, entry, urls)
            if not pool.patients:
                raise InvalidInput("the files hold no Patient", issues=tuple(pool.issues))
            self._read = pool
        return self._read


def _take(pool: _Pool, document: Document) -> list[tuple[Entry, dict[str, str]]]:
    """Patients go into the pool at once; the rest waits until all patients are known. With each entry goes its
    Bundle's fullUrl -> Patient id."""
    if document.value is None:
        pool.issues += [document.issue] if document.issue else []
        return []
    entries = _entries(pool, document)
    urls: dict[str, str] = {}
    rest = []
    for entry in entries:
        if entry.type != "Patient":
            rest.append(entry)
        elif entry.id:
            pool.patients[entry.id] = _newer(pool.patients.get(entry.id), entry)
            urls[entry.full_url] = entry.id
        else:
            text = "a Patient without id and fullUrl was left out"
            pool.issues.append(Issue("error", "required", text, entry.place, "fetch"))
    return [(entry, urls) for entry in rest]


def _entries(pool: _Pool, document: Document) -> tuple[Entry, ...]:
    value = document.value or {}
    if value["resourceType"] != "Bundle":
        value = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": value}]}
    try:
        opened = open_bundle(value)
    except InvalidInput as error:
        pool.issues.append(Issue("error", "structure", error.message, document.place, "fetch"))
        return ()
    pool.issues += [
        Issue(i.severity, i.code, i.diagnostics, f"{document.place} {i.expression}".strip(), "fetch")
        for i in opened.issues
    ]
    return opened.entries


def _file(pool: _Pool, entry: Entry, urls: dict[str, str]) -> None:
    reference = _subject(entry.raw)
    patient = urls.get(reference) or _named(pool, reference)
    if patient:
        pool.own.setdefault(patient, []).append(entry)
    elif reference:
        text = "a resource was left out: the patient it names is not in the files"
        pool.issues.append(Issue("warning", "not-found", text, entry.type, "fetch"))
    else:
        for key in (entry.full_url, f"{entry.type}/{entry.id}" if entry.id else ""):
            if key:
                pool.others[key] = _newer(pool.others.get(key), entry)


def _named(pool: _Pool, reference: str) -> str:
    """The Patient of the pool that a literal reference names, "" when it does not certainly name one (row 40): no
    dot segments, and an absolute one must not contradict the Patient's own fullUrl."""
    head, _, id_ = reference.split("/_history/")[0].rpartition("Patient/")
    entry = pool.patients.get(id_) if ID.match(id_) else None
    if entry is None or any(part in (".", "..") for part in head.split("/")):
        return ""
    if not head:
        return id_
    absolute = head.startswith(("http://", "https://")) and head.endswith("/")
    return id_ if absolute and entry.full_url in ("", f"{head}Patient/{id_}") else ""


def _newer(old: Entry | None, new: Entry) -> Entry:
    if old is None or not (old.version.isdecimal() and new.version.isdecimal()):
        return old or new
    return new if int(new.version) > int(old.version) else old


def _subject(resource: Resource) -> str:
    for element in ("subject", "patient"):
        value = resource.get(element)
        reference = value.get("reference") if isinstance(value, dict) else None
        if isinstance(reference, str):
            return reference
    return ""


def _referred(own: list[Entry], others: dict[str, Entry]) -> list[Entry]:
    """Entries of `others` that the record refers to, each once, sorted."""
    found: dict[str, Entry] = {}
    for entry in own:
        for reference in _references(entry.raw):
            key = reference.split("/_history/")[0]
            other = others.get(key) or others.get("/".join(key.split("/")[-2:]))
            if other is not None:
                found[f"{other.type}/{other.id}/{other.full_url}"] = other
    return [found[key] for key in sorted(found)]


def _references(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            reference = node.get("reference")
            if isinstance(reference, str):
                yield reference
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _with_id(entry: Entry) -> Resource:
    return entry.raw if entry.raw.get("id") or not entry.id else {**entry.raw, "id": entry.id}


def _completeness(own: list[Entry]) -> tuple[Completeness, ...]:
    counts: dict[str, int] = {}
    for entry in own[1:]:
        counts[entry.type] = counts.get(entry.type, 0) + 1
    note = "read from files; nothing says whether they are all"
    return tuple(Completeness(t, counts[t], None, "unknown", note) for t in sorted(counts))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

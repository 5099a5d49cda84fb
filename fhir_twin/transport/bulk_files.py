"""What is in the files of a finished export: rows, lines that cannot be read, deletions, what the server says went
wrong; and an earlier export brought up to date with a later one (BU-6, BU-7, C4, C6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from fhir_twin.errors import InvalidInput, Issue
from fhir_twin.fhir.outcome import issues_of
from fhir_twin.fhir.read_notice import deletions
from fhir_twin.transport.bulk_state import BulkState, KeptFile
from fhir_twin.transport.files import Document, read_documents

_MAX_TOLD = 200


@dataclass(slots=True, repr=False)
class Contents:
    """rows by type; bad: lines that could not be read; gone: "Type/id" of what was deleted; said: the server's own
    issues by severity; issues: what to tell (a bounded number), short: files with fewer lines than the server said."""

    rows: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    gone: set[str] = field(default_factory=set)
    said: Counter[str] = field(default_factory=Counter)
    issues: list[Issue] = field(default_factory=list)
    short: int = 0

    def tell(self, issue: Issue) -> None:
        if len(self.issues) < _MAX_TOLD:
            self.issues.append(issue)


def look(folder: Path, state: BulkState) -> Contents:
    """Reads every file once, line by line. A bad line is told by file and line, and the rest goes on."""
    found = Contents()
    for kept in state.files:
        if not kept.done:
            raise InvalidInput("the export is not complete; resume it first")
        lines = 0
        for document in _documents(folder / kept.name, kept):
            lines += 1
            _take(found, kept, document)
        if kept.count is not None and lines < kept.count:
            found.short += 1
            text = f"{kept.name} holds {lines} lines; the server said {kept.count}"
            found.tell(Issue("error", "incomplete", text, "", "fetch"))
    return found


def _documents(path: Path, kept: KeptFile) -> Iterator[Document]:
    for document in read_documents([path], max_bytes=1 << 62):
        place = document.place.replace("file[1]", kept.name)
        issue = document.issue
        if issue is not None:
            issue = Issue(
                issue.severity, issue.code, issue.diagnostics.replace("file[1]", kept.name), place, "fetch"
            )
        yield Document(place, document.value, issue)


def _take(found: Contents, kept: KeptFile, document: Document) -> None:
    value = document.value
    if value is None:
        found.bad += 1
        if document.issue is not None:
            found.tell(document.issue)
    elif kept.kind == "deleted":
        found.gone |= {c.reference for c in deletions(value)}
    elif kept.kind == "error" or value["resourceType"] == "OperationOutcome":
        for issue in issues_of(value, stage="fetch"):
            found.said[issue.severity] += 1
            found.tell(issue)
    else:
        found.rows[value["resourceType"]] += 1
        if kept.type not in ("Resource", value["resourceType"]):
            text = f"a {value['resourceType']} in a file of {kept.type}"
            found.tell(Issue("warning", "structure", text, document.place, "fetch"))


def bring_up_to_date(earlier: Path, old: BulkState, folder: Path, new: BulkState, gone: set[str]) -> int:
    """Copies into `folder` what the earlier export holds and the later one neither renews nor deletes, as one more file
    per type; how many rows. Memory: the ids of what is new."""
    known = set(gone)
    for kept in new.files:
        if kept.kind == "output":
            for document in read_documents([folder / kept.name], max_bytes=1 << 62):
                if document.value is not None:
                    known.add(f"{document.value['resourceType']}/{document.value.get('id', '')}")
    copied = 0
    for kept in old.files:
        if kept.kind == "output":
            copied += _copy(earlier / kept.name, folder / f"earlier-{kept.name}", known)
    for path in sorted(earlier.glob("earlier-*.ndjson")):
        copied += _copy(path, folder / path.name.replace("earlier-", "earlier-still-", 1), known)
    return copied


def _copy(source: Path, target: Path, known: set[str]) -> int:
    rows = 0
    part = target.with_name(target.name + ".part")
    with part.open("wb") as out:
        for document in read_documents([source], max_bytes=1 << 62):
            value = document.value
            if value is None or f"{value['resourceType']}/{value.get('id', '')}" in known:
                continue
            out.write(orjson.dumps(value, default=_digits) + b"\n")
            rows += 1
    part.replace(target)
    return rows


def _digits(value: object) -> orjson.Fragment:
    return orjson.Fragment(format(value, "f"))

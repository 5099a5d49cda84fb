"""Load Bundles into a FHIR server: for demos, tests and `make hapi`.

A transaction goes as it is; a batch, collection or searchset becomes a transaction of PUTs by id, so that loading
twice changes nothing. Files are taken in the order of their names, so what others refer to can come first (the
00-* files of a Synthea export).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput, UpstreamError
from fhir_twin.transport.files import list_files, read_documents
from fhir_twin.transport.protocols import FhirServer

Resource = dict[str, Any]
MAX_ENTRIES = 2000


def load(
    server: FhirServer,
    bundles: Iterable[Resource] = (),
    files: Iterable[Path] = (),
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> int:
    """Number of Bundles loaded. Raises the server's error, saying how far it came, or InvalidInput for a file that
    cannot be read (then nothing after it is loaded)."""
    loaded = 0
    for name, bundle in _all(list(bundles), list(files)):
        for part in as_transactions(bundle):
            _check(server.transaction(part), part, name)
        loaded += 1
        progress(f"loaded {name}: {len(bundle.get('entry', []))} resources")
    return loaded


def as_transactions(bundle: Resource) -> list[Resource]:
    """The transactions that load `bundle`. Raises InvalidInput when it cannot be loaded."""
    if bundle.get("resourceType") != "Bundle":
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    if bundle.get("type") == "transaction":
        return [bundle]
    entries = []
    for entry in bundle.get("entry", []):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or resource.get("resourceType") in (None, "OperationOutcome"):
            continue
        type_, id_ = resource["resourceType"], resource.get("id")
        if not isinstance(id_, str):
            raise InvalidInput("a resource without an id cannot be loaded twice safely; give a transaction")
        named = {"fullUrl": entry["fullUrl"]} if entry.get("fullUrl") else {}
        request = {"method": "PUT", "url": f"{type_}/{id_}"}
        entries.append({**named, "resource": resource, "request": request})
    parts = [entries[i : i + MAX_ENTRIES] for i in range(0, len(entries), MAX_ENTRIES)]
    return [{"resourceType": "Bundle", "type": "transaction", "entry": part} for part in parts]


def _all(bundles: list[Resource], files: list[Path]) -> Iterator[tuple[str, Resource]]:
    for number, bundle in enumerate(bundles, 1):
        yield f"sample {number} of {len(bundles)}", bundle
    listed = list_files(files) if files else []
    for document in read_documents(listed):
        if document.value is None:
            text = document.issue.diagnostics if document.issue else "not readable"
            raise InvalidInput(f"{document.place} of {len(listed)}: {text}")
        yield f"{document.place} of {len(listed)}", document.value


def _check(answer: Resource, sent: Resource, name: str) -> None:
    """A 200 whose entries are missing or failed is no success."""
    entries = answer.get("entry", [])
    if len(entries) != len(sent.get("entry", [])):
        raise UpstreamError(f"{name}: the server answered with fewer entries than were sent")
    failed = [e for e in entries if not str(e.get("response", {}).get("status", "")).startswith("2")]
    if failed:
        raise UpstreamError(f"{name}: {len(failed)} entries were not stored")

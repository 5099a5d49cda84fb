"""Load Bundles into a FHIR server: for demos, tests and `make hapi`.

A transaction goes as it is; a batch, collection or searchset becomes a transaction of PUTs by id, so that loading
twice changes nothing. Files are taken in the order of their names, so what others refer to can come first (the
00-* files of a Synthea export).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fhir_twin.errors import InvalidInput, TwinError, UpstreamError
from fhir_twin.transport.files import list_files, read_documents
from fhir_twin.transport.protocols import FhirServer

Resource = dict[str, Any]
MAX_ENTRIES = 2000


def load(
    server: FhirServer,
    bundles: Iterable[Resource] = (),
    files: Iterable[Path] = (),
    *,
    skip: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> int:
    """Number of Bundles loaded. skip: leave out the first so many (to go on where an earlier load stopped).

    Raises the server's error, or InvalidInput for a Bundle that cannot be read or loaded; its text says how many are
    loaded, and nothing after it is."""
    given, paths = list(bundles), list_files(list(files)) if files else []
    loaded = 0
    for number, (name, bundle) in enumerate(_all(given, paths)):
        if number < skip:
            continue
        try:
            if isinstance(bundle, TwinError):
                raise bundle
            for part in as_transactions(bundle):
                _check(server.transaction(part), part)
        except TwinError as error:
            error.message = f"{name}: {error.message} ({number} of {len(given) + len(paths)} are loaded)"
            error.args = (error.message,)
            raise
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


def _all(bundles: list[Resource], files: list[Path]) -> Iterator[tuple[str, Resource | TwinError]]:
    for number, bundle in enumerate(bundles, 1):
        yield f"sample {number} of {len(bundles)}", bundle
    for document in read_documents(files):
        name = f"{document.place} of {len(files)}"
        if document.value is not None:
            yield name, document.value
        else:
            yield name, InvalidInput(document.issue.diagnostics if document.issue else "not readable")


def _check(answer: Resource, sent: Resource) -> None:
    """A 200 whose entries are missing or failed is no success."""
    entries = answer.get("entry", [])
    if len(entries) != len(sent.get("entry", [])):
        raise UpstreamError("the server answered with fewer entries than were sent")
    failed = [e for e in entries if not str(e.get("response", {}).get("status", "")).startswith("2")]
    if failed:
        raise UpstreamError(f"{len(failed)} entries were not stored")

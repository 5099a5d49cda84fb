"""Self-test C: a small export (Patients changed from now on), deleted again. Nothing that is exported is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from fhir_twin.errors import TwinError
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.http import HttpClient, Reply
from fhir_twin.transport.selftest import Check

PATIENCE = 60.0
_HOW = {"Accept": JSON, "Prefer": "respond-async"}


def bulk(server: FhirServer, capability: ServerCapability, *, patience: float = PATIENCE) -> Iterator[Check]:
    """C1 to C7."""
    paths = [
        p
        for p, t in (("Patient/$export", "Patient"), ("Group/$export", "Group"))
        if capability.has_operation(t, "export")
    ]
    said = [str(v) for v in capability.raw.get("instantiates") or ()]
    if not paths and not any("bulk-data" in v for v in said):
        yield Check(
            "bulk export",
            "not offered",
            "no $export in the capability statement",
            "populations are read patient by patient",
            id="C1",
        )
        return
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        reply = server.client.request(
            "GET", f"Patient/$export?_type=Patient&_since={since}", headers=_HOW, repeat="never"
        )
    except TwinError as error:
        yield Check("bulk export", "fail", error.message, "look at the server's log", id="C1")
        return
    place = reply.headers.get("Content-Location", "")
    if reply.status != 202 or not place:
        yield Check(
            "bulk export",
            "fail",
            f"kick-off answered {reply.status}" + ("" if place else ", no Content-Location"),
            "ask for system/*.read scopes, or for export to be switched on",
            id="C1",
        )
        return
    yield Check("bulk export", "pass", "an export can be started", id="C1")
    client = _client(server, place)
    if client is None:
        yield Check(
            "bulk status address", "fail", "is on another server", "use the base URL that it names", id="C1b"
        )
        return
    yield from _followed(client, urlsplit(place), patience)


def _client(server: FhirServer, place: str) -> HttpClient | None:
    """The same client when the address is below its base's origin."""
    base, there = server.client.base, urlsplit(place)
    return server.client if there.hostname == base.host and there.path.startswith(base.path) else None


def _followed(client: HttpClient, place: Any, patience: float) -> Iterator[Check]:
    path = place.path[len(client.base.path) :].lstrip("/") + (f"?{place.query}" if place.query else "")
    end, last = time.monotonic() + patience, None
    while time.monotonic() < end:
        last = client.request("GET", path, headers={"Accept": "application/json"}, repeat="safe")
        if last.status != 202:
            break
        time.sleep(1.0)
    assert last is not None
    yield _waiting(last)
    if last.status == 200:
        yield from _manifest(last)
    gone = client.request("DELETE", path, repeat="never")
    ok = gone.status in (200, 202, 204)
    yield Check(
        "bulk clean-up",
        "pass" if ok else "warn",
        f"the export was dropped ({gone.status})" if ok else f"{gone.status}",
        "" if ok else "exports stay until the server drops them",
        id="C7",
    )


def _waiting(last: Reply) -> Check:
    if last.status == 202:
        said = last.headers.get("Retry-After", "")
        return Check(
            "bulk progress",
            "warn",
            f"still running after a minute (Retry-After {said[:20] or 'not said'})",
            "large exports take their time here",
            id="C2",
        )
    if last.status != 200:
        return Check(
            "bulk progress",
            "fail",
            f"the export ended with {last.status}",
            "look at the server's log",
            id="C2",
        )
    return Check("bulk progress", "pass", "the export came to its end", id="C2")


def _manifest(last: Reply) -> Iterator[Check]:
    try:
        found = json.loads(last.body)
        output = found.get("output")
    except (ValueError, AttributeError):
        yield Check("bulk manifest", "fail", "is no JSON object", id="C4")
        return
    faults = [k for k in ("transactionTime", "output") if k not in found]
    if not isinstance(output, list):
        faults.append("output is no list")
    errors = found.get("error") or found.get("outcome") or ()
    words = f"{len(output) if isinstance(output, list) else 0} files, {len(errors)} error files"
    advice = "" if not faults else "incremental exports need transactionTime"
    yield Check("bulk manifest", "fail" if faults else "pass", ", ".join([words, *faults]), advice, id="C4")
    needs = found.get("requiresAccessToken")
    known = isinstance(needs, bool)
    yield Check(
        "bulk file access",
        "pass" if known else "warn",
        f"requiresAccessToken is {needs}" if known else "not said",
        "" if known else "files are asked for with the token, if they are on this server",
        id="C5",
    )

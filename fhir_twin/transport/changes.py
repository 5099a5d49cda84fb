"""What has changed on a server since a moment of *its* clock: by `_lastUpdated`, deletions by history (F6).

The next poll begins at the time the server gave with this one's answer, less an overlap: two writes of one transaction
may become visible late. What comes twice is told apart by its version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_twin.errors import InvalidInput, Issue, NotSupported, TwinError, UpstreamError
from fhir_twin.fhir.changes import as_change
from fhir_twin.fhir.read_notice import deletions
from fhir_twin.model.change import Change
from fhir_twin.transport.answers import resource_of
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.http import Reply
from fhir_twin.transport.queries import applied

OVERLAP = timedelta(seconds=30)
# What a twin and a plan are made of, in the order in which it should be looked at.
TYPES = (
    "Patient", "Consent", "Condition", "AllergyIntolerance", "MedicationRequest", "MedicationStatement", "Observation",
    "Procedure", "DiagnosticReport", "FamilyMemberHistory", "Immunization", "Goal", "ServiceRequest",
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """until: the server's time to go on from. unseen: types of which changes or deletions cannot be told, with why."""

    changes: tuple[Change, ...]
    until: datetime
    unseen: tuple[Issue, ...] = ()


def changes_since(server: FhirServer, since: datetime, types: Iterable[str] = TYPES) -> Changes:
    """Raises what reading gives cause for, and NotSupported when the server tells changes of no type at all."""
    capability = server.capability()
    found: dict[tuple[str, str, str], Change] = {}
    unseen: list[Issue] = []
    until: datetime | None = None
    told = 0
    for type_ in types:
        if capability.listed and not capability.supports(type_, "search-type"):
            continue
        try:
            rows, moment = _updated(server, type_, since - OVERLAP)
        except (InvalidInput, NotSupported) as error:
            unseen.append(
                Issue("warning", error.code, "changes of this type cannot be asked for", type_, "fetch")
            )
            continue
        told += 1
        until = moment if until is None else min(until, moment)
        for change in rows:
            found[(change.type, change.id, change.version)] = change
        gone, why = _deleted(server, type_, since - OVERLAP)
        unseen += why
        for change in gone:
            found[(change.type, change.id, "deleted")] = change
    if until is None:
        raise NotSupported("this server cannot tell what has changed (no _lastUpdated)", issues=tuple(unseen))
    return Changes(tuple(found.values()), max(until, since), tuple(unseen))


def server_now(server: FhirServer) -> datetime:
    """The server's own time, to begin from."""
    reply = server.client.request("GET", "metadata", headers={"Accept": JSON, "Cache-Control": "no-cache"})
    return _time_of(reply, {})


def _updated(server: FhirServer, type_: str, since: datetime) -> tuple[list[Change], datetime]:
    params = {"_lastUpdated": f"ge{_text(since)}", "_count": "200"}
    reply = server.search_reply(type_, params)
    page = resource_of(reply, f"searching {type_}")
    names = applied(_self(page))
    if names is not None and "_lastUpdated" not in names:
        raise NotSupported("the server ignores _lastUpdated")
    found = server.pager.follow(page, type_)
    if found.end:
        raise found.error or UpstreamError(f"what changed of {type_} could not be read to its end")
    rows = [as_change(r) for r in found.matches if isinstance(r.get("id"), str)]
    return rows, _time_of(reply, page)


def _deleted(server: FhirServer, type_: str, since: datetime) -> tuple[list[Change], list[Issue]]:
    capability = server.capability()
    cannot = [Issue("information", "not-supported", "deletions of this type are not told", type_, "fetch")]
    if capability.listed and not capability.supports(type_, "history-type"):
        return [], cannot
    try:
        reply = server.client.request(
            "GET", f"{type_}/_history?_since={_text(since)}&_count=200", headers={"Accept": JSON}
        )
        page = resource_of(reply, f"reading the history of {type_}")
    except TwinError:
        return [], cannot
    gone: list[Change] = []
    for each in server.pager.pages(page):
        gone += deletions(each)
    return gone, []


def _time_of(reply: Reply, page: dict[str, Any]) -> datetime:
    """Bundle.meta.lastUpdated (when the search was made), else the HTTP Date header: the server's clock, not ours."""
    meta = page.get("meta")
    stamped = meta.get("lastUpdated") if isinstance(meta, dict) else None
    for text, read in ((stamped, datetime.fromisoformat), (reply.headers.get("Date"), parsedate_to_datetime)):
        try:
            found = read(text) if isinstance(text, str) else None
        except (ValueError, TypeError):
            continue
        if found is not None:
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise UpstreamError("the server does not tell its time, so it cannot be asked for what is new since then")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _self(page: dict[str, Any]) -> str:
    links = page.get("link")
    rows = [k for k in links if isinstance(k, dict)] if isinstance(links, list) else []
    return next((str(k.get("url", "")) for k in rows if k.get("relation") == "self"), "")

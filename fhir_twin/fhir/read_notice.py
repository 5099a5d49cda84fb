"""A notification -> Notice (SB-3, SB-5, G2): R4 backport (Bundle of type history with Parameters), R4B and R5
(SubscriptionStatus), a raw resource as classic R4 rest-hooks send it, or nothing at all.

Names in Parameters are compared without hyphens and case: servers write "event-number" and "eventNumber".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.changes import version_of
from fhir_twin.model.change import Change, Notice, NoticeKind

_REFERENCE = re.compile(
    r"(?:^|/)([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?\Z"
)
_KINDS = frozenset(get_args(NoticeKind)) - {"resource", "empty"}
_STATUS_TYPES = ("Parameters", "SubscriptionStatus")
MAX_EVENTS = 10_000

Resource = Mapping[str, Any]


def read_notice(body: Any) -> Notice:
    """body: the parsed JSON, None when there was none. Raises InvalidInput when it is no notification."""
    if body is None:
        return Notice("empty")
    if not isinstance(body, dict) or not isinstance(body.get("resourceType"), str):
        raise InvalidInput("a notification must be a FHIR resource")
    if body["resourceType"] != "Bundle":
        return Notice("resource", changes=(_whole(body),))
    entries = [e for e in body.get("entry") or () if isinstance(e, dict)]
    first = entries[0].get("resource") if entries else None
    if not isinstance(first, dict) or first.get("resourceType") not in _STATUS_TYPES:
        if body.get("type") in ("history", "subscription-notification"):
            raise InvalidInput("a notification must begin with its subscription status")
        return Notice(
            "resource", changes=tuple(_whole(e["resource"]) for e in entries if _has_id(e.get("resource")))
        )
    return _notice(_plain(first), entries[1:])


def _notice(status: Mapping[str, list[Any]], entries: list[dict[str, Any]]) -> Notice:
    kind = _word(status, "type")
    if kind not in _KINDS:
        raise InvalidInput("a notification of an unknown type")
    events = [_plain(e) for e in status.get("notificationevent", [])][:MAX_EVENTS]
    sent = dict(_sent(entries))
    numbers = tuple(n for n in (_number(_word(e, "eventnumber")) for e in events) if n is not None)
    changes: list[Change] = []
    named: set[str] = set()
    for event in events:
        number = _number(_word(event, "eventnumber")) or 0
        for change in _foci(event, sent, number):
            named.add(change.reference)
            changes.append(change)
    # Servers that send resources but name no focus: the entries are the news.
    loose = [c for reference, c in sent.items() if reference not in named]
    if not changes:
        changes = loose
    return Notice(
        kind,  # type: ignore[arg-type]
        subscription=_id_of(_word(status, "subscription")),
        status=_word(status, "status"),
        events=_number(_word(status, "eventssincesubscriptionstart")),
        numbers=numbers,
        changes=tuple(changes),
        errors=len(status.get("error", [])),
    )


def _foci(event: Mapping[str, list[Any]], sent: Mapping[str, Change], number: int) -> Iterator[Change]:
    for focus in event.get("focus", []):
        match = _REFERENCE.search(_reference(focus))
        if match is None:
            continue
        held = sent.get(f"{match[1]}/{match[2]}")
        if held is not None:
            yield Change(
                held.type, held.id, held.version or (match[3] or ""), held.deleted, held.resource, number
            )
        else:
            yield Change(match[1], match[2], match[3] or "", number=number)


def _sent(entries: list[dict[str, Any]]) -> Iterator[tuple[str, Change]]:
    """What the entries carry: resources, and deletions, which have a request and nothing else."""
    for entry in entries:
        resource, request = entry.get("resource"), entry.get("request")
        method = request.get("method") if isinstance(request, dict) else ""
        if resource is not None and _has_id(resource):
            change = _whole(resource)
        elif method == "DELETE":
            match = _REFERENCE.search(str(request.get("url", "")).split("?")[0])  # type: ignore[union-attr]
            if match is None:
                continue
            change = Change(match[1], match[2], deleted=True)
        else:
            continue
        yield change.reference, change


def deletions(history: Resource) -> list[Change]:
    """The deletions in a history Bundle."""
    entries = history.get("entry")
    rows = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    return [change for _, change in _sent(rows) if change.deleted]


def _whole(resource: Resource) -> Change:
    if not _has_id(resource):
        raise InvalidInput("a resource without an id is no notification")
    return Change(str(resource["resourceType"]), str(resource["id"]), version_of(resource), False, resource)


def _has_id(resource: Any) -> bool:
    return (
        isinstance(resource, dict)
        and isinstance(resource.get("resourceType"), str)
        and isinstance(resource.get("id"), str)
        and _REFERENCE.match(f"{resource['resourceType']}/{resource['id']}") is not None
    )


def _plain(given: Resource) -> dict[str, list[Any]]:
    """Parameters (or their parts) and SubscriptionStatus alike as name -> values."""
    parts = given.get("parameter", given.get("part"))
    found: dict[str, list[Any]] = {}
    if isinstance(parts, list):
        for part in (p for p in parts if isinstance(p, dict)):
            value = next((v for k, v in part.items() if k.startswith("value")), part)
            found.setdefault(_key(part.get("name")), []).append(value)
        return found
    for name, value in given.items():
        found[_key(name)] = value if isinstance(value, list) else [value]
    return found


def _key(name: Any) -> str:
    return str(name).replace("-", "").lower()


def _word(values: Mapping[str, list[Any]], name: str) -> str:
    value = (values.get(name) or [""])[0]
    return _reference(value) if isinstance(value, dict) else str(value)


def _reference(value: Any) -> str:
    text = value.get("reference") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _id_of(reference: str) -> str:
    match = _REFERENCE.search(reference)
    return match[2] if match and match[1] == "Subscription" else ""


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None

"""transaction and batch Bundles (TX-1..TX-3): DELETE, POST, PUT, GET in this order; all or nothing, or each alone."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_twin.sandbox.problems import Problem
from fhir_twin.sandbox.store import Resource, Version
from fhir_twin.sandbox.writing import Writer, Written, checked, known_type

MAX_ENTRIES = 20_000
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3, "HEAD": 3}


@dataclass(slots=True, repr=False)
class _Step:
    """One entry, read. target: the id it will be written to; existing: what a condition matched."""

    index: int
    method: str
    url: str
    type: str
    full_url: str
    resource: Resource | None
    if_match: str
    if_none_exist: str
    target: str = ""
    existing: Version | None = None


Get = Callable[[str, str], Resource]
"""Answers a GET or HEAD by its relative URL with a response-bundle entry."""


def transaction(writer: Writer, bundle: Resource, get: Get) -> list[Resource]:
    """Response entries in the order of the request. Raises Problem when any entry fails; nothing is kept then."""
    steps = [_read(index, entry) for index, entry in enumerate(_entries(bundle))]
    answers: dict[int, Resource] = {}
    with writer.store.all_or_nothing():
        for step in (s for s in steps if s.method == "DELETE"):
            answers[step.index] = response(_delete(writer, step), writer.base)
        known = _assign(writer, steps)
        _no_duplicates(steps)
        pending = {(s.type, s.target) for s in steps if s.method in ("POST", "PUT")}

        def exists(type_: str, id_: str) -> bool:
            return (type_, id_) in pending or writer.store.exists(type_, id_)

        for step in sorted((s for s in steps if s.method in ("POST", "PUT")), key=lambda s: _ORDER[s.method]):
            answers[step.index] = response(_write(writer, step, known, exists), writer.base)
        for step in (s for s in steps if s.method in ("GET", "HEAD")):
            answers[step.index] = get(step.method, step.url)
    return [answers[step.index] for step in steps]


def batch(bundle: Resource, handle: Callable[[Resource], Resource]) -> list[Resource]:
    """Each entry on its own; `handle` gives its response entry, also for errors."""
    return [handle(entry) for entry in _entries(bundle)]


def response(written: Written, base: str) -> Resource:
    """A response entry for a write."""
    version = written.version
    text = {200: "200 OK", 201: "201 Created", 204: "204 No Content"}[written.status]
    told: Resource = {"status": text, "etag": version.etag, "lastModified": version.updated}
    entry: Resource = {"response": told}
    if version.resource is not None:
        told["location"] = f"{version.type}/{version.id}/_history/{version.number}"
        entry["fullUrl"] = f"{base}/{version.type}/{version.id}"
        entry["resource"] = version.resource
    return entry


def _entries(bundle: Resource) -> list[Any]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise Problem(400, "structure", "Bundle.entry must be a list", "Bundle.entry")
    if len(entries) > MAX_ENTRIES:
        raise Problem(413, "too-costly", f"more than {MAX_ENTRIES} entries")
    return entries


def _read(index: int, entry: Any) -> _Step:
    place = f"Bundle.entry[{index}]"
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise Problem(400, "required", "an entry needs a request", place)
    method, url = request.get("method"), request.get("url")
    if method not in _ORDER or not isinstance(url, str) or not url:
        raise Problem(400, "value", "request.method or request.url is missing or not supported", place)
    path = url.lstrip("/").partition("?")[0]
    resource = entry.get("resource")
    if method in ("POST", "PUT"):
        type_ = known_type(path.split("/")[0])
        resource = checked(type_, resource)
    else:
        type_ = path.split("/")[0]
    return _Step(
        index,
        method,
        url.lstrip("/"),
        type_,
        _text(entry.get("fullUrl")),
        resource,
        _text(request.get("ifMatch")),
        _text(request.get("ifNoneExist")),
    )


def _assign(writer: Writer, steps: list[_Step]) -> dict[str, str]:
    """Give every written entry its id and map fullUrls to "Type/id"; conditions are resolved against what was
    stored before (HP-3), after urn:uuids in them are known."""
    known: dict[str, str] = {}
    for step in (s for s in steps if s.method == "POST"):
        found = writer.matches(step.type, _resolved(step.if_none_exist, known)) if step.if_none_exist else []
        step.existing = found[0] if found else None
        step.target = found[0].id if found else str(uuid.uuid4())
        known.update({step.full_url: f"{step.type}/{step.target}"} if step.full_url else {})
    for step in (s for s in steps if s.method == "PUT"):
        own = (step.resource or {}).get("id")
        path, conditional, query = step.url.partition("?")
        if conditional:
            found = writer.matches(step.type, _resolved(query, known))
            step.existing = found[0] if found else None
            if step.existing and own is not None and own != step.existing.id:
                raise Problem(
                    400, "invalid", "the body has another id than the resource that matches", _at(step)
                )
            chosen = own if own is not None else str(uuid.uuid4())
            step.target = step.existing.id if step.existing else writer.client_id(chosen)
        else:
            step.target = path.split("/")[1] if path.count("/") == 1 else ""
            if not step.target or own != step.target:
                raise Problem(400, "invalid", "the id in the body must be the id in the URL", _at(step))
        known.update({step.full_url: f"{step.type}/{step.target}"} if step.full_url else {})
    return known


def _resolved(query: str, known: dict[str, str]) -> str:
    for url, reference in known.items():
        query = query.replace(url, reference)
    return query


def _no_duplicates(steps: list[_Step]) -> None:
    """Two entries on one identity make the result depend on the order: refused."""
    seen: set[tuple[str, str]] = set()
    conditions: set[tuple[str, str]] = set()
    for step in steps:
        if step.method not in ("POST", "PUT"):
            continue
        key = (step.type, step.target)
        condition = step.if_none_exist or step.url.partition("?")[2]
        if key in seen and not (step.method == "POST" and step.existing):
            raise Problem(400, "duplicate", "two entries write the same resource", _at(step))
        if condition and (step.type, condition) in conditions:
            raise Problem(400, "duplicate", "two entries have the same condition", _at(step))
        seen.add(key)
        conditions.add((step.type, condition))


def _write(writer: Writer, step: _Step, known: dict[str, str], exists: Callable[[str, str], bool]) -> Written:
    if step.method == "POST" and step.existing is not None:
        return Written(200, step.existing)
    try:
        resource = writer.localised(step.resource or {}, known)
        if step.method == "POST":
            return writer.store_new(step.type, step.target, resource, exists=exists)
        return writer.replace(step.type, step.target, resource, if_match=step.if_match, exists=exists)
    except Problem as problem:
        raise Problem(problem.status, problem.code, problem.text, problem.expression or _at(step)) from None


def _delete(writer: Writer, step: _Step) -> Written:
    path, conditional, _ = step.url.partition("?")
    if conditional or path.count("/") != 1:
        raise Problem(400, "not-supported", "DELETE needs Type/id", _at(step))
    return writer.delete(known_type(step.type), path.split("/")[1], if_match=step.if_match)


def _at(step: _Step) -> str:
    return f"Bundle.entry[{step.index}]"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

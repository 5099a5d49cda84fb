"""Which resources match a search. Parameters are ANDed, their comma-separated values ORed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from fhir_twin.sandbox.parameters import TYPES, Parameter, parameter, reference_parameters
from fhir_twin.sandbox.problems import Problem
from fhir_twin.sandbox.references import split_reference
from fhir_twin.sandbox.store import Resource, Store, Version
from fhir_twin.sandbox.values import (
    check_date,
    date_matches,
    interval,
    split_or,
    split_token,
    tokens,
    unescape,
    walk,
)

Pairs = Sequence[tuple[str, str]]
# How the answer is made, not what matches.
RESULT = frozenset(
    {"_count", "_total", "_summary", "_elements", "_sort", "_include", "_revinclude", "_format", "_pretty"}
)
_MODIFIERS = {
    "token": frozenset({"not", "missing"}),
    "string": frozenset({"exact", "contains", "missing"}),
    "reference": frozenset({"missing", "Patient"}),
    "date": frozenset({"missing"}),
    "uri": frozenset({"missing"}),
}


def known_pairs(type_: str, pairs: Pairs, *, strict: bool) -> list[tuple[str, str]]:
    """The pairs that will be applied. An unknown parameter is left out, or refused when `strict` (FA-4); an
    unknown modifier is always refused, as R4 demands."""
    kept = []
    for name, value in pairs:
        if name in RESULT:
            kept.append((name, value))
            continue
        plain, _, modifier = name.partition(":")
        found = parameter(type_, plain)
        if found is None:
            if strict:
                raise Problem(400, "not-supported", f"{type_} has no search parameter of this name here")
            continue
        if modifier and modifier not in _MODIFIERS[found[0]]:
            raise Problem(400, "not-supported", f"the modifier is not supported for a {found[0]} parameter")
        if value:
            kept.append((name, value))
            for each in split_or(value) if found[0] == "date" and not modifier else ():
                check_date(each)
    return kept


def search(store: Store, type_: str, pairs: Pairs) -> list[Version]:
    """Matches in the order of first writing. `pairs` come from known_pairs."""
    now = store.now()
    tests = [(name, value) for name, value in pairs if name not in RESULT]
    return [
        version
        for version in _candidates(store, type_, tests)
        if version.resource is not None
        and all(_matches(type_, version.resource, n, v, now) for n, v in tests)
    ]


def _candidates(store: Store, type_: str, tests: Pairs) -> Iterable[Version]:
    """By id or by what refers to the patient when that narrows the search; else all of the type."""
    for name, value in tests:
        if name == "_id":
            rows = (store.read(type_, i) for i in dict.fromkeys(split_or(value)))
            return [row for row in rows if row is not None]
        if name in ("patient", "subject") and parameter(type_, name):
            patients = [v if "/" in v else f"Patient/{v}" for v in split_or(value)]
            found = {(r.type, r.id): r for p in patients for r in store.pointing_to(p) if r.type == type_}
            return found.values()
    return store.current(type_)


def _matches(type_: str, resource: Resource, name: str, value: str, now: datetime) -> bool:
    plain, _, modifier = name.partition(":")
    found = parameter(type_, plain)
    if found is None:
        raise Problem(400, "not-supported", "unknown search parameter")
    if modifier == "missing":
        return (value == "true") == (next(walk(resource, found[1]), None) is None)
    return any(_one(found, resource, modifier, each, now) for each in split_or(value)) != (modifier == "not")


def _one(found: Parameter, resource: Resource, modifier: str, asked: str, now: datetime) -> bool:
    kind, where = found
    values = walk(resource, where)
    if kind == "token":
        system, code = split_token(asked)
        return any(
            (system is None or s == system) and (not code or c == code) for v in values for s, c in tokens(v)
        )
    if kind == "date":
        spans = [s for v in values if (s := interval(v)) is not None]
        return any(date_matches(span, asked, now) for span in spans)
    if kind == "reference":
        return any(_refers(v, asked, modifier) for v in values)
    text = unescape(asked)
    if kind == "uri":
        return any(v == text for v in values)
    return any(_string(v, text, modifier) for v in values if isinstance(v, str))


def _refers(value: object, asked: str, modifier: str) -> bool:
    reference = value.get("reference") if isinstance(value, dict) else None
    if not isinstance(reference, str):
        return False
    if modifier:
        return reference == f"{modifier}/{asked}"
    if "/" in asked:
        return reference == "/".join(asked.rstrip("/").split("/")[-2:])
    return reference.rsplit("/", 1)[-1] == asked


def _string(value: str, text: str, modifier: str) -> bool:
    if modifier == "exact":
        return value == text
    if modifier == "contains":
        return text.casefold() in value.casefold()
    return value.casefold().startswith(text.casefold())


def sort(type_: str, rows: list[Version], order: str) -> list[Version]:
    """`_sort`: comma-separated parameters, `-` for falling; missing values come last."""
    for name in reversed(order.split(",")):
        falling = name.startswith("-")
        found = parameter(type_, name.lstrip("-"))
        if found is None:
            raise Problem(400, "not-supported", "cannot sort by this parameter")
        keyed = [(_sort_key(found, row), row) for row in rows]
        there = sorted((p for p in keyed if p[0] is not None), key=lambda p: p[0] or "", reverse=falling)
        rows = [row for _, row in there] + [row for key, row in keyed if key is None]
    return rows


def _sort_key(found: Parameter, row: Version) -> str | None:
    value = next(walk(row.resource or {}, found[1]), None)
    if value is None:
        return None
    if found[0] == "date":
        span = interval(value)
        return span[0].isoformat() if span else None
    if found[0] == "token":
        return next((code for _, code in tokens(value)), None)
    if found[0] == "reference":
        return str(value.get("reference")) if isinstance(value, dict) else None
    return str(value).casefold()


def included(store: Store, rows: Sequence[Version], pairs: Pairs) -> list[Version]:
    """What `_include=Type:param` and `_revinclude=Type:param` add to a page, each once, matches left out."""
    keys = {(row.type, row.id) for row in rows}
    found: dict[tuple[str, str], Version] = {}
    for name, value in pairs:
        if name not in ("_include", "_revinclude"):
            continue
        type_, where = _include_target(value)
        for row in rows:
            hits = (
                _forward(store, row, type_, where) if name == "_include" else _back(store, row, type_, where)
            )
            found.update({(hit.type, hit.id): hit for hit in hits if (hit.type, hit.id) not in keys})
    return list(found.values())


def _include_target(value: str) -> tuple[str, str]:
    parts = value.split(":")
    if len(parts) not in (2, 3) or parts[0] not in TYPES or parts[1] not in reference_parameters(parts[0]):
        raise Problem(400, "not-supported", "this _include or _revinclude is not supported")
    return parts[0], TYPES[parts[0]][parts[1]][1]


def _forward(store: Store, row: Version, type_: str, where: str) -> list[Version]:
    if row.type != type_ or row.resource is None:
        return []
    found = []
    for value in walk(row.resource, where):
        target = split_reference(str(value.get("reference", ""))) if isinstance(value, dict) else None
        version = store.read(*target) if target else None
        if version is not None and version.resource is not None:
            found.append(version)
    return found


def _back(store: Store, row: Version, type_: str, where: str) -> list[Version]:
    me = f"{row.type}/{row.id}"
    return [
        hit
        for hit in store.pointing_to(me)
        if hit.type == type_ and any(_refers(v, me, "") for v in walk(hit.resource or {}, where))
    ]

"""ValueSet/$expand. https://hl7.org/fhir/R4/valueset-operation-expand.html

What R5 added to the expansion (properties of concepts) is written with R5's own extensions for R4.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from terminology.fhir import languages
from terminology.fhir.canonical import joined
from terminology.fhir.concept import value_of
from terminology.fhir.contains import Wish, Writer, declared
from terminology.fhir.languages import Languages
from terminology.fhir.members import Member, Members, extensions
from terminology.fhir.problem import too_costly
from terminology.fhir.scope import Scope
from terminology.fhir.selection import dicts
from terminology.fhir.status import warnings_of

Json = dict[str, Any]
MAX_CODES = 1_000  # in one piece; more comes page by page
MAX_WALK = 20_000
_HEAD = (
    "resourceType",
    "url",
    "version",
    "name",
    "title",
    "status",
    "experimental",
    "date",
    "publisher",
    "language",
)


def expand(scope: Scope, value_set: Json, wish: Wish) -> Json:
    """The ValueSet with its expansion. Raises TxError."""
    members = Members(scope)
    members.want_supplements(value_set)
    own = joined(str(value_set.get("url", "")), str(value_set.get("version") or ""))
    total, chosen = _chosen(members, value_set, wish)
    writer = Writer(wish)
    nested = wish.nested and not wish.text and wish.count is None and not wish.offset
    contains = _tree(chosen, writer) if nested and _has_tree(value_set) else [writer.row(m) for m in chosen]
    expansion: Json = {"identifier": f"urn:uuid:{_identifier(own, value_set, wish)}", "timestamp": wish.at}
    if total is not None:
        expansion["total"] = total
    if wish.offset or wish.count is not None:
        expansion["offset"] = wish.offset
    expansion["parameter"] = [*wish.echo, *_used(scope), *warnings_of(scope, value_set)]
    if writer.properties:
        expansion["extension"] = [declared(code, uri) for code, uri in writer.properties.items()]
    expansion["contains"] = contains
    kept = (*_HEAD, "compose", "extension", "description") if wish.definition else _HEAD
    head = {k: v for k, v in value_set.items() if k in kept}
    return {**head, "expansion": {k: v for k, v in expansion.items() if v != []}}


def _identifier(own: str, value_set: Json, wish: Wish) -> str:
    """The same question gets the same identifier (pages of one expansion share it); another definition another one."""
    definition = json.dumps(
        [value_set.get(k) for k in ("compose", "expansion", "contained")], sort_keys=True, default=str
    )
    asked = (own, definition, wish.text, wish.active_only, wish.languages.written, wish.properties)
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(asked)))


def _chosen(members: Members, value_set: Json, wish: Wish) -> tuple[int | None, list[Member]]:
    simple = members.simple(value_set)
    if simple is not None:
        system, filters, active = simple
        active = active or wish.active_only
        if wish.count is None:
            total = system.page(filters, wish.text, active_only=active, count=0).total
            _check_size(MAX_WALK if total is None else total - wish.offset, value_set)
        page = system.page(filters, wish.text, active_only=active, count=wish.count, offset=wish.offset)
        return page.total, [Member(system, entry) for entry in page.entries]
    walk = members.each(value_set, wish.text, active_only=wish.active_only)
    return _walked(walk, value_set, wish)


def _walked(walk: Iterator[Member], value_set: Json, wish: Wish) -> tuple[int | None, list[Member]]:
    """All members counted, those of the page kept; beyond MAX_WALK the total stays unsaid."""
    if wish.count is None:
        found = list(islice(walk, MAX_CODES + wish.offset + 1))
        _check_size(len(found) - wish.offset, value_set)
        return len(found), found[wish.offset :]
    page: list[Member] = []
    total = 0
    for member in walk:
        if wish.offset <= total < wish.offset + wish.count:
            page.append(member)
        total += 1
        if total >= MAX_WALK:
            return None, page
    return total, page


def _check_size(codes: int, value_set: Json) -> None:
    if codes > MAX_CODES:
        name = joined(str(value_set.get("url", "")), str(value_set.get("version") or ""))
        raise too_costly(
            f"The value set '{name}' expansion has too many codes to display (>{MAX_CODES}); ask with count and offset"
        )


def _used(scope: Scope) -> list[Json]:
    return [
        {"name": name, "valueUri": canonical}
        for name in ("used-codesystem", "used-supplement", "used-valueset")
        for canonical in scope.used.get(name, ())
    ]


def _has_tree(value_set: Json) -> bool:
    """Listed codes have no hierarchy of their own; a selection has that of its code system."""
    includes = list(dicts((value_set.get("compose") or {}).get("include")))
    return len(includes) == 1 and not includes[0].get("concept") and not includes[0].get("valueSet")


def _tree(chosen: Sequence[Member], writer: Writer) -> list[Json]:
    """Every member under the nearest member above it (the first parent, where there are several)."""
    rows = {m.entry.code: writer.row(m) for m in chosen}
    top: list[Json] = []
    for member in chosen:
        parent = next((p for p in member.entry.parents if p in rows), None)
        row = rows[member.entry.code]
        (rows[parent].setdefault("contains", []) if parent is not None else top).append(row)
    return top


def expansion_languages(value_set: Json, given: Languages) -> Languages:
    """The question's, else a displayLanguage that the value set asks for, else its own language."""
    if given.written:
        return given
    url = "http://hl7.org/fhir/tools/StructureDefinion/valueset-expansion-param"  # (so spelled by HL7)
    spelled = ("http://hl7.org/fhir/tools/StructureDefinition/valueset-expansion-parameter", url)
    compose = value_set.get("compose") or {}
    for element in (*extensions(value_set, *spelled), *extensions(compose, *spelled)):
        parts = {p.get("url"): value_of(p) for p in dicts(element.get("extension"))}
        if parts.get("name") == "displayLanguage" and parts.get("value"):
            return languages.parse(str(parts["value"]))
    return languages.parse(str(value_set["language"])) if value_set.get("language") else given

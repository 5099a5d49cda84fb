"""CodeSystem, ValueSet and ConceptMap resources as a FHIR server serves them: read, and search with pages."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

from flask import request

from fhir_twin.errors import InvalidInput, NotFound
from terminology.fhir.canonical import joined
from terminology.fhir.shelf import Shelf

Json = dict[str, Any]
TYPES = ("CodeSystem", "ValueSet", "ConceptMap")
SEARCHES = (
    "_id",
    "url",
    "version",
    "name",
    "title",
    "status",
    "publisher",
    "system",
    "content-mode",
    "supplements",
)
_CONTROLS = ("_count", "_offset", "_summary", "_format", "_pretty", "_total", "_sort", "_elements")
_SUMMARY = ("resourceType", "id", "url", "version", "name", "title", "status", "experimental", "date", "publisher",
            "content", "count", "supplements", "valueSet", "sourceUri", "sourceCanonical", "targetUri",
            "targetCanonical")  # fmt: skip
MAX_PAGE = 200


def identity(head: Json) -> str:
    """A stable id: the resource's own would clash between packages."""
    name = joined(str(head.get("url", "")), str(head.get("version") or ""))
    return hashlib.sha256(f"{head.get('resourceType')} {name}".encode()).hexdigest()[:32]


class Catalogue:
    """Heads by type and id, gathered once: a library that is opened anew has a catalogue of its own."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._heads = {type_: {identity(h): h for h in shelf.resources(type_)} for type_ in TYPES}

    def head(self, type_: str, id_: str) -> Json:
        """Raises NotFound. An id of the resource's own is known too, where it is unique."""
        found = self._heads[type_].get(id_)
        if found is None:
            own = [h for h in self._heads[type_].values() if h.get("id") == id_]
            found = own[0] if len(own) == 1 else None
        if found is None:
            raise NotFound(f"there is no such {type_}")
        return found

    def read(self, type_: str, id_: str) -> Json:
        head = self.head(type_, id_)
        whole = self.shelf.resource(type_, str(head["url"]), str(head.get("version") or ""))
        return {**(whole or head), "id": identity(head)}

    def search(self, type_: str) -> Json:
        """A searchset page by the query of the request."""
        asked = {k: v for k, v in request.args.items() if k not in _CONTROLS}
        if unknown := sorted(
            set(asked) - {s for name in SEARCHES for s in (name, f"{name}:contains", f"{name}:exact")}
        ):
            raise InvalidInput(f"search parameters are {', '.join(SEARCHES)}; {len(unknown)} unknown given")
        found = [
            (id_, h)
            for id_, h in self._heads[type_].items()
            if all(_fits(h, id_, k, v) for k, v in asked.items())
        ]
        count, offset = _number("_count", 20, MAX_PAGE), _number("_offset", 0, 10**9)
        summary = request.args.get("_summary", "")
        page = [] if summary == "count" else found[offset : offset + count]
        base = request.base_url
        entries = [
            {
                "fullUrl": f"{base}/{id_}",
                "resource": self._shown(type_, id_, head, summary),
                "search": {"mode": "match"},
            }
            for id_, head in page
        ]
        links = [{"relation": "self", "url": _address(asked, count, offset)}]
        if offset + count < len(found) and page:
            links.append({"relation": "next", "url": _address(asked, count, offset + count)})
        bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links}
        return {**bundle, "entry": entries} if entries else bundle

    def _shown(self, type_: str, id_: str, head: Json, summary: str) -> Json:
        if summary in ("true", "data"):
            tag = {
                "tag": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                        "code": "SUBSETTED",
                    }
                ]
            }
            return {
                "resourceType": type_,
                "id": id_,
                "meta": tag,
                **{k: head[k] for k in _SUMMARY if k in head and k != "id"},
            }
        return self.read(type_, id_)


def _fits(head: Json, id_: str, name: str, wanted: str) -> bool:
    name, _, modifier = name.partition(":")
    if name == "_id":
        return id_ in wanted.split(",")
    key = {"content-mode": "content", "system": "url"}.get(name, name)
    held = str(head.get(key) or "")
    if name in ("name", "title", "publisher") and modifier != "exact":
        part = wanted.casefold()
        return part in held.casefold() if modifier == "contains" else held.casefold().startswith(part)
    if name == "url" and "|" in wanted and "," not in wanted:
        return joined(held, str(head.get("version") or "")) == wanted
    return held in wanted.split(",")


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidInput(f"{name} must be a whole number from 0")
    return min(int(text), most)


def _address(asked: dict[str, str], count: int, offset: int) -> str:
    more = {"_count": count, **({"_offset": offset} if offset else {})}
    return f"{request.base_url}?{urlencode({**asked, **more})}"

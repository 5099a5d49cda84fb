"""Members as ValueSet.expansion.contains, with the R5 elements that R4 carries in extensions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.concept import Entry, value_of
from terminology.fhir.languages import OWN_USE, Languages, chosen
from terminology.fhir.members import Member
from terminology.fhir.selection import dicts

Json = dict[str, Any]
_R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion"
# Extensions of a concept that say what R5 writes as a property of the expansion (code, uri of the property).
_AS_PROPERTY = {
    "http://hl7.org/fhir/StructureDefinition/codesystem-conceptOrder": "order",
    "http://hl7.org/fhir/StructureDefinition/valueset-conceptOrder": "order",
    "http://hl7.org/fhir/StructureDefinition/codesystem-label": "label",
    "http://hl7.org/fhir/StructureDefinition/valueset-label": "label",
    "http://hl7.org/fhir/StructureDefinition/itemWeight": "weight",
    "http://hl7.org/fhir/StructureDefinition/ordinalValue": "weight",
    "http://hl7.org/fhir/StructureDefinition/codesystem-ordinalValue": "weight",
    "http://hl7.org/fhir/StructureDefinition/valueset-ordinalValue": "weight",
}
_AS_URI = {"weight": "itemWeight"}
# Extensions of a concept that travel with it.
_KEPT = (
    "http://hl7.org/fhir/StructureDefinition/rendering-style", "http://hl7.org/fhir/StructureDefinition/rendering-xhtml",
)  # fmt: skip
_STATUSES = ("deprecated", "retired", "withdrawn", "experimental", "draft")
_PROPERTY_URI = "http://hl7.org/fhir/concept-properties#"


@dataclass(frozen=True, slots=True)
class Wish:
    """The parameters of $expand that shape the answer. `echo` are those to be repeated in the expansion."""

    text: str = ""
    count: int | None = None
    offset: int = 0
    active_only: bool = False
    nested: bool = False
    designations: bool = False
    designation_filter: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    definition: bool = False
    languages: Languages = field(default_factory=Languages)
    echo: tuple[Json, ...] = ()
    at: str = ""  # the instant of the answer


def declared(code: str, uri: str) -> Json:
    parts: list[Json] = [{"url": "code", "valueCode": code}]
    if uri:
        parts.append({"url": "uri", "valueUri": uri})
    return {"url": f"{_R5}.property", "extension": parts}


class Writer:
    """Members as ValueSet.expansion.contains; `properties` collects what was written of them (code -> uri)."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.properties: dict[str, str] = {}
        self.languages = wish.languages
        self._source: Json | None = None  # the designation that became the display

    def row(self, member: Member) -> Json:
        entry = member.entry
        row: Json = {"system": member.system.url}
        if entry.abstract:
            row["abstract"] = True
        if entry.inactive:
            row["inactive"] = True
        row["code"] = entry.code
        shown = self._display(member)
        if shown:
            row["display"] = shown
        extra = [*_kept(member), *self._properties(member)]
        if extra:
            row = {"extension": extra, **row}
        if self.wish.designations or self.wish.designation_filter:
            designations = self._designations(member, shown)
            if designations:
                row["designation"] = designations
        return row

    def _display(self, member: Member) -> str:
        own = member.own.get("display")
        self._source = None
        if own and not self.languages.tags:
            return str(own)
        more = list(dicts(member.own.get("designation")))
        shown, self._source = chosen(member.entry, member.system.language, self.languages, more)
        return shown

    def _designations(self, member: Member, shown: str) -> list[Json]:
        entry, language = member.entry, member.system.language
        found: list[Json] = []
        if entry.display and (self._source is not None or shown != entry.display):
            named = {"language": language} if language else {}
            found.append({**named, "use": OWN_USE, "value": entry.display})
        for raw in (*dicts(member.own.get("designation")), *entry.designations):
            kept = {k: v for k, v in raw.items() if k in ("language", "use", "value", "extension")}
            if raw is not self._source and kept not in found:
                found.append(kept)
        return [d for d in found if self._asked(d)]

    def _asked(self, designation: Json) -> bool:
        """`designation` tokens: "urn:ietf:bcp:47|de" a language, "system|code" a use."""
        if not self.wish.designation_filter:
            return True
        use = designation.get("use") or {}
        for token in self.wish.designation_filter:
            system, _, code = token.rpartition("|")
            language = str(designation.get("language", ""))
            if system in ("urn:ietf:bcp:47", "") and language and language.lower() == code.lower():
                return True
            if system and (use.get("system"), use.get("code")) == (system, code):
                return True
        return False

    def _properties(self, member: Member) -> Iterator[Json]:
        entry = member.entry
        for name in self.wish.properties:
            for code, element in _values(entry, name):
                self.properties.setdefault(code, _uri(member, code))
                yield _property(code, element)
        if (
            entry.status
            and (entry.inactive or entry.status in _STATUSES)
            and "status" not in self.wish.properties
        ):
            self.properties.setdefault("status", f"{_PROPERTY_URI}status")
            yield _property("status", {"valueCode": entry.status})
        seen: set[str] = set()
        for element in (*dicts(member.own.get("extension")), *entry.extensions):
            name = _AS_PROPERTY.get(str(element.get("url")), "")
            if name and name not in seen and value_of(element) is not None:
                seen.add(name)
                self.properties.setdefault(name, f"{_PROPERTY_URI}{_AS_URI.get(name, name)}")
                key = next(k for k in element if k.startswith("value"))
                number = key in ("valueInteger", "valueDecimal")
                yield _property(name, {"valueDecimal" if number else key: element[key]})


def _kept(member: Member) -> list[Json]:
    """What the value set says about its concept, and rendering hints of the code system where it says none."""
    found: dict[str, Json] = {}
    for element in dicts(member.own.get("extension")):
        url = str(element.get("url"))
        if url not in _AS_PROPERTY and url.startswith("http://hl7.org/fhir/StructureDefinition/"):
            found.setdefault(url, element)
    for element in reversed(list(member.entry.extensions)):
        if element.get("url") in _KEPT:
            found.setdefault(str(element["url"]), element)
    return list(found.values())


def _values(entry: Entry, name: str) -> list[tuple[str, Json]]:
    if name == "definition":
        return [("definition", {"valueString": entry.definition})] if entry.definition else []
    if name in ("parent", "child"):
        codes = entry.parents if name == "parent" else entry.children
        return [(name, {"valueCode": code}) for code in codes]
    return [(name, p) for p in entry.properties if p.get("code") == name]


def _uri(member: Member, code: str) -> str:
    for declared in dicts(member.system.head.get("property")):
        if declared.get("code") == code:
            return str(declared.get("uri") or "")
    return f"{_PROPERTY_URI}{code}" if code in ("definition", "parent", "child") else ""


def _property(code: str, element: Json) -> Json:
    value = {k: v for k, v in element.items() if k.startswith("value")}
    parts = [{"url": "code", "valueCode": code}, {"url": "value", **value}]
    return {"url": f"{_R5}.contains.property", "extension": parts}

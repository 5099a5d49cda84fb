"""A CodeSystem resource as a code system: held in memory, with supplements laid over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from terminology.fhir.canonical import joined
from terminology.fhir.concept import Entry, Filter, Page, standards_status, value_of, words_match
from terminology.fhir.filters import Test, compiled

Json = dict[str, Any]
_CONCEPT = "http://hl7.org/fhir/concept-properties#"
# Statuses that make a concept inactive; deprecated does not ("Inactive Codes" of the requirements of HL7's terminology
# ecosystem, https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html).
_INACTIVE = ("retired", "inactive", "withdrawn")
MAX_DEPTH = 200


class ResourceSystem:
    """Implements concept.CodeSystem. A concept without code is passed over."""

    def __init__(self, resource: Json, supplements: Sequence[Json] = ()) -> None:
        self._head = {k: v for k, v in resource.items() if k not in ("concept", "text")}
        self._uses = _property_names(resource)
        self._entries: dict[str, Entry] = {}
        self._folded: dict[str, str] = {}
        self._compiled: dict[tuple[Filter, ...], list[Test]] = {}
        self._supplements = [joined(str(s.get("url", "")), str(s.get("version") or "")) for s in supplements]
        self._read(resource.get("concept"), "", 0)
        self._link()
        for supplement in supplements:
            self._lay_over(supplement)
        for code in self._entries:
            self._folded.setdefault(code.casefold(), code)

    @property
    def url(self) -> str:
        return str(self._head.get("url", ""))

    @property
    def version(self) -> str:
        return str(self._head.get("version") or "")

    @property
    def head(self) -> Json:
        return self._head

    @property
    def case_sensitive(self) -> bool:
        return self._head.get("caseSensitive") is not False

    @property
    def language(self) -> str:
        return str(self._head.get("language") or "")

    @property
    def supplements(self) -> Sequence[str]:
        return self._supplements

    def find(self, code: str) -> Entry | None:
        found = self._entries.get(code)
        if found is None and not self.case_sensitive:
            found = self._entries.get(self._folded.get(code.casefold(), ""))
        return found

    def relation(self, a: str, b: str) -> str:
        if a == b or (not self.case_sensitive and a.casefold() == b.casefold()):
            return "equivalent"
        if b in self.below(a):
            return "subsumes"
        return "subsumed-by" if a in self.below(b) else "not-subsumed"

    def below(self, code: str) -> set[str]:
        """All descendants, without `code` itself."""
        entry = self.find(code)
        found: set[str] = set()
        stack = list(entry.children) if entry else []
        while stack:
            child = stack.pop()
            if child not in found:
                found.add(child)
                stack += self._entries[child].children
        return found

    def page(
        self, filters: Sequence[Filter], text: str = "", *, active_only: bool = False, count: int | None = None,
        offset: int = 0,
    ) -> Page:  # fmt: skip
        found = [e for e in self.each(filters, text) if not (active_only and e.inactive)]
        return Page(len(found), found[offset:] if count is None else found[offset : offset + count])

    def each(self, filters: Sequence[Filter], text: str = "") -> Iterator[Entry]:
        tests = self._tests(filters)
        for entry in self._entries.values():
            if all(test(entry) for test in tests) and (not text or words_match(text, _names(entry))):
                yield entry

    def codes(self, filters: Sequence[Filter]) -> Iterator[str]:
        return (entry.code for entry in self.each(filters))

    def has(self, code: str, filters: Sequence[Filter]) -> bool:
        entry = self.find(code)
        return entry is not None and all(test(entry) for test in self._tests(filters))

    def _tests(self, filters: Sequence[Filter]) -> list[Test]:
        key = tuple(filters)
        if key not in self._compiled:
            if len(self._compiled) > 100:
                self._compiled.clear()
            self._compiled[key] = [compiled(f, self, self._uses) for f in filters]
        return self._compiled[key]

    def _read(self, concepts: Any, parent: str, depth: int) -> None:
        if not isinstance(concepts, list) or depth > MAX_DEPTH:
            return
        for raw in concepts:
            if not isinstance(raw, dict) or not isinstance(raw.get("code"), str):
                continue
            entry = self._entries.get(raw["code"])
            if entry is None:
                entry = self._entries[raw["code"]] = self._entry(raw)
            if parent and parent not in entry.parents:
                entry.parents = [*entry.parents, parent]
            self._read(raw.get("concept"), raw["code"], depth + 1)

    def _entry(self, raw: Json) -> Entry:
        properties = [p for p in raw.get("property") or () if isinstance(p, dict) and p.get("code")]
        entry = Entry(
            raw["code"], str(raw.get("display") or ""), str(raw.get("definition") or ""),
            designations=[d for d in raw.get("designation") or () if isinstance(d, dict) and d.get("value")],
            properties=properties, extensions=[e for e in raw.get("extension") or () if isinstance(e, dict)],
        )  # fmt: skip
        statuses = [str(value_of(p)) for p in properties if self._uses.get(p["code"], p["code"]) == "status"]
        entry.status = next(iter(statuses), "") or standards_status(raw)
        entry.inactive = entry.status in _INACTIVE
        for element in properties:
            name, value = self._uses.get(element["code"], element["code"]), value_of(element)
            true = value is True or value == "true"
            entry.inactive = entry.inactive or (name == "inactive" and true)
            if "notSelectable" in (name, element["code"]):
                entry.abstract = true
            if name in ("parent", "subsumedBy") and isinstance(value, str) and value not in entry.parents:
                entry.parents = [*entry.parents, value]
        return entry

    def _link(self) -> None:
        """Children from parents, in the order of the resource; `child` properties count too."""
        for entry in self._entries.values():
            for element in entry.properties:
                child = self._entries.get(str(value_of(element)))
                if self._uses.get(element["code"], element["code"]) == "child" and child is not None:
                    child.parents = list(dict.fromkeys((*child.parents, entry.code)))
        for entry in self._entries.values():
            entry.parents = [p for p in entry.parents if p in self._entries]
            for parent in entry.parents:
                above = self._entries[parent]
                above.children = [*above.children, entry.code]

    def _lay_over(self, supplement: Json) -> None:
        """A supplement adds designations and properties; it never defines a code or changes a display."""
        stack = [c for c in supplement.get("concept") or () if isinstance(c, dict)]
        language = supplement.get("language")
        while stack:
            raw = stack.pop()
            stack += [c for c in raw.get("concept") or () if isinstance(c, dict)]
            entry = self._entries.get(str(raw.get("code")))
            if entry is None:
                continue
            more = [d for d in raw.get("designation") or () if isinstance(d, dict) and d.get("value")]
            if language and raw.get("display"):
                more.append({"language": language, "value": raw["display"]})
            entry.designations = [*entry.designations, *more]
            entry.properties = [*entry.properties, *(raw.get("property") or ())]
            entry.extensions = [*entry.extensions, *(raw.get("extension") or ())]


def _property_names(resource: Json) -> dict[str, str]:
    """A property's code -> the name of HL7's concept property that its uri says it is."""
    found: dict[str, str] = {}
    for element in resource.get("property") or ():
        if isinstance(element, dict) and str(element.get("uri", "")).startswith(_CONCEPT):
            found[str(element.get("code"))] = str(element["uri"]).removeprefix(_CONCEPT)
    return found


def _names(entry: Entry) -> list[str]:
    return [entry.display, entry.code, *(str(d.get("value", "")) for d in entry.designations)]

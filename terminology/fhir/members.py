"""What is in a value set: ValueSet.compose, one by one or all. https://hl7.org/fhir/R4/valueset.html#compositions

Within an include everything must hold (system, concepts or filters, and every value set named); includes are joined;
excludes are taken away. A value set that reaches itself is an error, not an endless walk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.canonical import fits, joined
from terminology.fhir.concept import CodeSystem, Entry, Filter, words_match
from terminology.fhir.problem import TxError, TxIssue, too_costly
from terminology.fhir.scope import Scope, UnknownSystem, UnknownValueSet
from terminology.fhir.selection import check_filters, dicts, filters_of

Json = dict[str, Any]
_SUPPLEMENT = (
    "http://hl7.org/fhir/StructureDefinition/valueset-supplement",
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.supplement",
)
MAX_DEPTH = 30
MAX_STEPS = 100_000  # looks at an include or exclude, for one question


@dataclass(slots=True)
class Member:
    """A concept as it stands in a value set. `own` is the include.concept element where codes are listed."""

    system: CodeSystem
    entry: Entry
    own: Json = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.system.url, self.system.version, self.entry.code

    @property
    def display(self) -> str:
        return str(self.own.get("display") or self.entry.display)


class Members:
    """The members of value sets in one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._sound: set[str] = set()
        self._steps = 0
        self._excluded: dict[tuple[int, str], frozenset[str]] = {}

    def want_supplements(self, value_set: Json) -> None:
        wanted = [
            str(e.get("valueCanonical") or e.get("valueUri") or "")
            for e in extensions(value_set, *_SUPPLEMENT)
        ]
        self.scope.want_supplements([w for w in wanted if w])

    def each(
        self, value_set: Json, text: str = "", *, active_only: bool = False, path: tuple[str, ...] = ()
    ) -> Iterator[Member]:
        """Every member once, in the order of the includes. Raises TxError (unknown system, circle, bad filter)."""
        path = self._deeper(value_set, path)
        if len(path) == 1:
            self._no_circle(value_set, ())
        compose = value_set.get("compose")
        if not isinstance(compose, dict):
            yield from self._expanded(value_set, text)
            return
        active_only = active_only or compose.get("inactive") is False
        excludes = list(dicts(compose.get("exclude")))
        for exclude in excludes:
            if exclude.get("system"):
                self.scope.system(str(exclude["system"]), str(exclude.get("version") or ""))
        seen: set[tuple[str, str, str]] = set()
        for include in dicts(compose.get("include")):
            for member in self._included(include, text, path):
                self._step()
                if member.key in seen or (active_only and member.entry.inactive):
                    continue
                if any(self._fits(exclude, member, path) for exclude in excludes):
                    continue
                seen.add(member.key)
                yield member

    def find(
        self, value_set: Json, url: str, code: str, version: str = "", path: tuple[str, ...] = ()
    ) -> Member | None:
        """The member of that code, None when there is none. `version` must fit that of the include."""
        path = self._deeper(value_set, path)
        if len(path) == 1:
            check_filters(value_set)
            self._no_circle(value_set, ())
        compose = value_set.get("compose")
        if not isinstance(compose, dict):
            found = (m for m in self._expanded(value_set, "") if (m.system.url, m.entry.code) == (url, code))
            return next(found, None)
        unknown: TxError | None = None
        for include in dicts(compose.get("include")):
            try:
                member = self._found(include, url, code, version, path)
            except (UnknownSystem, UnknownValueSet) as error:
                unknown = unknown or error
                continue
            if member is None or (compose.get("inactive") is False and member.entry.inactive):
                continue
            excludes = dicts(compose.get("exclude"))
            return None if any(self._fits(exclude, member, path) for exclude in excludes) else member
        if unknown is not None:
            raise unknown
        return None

    def simple(self, value_set: Json) -> tuple[CodeSystem, list[Filter], bool] | None:
        """(system, filters, active only) of a value set that is one selection of one system: answered page by page."""
        check_filters(value_set)
        compose = value_set.get("compose")
        if not isinstance(compose, dict) or compose.get("exclude"):
            return None
        includes = list(dicts(compose.get("include")))
        if len(includes) != 1 or includes[0].get("valueSet") or includes[0].get("concept"):
            return None
        if not includes[0].get("system"):
            return None
        system = self.scope.system(str(includes[0].get("system", "")), str(includes[0].get("version") or ""))
        return system, filters_of(includes[0]), compose.get("inactive") is False

    def _deeper(self, value_set: Json, path: tuple[str, ...]) -> tuple[str, ...]:
        name = joined(str(value_set.get("url", "")), str(value_set.get("version") or ""))
        if value_set.get("url") and name in path:
            text = (
                f"Found a circularity pointing to {name} processing ValueSet with pathway [{', '.join(path)}]"
            )
            raise TxError(TxIssue("error", "processing", "vs-invalid", text))
        if len(path) >= MAX_DEPTH:
            raise TxError(TxIssue("error", "too-costly", "", "Value sets refer to one another too deeply"))
        return (*path, name)

    def _no_circle(self, value_set: Json, path: tuple[str, ...]) -> None:
        """Raises TxError when a value set reaches itself, by includes or excludes. What is unknown shows later."""
        path = self._deeper(value_set, path)
        if path[-1] in self._sound:
            return
        compose = value_set.get("compose") or {}
        for part in (*dicts(compose.get("include")), *dicts(compose.get("exclude"))):
            for canonical in part.get("valueSet") or ():
                try:
                    found = self.scope.value_set(str(canonical))
                except UnknownValueSet:
                    continue
                self._no_circle(found, path)
        self._sound.add(path[-1])

    def _step(self) -> None:
        """Value sets that name one another over and over would be walked for ever."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise too_costly("The value set takes too many steps to work out")

    def _included(self, include: Json, text: str, path: tuple[str, ...]) -> Iterator[Member]:
        self._step()
        imported = [self._imported(c) for c in include.get("valueSet") or ()]
        if include.get("system"):
            members = self._selected(include, text)
            others = imported
        elif imported:
            members, others = self.each(imported[0], text, path=path), imported[1:]
        else:
            text = "An include of a value set has neither a system nor a value set"
            raise TxError(TxIssue("error", "invalid", "vs-invalid", text), status=400)
        for member in members:
            if all(self._inside(other, member, path) for other in others):
                yield member

    def _selected(self, include: Json, text: str) -> Iterator[Member]:
        system = self.scope.system(str(include["system"]), str(include.get("version") or ""))
        if include.get("concept"):
            for own in dicts(include["concept"]):
                entry = system.find(str(own.get("code", "")))
                if entry is not None and (not text or words_match(text, _names(entry, own))):
                    yield Member(system, entry, own)
            return
        for entry in system.each(filters_of(include), text):
            yield Member(system, entry)

    def _found(
        self, include: Json, url: str, code: str, version: str, path: tuple[str, ...]
    ) -> Member | None:
        self._step()
        imported = [self._imported(c) for c in include.get("valueSet") or ()]
        if not include.get("system"):
            found = [self.find(other, url, code, version, path) for other in imported]
            return found[0] if found and all(found) else None
        if include["system"] != url:
            return None
        system = self.scope.system(url, str(include.get("version") or "") or version)
        if version and not fits(system.version, version):
            return None
        entry = system.find(code)
        if entry is None:
            return None
        member = Member(system, entry)
        if include.get("concept"):
            listed = [c for c in dicts(include["concept"]) if system.find(str(c.get("code", ""))) is entry
                      or c.get("code") == entry.code]  # fmt: skip
            if not listed:
                return None
            member.own = listed[0]
        elif not system.has(entry.code, filters_of(include)):
            return None
        return member if all(self._inside(other, member, path) for other in imported) else None

    def _inside(self, value_set: Json, member: Member, path: tuple[str, ...]) -> bool:
        return (
            self.find(value_set, member.system.url, member.entry.code, member.system.version, path)
            is not None
        )

    def _fits(self, part: Json, member: Member, path: tuple[str, ...]) -> bool:
        if not part.get("valueSet") and not part.get("version") and part.get("system"):
            return part["system"] == member.system.url and member.entry.code in self._codes(
                part, member.system
            )
        return (
            self._found(part, member.system.url, member.entry.code, member.system.version, path) is not None
        )

    def _codes(self, part: Json, system: CodeSystem) -> frozenset[str]:
        """All codes of an exclude, gathered once: it is held against every member."""
        key = (id(part), system.version)
        if key not in self._excluded:
            if part.get("concept"):
                listed = (system.find(str(c.get("code", ""))) for c in dicts(part["concept"]))
                self._excluded[key] = frozenset(entry.code for entry in listed if entry is not None)
            else:
                self._excluded[key] = frozenset(system.codes(filters_of(part)))
        return self._excluded[key]

    def _imported(self, canonical: Any) -> Json:
        found = self.scope.value_set(str(canonical))
        self.want_supplements(found)
        self.scope.use("used-valueset", joined(str(found.get("url", "")), str(found.get("version") or "")))
        return found

    def _expanded(self, value_set: Json, text: str) -> Iterator[Member]:
        """A value set without definition is what its expansion says."""
        stack = list(dicts((value_set.get("expansion") or {}).get("contains")))[::-1]
        while stack:
            row = stack.pop()
            stack += list(dicts(row.get("contains")))[::-1]
            if not row.get("code") or row.get("abstract") is True or not row.get("system"):
                continue
            system = self.scope.system(str(row["system"]), str(row.get("version") or ""))
            entry = system.find(str(row["code"]))
            if entry is not None and (not text or words_match(text, _names(entry, row))):
                yield Member(system, entry, {"display": row.get("display")})


def extensions(element: Json, *urls: str) -> list[Json]:
    return [e for e in dicts(element.get("extension")) if e.get("url") in urls]


def _names(entry: Entry, own: Json) -> Sequence[str]:
    more = [str(d.get("value", "")) for d in dicts(own.get("designation"))]
    return [
        entry.display,
        entry.code,
        str(own.get("display") or ""),
        *more,
        *(str(d.get("value", "")) for d in entry.designations),
    ]

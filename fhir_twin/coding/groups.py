"""Condition groups: which groups a set of codes (and words) belongs to. Data: mappings/conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhir_twin.coding.icd import below
from fhir_twin.coding.words import says
from fhir_twin.errors import KnowledgeError
from mappings import Source

FOLDER = "conditions"
LONGEST_TEXT = 4_000  # characters looked through for words; a problem's name is shorter
KEYS = {"label", "icd10cm", "excluded", "snomed", "words", "includes", "note"}


@dataclass(frozen=True)
class ConditionGroup:
    """One group as its table says it; legend in mappings/conditions/README.md."""

    name: str
    label: str
    icd10cm: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    snomed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()

    def holds_icd(self, code: str) -> bool:
        return any(below(code, h) for h in self.icd10cm) and not any(below(code, h) for h in self.excluded)


@dataclass(frozen=True)
class ConditionGroups:
    """All groups, by name."""

    groups: Mapping[str, ConditionGroup]

    def of(self, icd10cm: Iterable[str], snomed: Iterable[str], text: str = "") -> frozenset[str]:
        """The groups of one problem: by ICD-10-CM heading, by SNOMED CT code, by the words of those groups that no
        code can express, and every group that includes one of these."""
        found: set[str] = set()
        for code in icd10cm:
            found |= {g for g in self._by_category.get(code[:3], ()) if self.groups[g].holds_icd(code)}
        for code in snomed:
            found.update(self._by_snomed.get(code, ()))
        if text:
            start = text[:LONGEST_TEXT]
            lowered = start.lower()
            found.update(name for phrase, name in self._phrases if phrase in lowered and says(start, phrase))
        return frozenset(found.union(*(self._wider[g] for g in found)))

    def knows_snomed(self, code: str) -> bool:
        return code in self._by_snomed

    @cached_property
    def _by_category(self) -> dict[str, tuple[str, ...]]:
        """Three-character category -> groups that could hold a code of it."""
        table: dict[str, list[str]] = {}
        for name, group in self.groups.items():
            for heading in group.icd10cm:
                for category in _categories(heading):
                    table.setdefault(category, []).append(name)
        return {c: tuple(dict.fromkeys(names)) for c, names in table.items()}

    @cached_property
    def _by_snomed(self) -> dict[str, tuple[str, ...]]:
        table: dict[str, list[str]] = {}
        for name, group in self.groups.items():
            for code in group.snomed:
                table.setdefault(code, []).append(name)
        return {code: tuple(names) for code, names in table.items()}

    @cached_property
    def _phrases(self) -> tuple[tuple[str, str], ...]:
        return tuple((phrase, name) for name, group in self.groups.items() for phrase in group.words)

    @cached_property
    def _wider(self) -> dict[str, frozenset[str]]:
        """group -> every group that holds it, directly or by another."""
        return {name: closure(name, {n: g.includes for n, g in self.groups.items()}) for name in self.groups}


def closure(name: str, includes: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """All keys that include `name`, directly or through others; without `name` itself unless it is in a circle."""
    found: set[str] = set()
    todo = [name]
    while todo:
        inner = todo.pop()
        for outer, members in includes.items():
            if inner in members and outer not in found:
                found.add(outer)
                todo.append(outer)
    return frozenset(found)


def load_condition_groups(source: Source) -> ConditionGroups:
    """Read mappings/conditions. Raises KnowledgeError naming the file and the key."""
    found: dict[str, ConditionGroup] = {}
    for file, tables in source.toml(FOLDER):
        for name, table in tables.items():
            if name in found:
                raise KnowledgeError(f"{FOLDER}/{file}: group {name} is in two files")
            found[name] = _group(file, name, table)
    for group in found.values():
        unknown = sorted(set(group.includes) - found.keys())
        if unknown:
            raise KnowledgeError(f"{FOLDER}: {group.name} includes unknown group {unknown[0]}")
    return ConditionGroups({name: found[name] for name in sorted(found)})


def _group(file: str, name: str, table: Any) -> ConditionGroup:
    if not isinstance(table, dict) or not isinstance(table.get("label"), str):
        raise KnowledgeError(f"{FOLDER}/{file}: {name} has no label")
    odd = sorted(table.keys() - KEYS)
    if odd:
        raise KnowledgeError(f"{FOLDER}/{file}: {name} has an unknown key {odd[0]}")
    lists = {k: tuple(table.get(k, ())) for k in ("icd10cm", "excluded", "snomed", "words", "includes")}
    if not any(lists[k] for k in ("icd10cm", "snomed", "words", "includes")):
        raise KnowledgeError(f"{FOLDER}/{file}: {name} has no member")
    return ConditionGroup(name, table["label"], **lists)


def _categories(heading: str) -> tuple[str, ...]:
    if "-" not in heading:
        return (heading[:3],)
    low, high = heading.split("-", 1)
    digits = "0123456789"
    ends = digits + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return tuple(c for tens in digits for ones in ends if low <= (c := f"{low[0]}{tens}{ones}") <= high)

"""Instructional notes of ICD-10-CM for the coding rules: use-additional, excludes1, 7th characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from terminology.importers.rows import ConceptRow
from terminology.text.patterns import pattern

CODE_RANGE = pattern(
    "code-range", r"([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)(?:-([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?))?"
)
_KEPT = {
    "use-additional": "use",
    "code-also": "use",
    "excludes1": "excludes1",
    "seventh-character": "seventh",
}
_SETS = "#"
Table = dict[str, dict[str, list[str]]]


def collect(rows: Iterable[ConceptRow]) -> Table:
    """code -> {"use": ranges "N18.1-N18.6", "excludes1": ranges, "seventh": "A initial ..."}; own notes only."""
    found: Table = {}
    sets: dict[tuple[str, ...], str] = {}  # the same few sets of 7th characters stand on thousands of codes
    for row in rows:
        own: dict[str, list[str]] = {}
        letters: list[str] = []
        for kind, text in row.properties:
            name = _KEPT.get(kind)
            if name == "seventh":
                letters.append(text)
            elif name:
                own.setdefault(name, []).extend(
                    "-".join(filter(None, pair)) for pair in CODE_RANGE.findall(text)
                )
        if letters:
            own["seventh"] = [sets.setdefault(tuple(letters), str(len(sets)))]
        if own:
            found[row.code] = own
    found[_SETS] = {number: list(letters_) for letters_, number in sets.items()}
    return found


def save(table: Table, path: Path) -> None:
    path.write_text(json.dumps(table, separators=(",", ":")), "utf-8")


class Notes:
    """Read on first use; `codes` are asked with their ancestors, nearest first."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._table: Table | None = None

    def _notes(self, name: str, codes: Sequence[str]) -> list[str]:
        if self._table is None:
            self._table = json.loads(self._path.read_text("utf-8")) if self._path else {}
        return [text for code in codes for text in (self._table or {}).get(code, {}).get(name, ())]

    def seventh(self, codes: Sequence[str]) -> list[str]:
        """ "A initial encounter" ... for a code that needs a 7th character, else empty."""
        numbers = self._notes("seventh", codes[:1])
        return (self._table or {}).get(_SETS, {}).get(numbers[0], []) if numbers else []

    def asks_for(self, codes: Sequence[str], other: str) -> bool:
        """Whether a use-additional (or code-also) note of `codes` names `other`."""
        return any(_within(other, text) for text in self._notes("use", codes))

    def excludes(self, codes: Sequence[str], other: str) -> bool:
        """Whether an excludes1 note of `codes` names `other`."""
        return any(_within(other, text) for text in self._notes("excludes1", codes))


def _within(code: str, text: str) -> bool:
    first, _, last = text.partition("-")
    if not last:
        return code.startswith(first)
    return first <= code[: len(first)] and code[: len(last)] <= last

"""SNOMED CT codes for problems, from the checked starter map (mappings/concept-maps/starter-problems.tsv)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from terminology.text.index import canonical_key
from terminology.text.words import Canon


@dataclass(frozen=True, slots=True)
class SnomedRow:
    """One concept of the starter map with the ICD-10-CM code that the map gives it ("" when none)."""

    term: str
    code: str
    display: str
    icd10cm: str
    synonyms: tuple[str, ...]
    kind: str


# Words that say nothing of which problem is meant: sharing only these is no agreement.
_EMPTY = (
    "history of personal family other unspecified disease disorder syndrome condition problem status acute chronic "
    "symptom finding abnormal screening with without and or not due to"
)


class SnomedLinks:
    """Finds the concept for a phrase: by the phrase itself, else by the ICD code when just one row has that code.

    The way back from an ICD code is not safe by itself: a residual code ("personal history of other diseases of ...")
    stands for many concepts, and the map knows only one of them. So the row must share a word that carries meaning."""

    def __init__(self, rows: Iterable[SnomedRow], canon: Canon) -> None:
        self._rows, self._canon = tuple(rows), canon
        self._by_text: dict[str, SnomedRow] | None = None
        by_code: dict[str, list[SnomedRow]] = {}
        for row in self._rows:
            if row.icd10cm:
                by_code.setdefault(row.icd10cm, []).append(row)
        self._by_code = {code: found[0] for code, found in by_code.items() if len(found) == 1}
        self._words: dict[str, frozenset[str]] = {}  # tokens of all names of a row, by its code
        self._empty = frozenset(canon.of(_EMPTY))

    def _texts(self) -> dict[str, SnomedRow]:
        """Made on first use: it takes as long as loading the whole index."""
        if self._by_text is None:
            found: dict[str, SnomedRow] = {}
            for row in self._rows:
                for text in (row.term, row.display, *row.synonyms):
                    found.setdefault(canonical_key(self._canon.of(text.lower())), row)
            self._by_text = found
        return self._by_text

    def find(self, tokens: Sequence[str], icd10cm: str) -> SnomedRow | None:
        """The row for canonical `tokens` if it agrees with the ICD category, else the only row of that ICD code, if it
        shares a meaningful token with the phrase."""
        row = self._texts().get(canonical_key(tokens))
        if row is not None and (
            not row.icd10cm or icd10cm.startswith(row.icd10cm) or row.icd10cm.startswith(icd10cm)
        ):
            return row
        row = self._by_code.get(icd10cm)
        return row if row is not None and self._shares(row, tokens) else None

    def _shares(self, row: SnomedRow, tokens: Sequence[str]) -> bool:
        words = self._words.get(row.code)
        if words is None:
            texts = (row.term, row.display, *row.synonyms)
            found = {token for text in texts for token in self._canon.of(text.lower())}
            words = self._words[row.code] = frozenset(found - self._empty)
        return not words.isdisjoint(tokens)


def starter_rows(tables: Iterable[tuple[str, list[dict[str, str]]]]) -> list[SnomedRow]:
    """Rows of starter-problems.tsv; empty when there is none yet. Raises ValueError for a missing column."""
    found: list[SnomedRow] = []
    for name, rows in tables:
        if name != "starter-problems.tsv":
            continue
        try:
            for row in rows:
                synonyms = tuple(s.strip() for s in row["synonyms"].split("|") if s.strip())
                found.append(
                    SnomedRow(
                        row["term"],
                        row["snomed"],
                        row["snomed_display"],
                        row["icd10cm"],
                        synonyms,
                        row["kind"],
                    )
                )
        except KeyError as error:
            raise ValueError(f"concept-maps/{name}: column {error} is missing") from error
    return found

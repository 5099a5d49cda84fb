"""Drugs: ingredient names and brands to RxNorm, with strength, form, route and frequency as written.

"Lisinopril 10mg tabs PO daily" -> lisinopril, strength 10 mg, form tablet, route oral, frequency daily.
Only names in mappings/drug-classes (and what an imported RxNorm adds) are coded; a misspelled name is repaired
against drug names only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from terminology.decision import Assertion, Candidate, CodingDecision, Kind
from terminology.importers.rows import RXNORM
from terminology.text.answers import abstention
from terminology.text.coder import Engine
from terminology.text.context import Context
from terminology.text.drug_details import WORDS, parse_details
from terminology.text.normalise import fold, original_span, raw_tokens
from terminology.text.spelling import Speller

_WINDOW = 5  # words in a drug name
_JOINTS = frozenset(("", "/", "-", "+", "&", "and"))  # between the names of one product
_SURE, _REPAIRED = 0.98, 0.9
# Drugs whose bare number is not milligrams: units, micrograms, puffs. The number is then given without a unit.
_NOT_IN_MG = frozenset(
    ("insulin", "formoterol", "salmeterol", "vilanterol", "fluticasone", "budesonide", "mometasone", "beclomethasone",
     "ciclesonide", "albuterol", "levalbuterol", "tiotropium", "umeclidinium", "ipratropium", "glycopyrrolate",
     "levothyroxine", "liothyronine", "digoxin", "cyanocobalamin", "fentanyl", "heparin", "cholecalciferol",
     "ergocalciferol", "calcitriol", "desmopressin", "epoetin", "darbepoetin", "teriparatide")
)  # fmt: skip
_CUT_OFF_FROM = (
    5  # letters of a name that may be cut off ("azithro"); at least half of the name must be there
)


@dataclass(frozen=True, slots=True)
class Ingredient:
    name: str
    rxcui: str
    synonyms: tuple[str, ...] = ()


def ingredients(tables: Iterable[tuple[str, dict[str, object]]]) -> list[Ingredient]:
    """[[ingredient]] entries of mappings/drug-classes/*.toml, in file order. Raises ValueError naming the file."""
    found: dict[str, Ingredient] = {}
    for name, table in tables:
        rows = table.get("ingredient", [])
        if not isinstance(rows, list):
            raise ValueError(f"drug-classes/{name}: ingredient is not a list of tables")
        for row in rows:
            item = Ingredient(
                str(row["name"]), str(row.get("rxcui", "")), tuple(map(str, row.get("synonyms", ())))
            )
            known = found.get(item.name)
            synonyms = (*(known.synonyms if known else ()), *item.synonyms)
            found[item.name] = Ingredient(item.name, item.rxcui or (known.rxcui if known else ""), synonyms)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Combination:
    """Names of a product ("norco") and its ingredients."""

    names: tuple[str, ...]
    ingredients: tuple[str, ...]


def combinations(tables: Iterable[tuple[str, dict[str, object]]]) -> list[Combination]:
    """`combination` entries of mappings/drug-classes/*.toml. Raises ValueError naming the file."""
    found: list[Combination] = []
    for name, table in tables:
        rows = table.get("combination", [])
        if not isinstance(rows, list):
            raise ValueError(f"drug-classes/{name}: combination is not a list of tables")
        found += [
            Combination(tuple(map(str, row.get("synonyms", ()))), tuple(map(str, row["ingredients"])))
            for row in rows
        ]
    return found


class DrugEngine(Engine):
    """Finds drug names. `kind` is "drug" or "allergy"."""

    def __init__(
        self, drugs: Sequence[Ingredient], context: Context, release: str, kind: Kind = "drug",
        products: Sequence[Combination] = (),
    ) -> None:  # fmt: skip
        self._drugs, self._context, self.release, self.kind = drugs, context, release, kind
        self._names: dict[tuple[str, ...], list[int]] = {}
        for number, drug in enumerate(drugs):
            for name in (drug.name, *drug.synonyms):
                words = _words(name)
                if words and number not in self._names.setdefault(words, []):
                    self._names[words].append(number)
        known = {drug.name: number for number, drug in enumerate(drugs)}
        for product in products:
            members = [known[i] for i in product.ingredients if i in known]
            for name in product.names if len(members) == len(product.ingredients) else ():
                self._names.setdefault(_words(name), []).extend(members)
        self._sorted = sorted(words[0] for words in self._names if len(words) == 1)
        vocabulary = sorted({w for words in self._names for w in words if len(words) == 1})
        self._speller = Speller(vocabulary, np.ones(len(vocabulary), np.int64))

    def code(self, text: str) -> CodingDecision:
        found = self.code_all(text)
        if not found:
            return abstention(
                text, self.kind, "no known drug name" if text.strip() else "empty", self.release
            )
        chosen = tuple(dict.fromkeys(c for d in found for c in d.chosen))
        first = found[0]
        details = (*_joined(text, found), *(d for d in first.details if d[0] != "ingredient"))
        return CodingDecision(
            text, self.kind, (0, len(text)), first.assertion, chosen, chosen, min(d.confidence for d in found),
            first.method, "", tuple(s for d in found for s in d.steps), (), self.release, details,
        )  # fmt: skip

    def code_all(self, text: str) -> tuple[CodingDecision, ...]:
        folded, offsets = fold(text)
        tokens = raw_tokens(folded.replace("-", " ").replace("/", " "))
        hits = self._context.hits(tokens)
        found: list[CodingDecision] = []
        index = 0
        while index < len(tokens):
            width, numbers, steps = self._at(tokens, index)
            if numbers:
                span = original_span((tokens[index][1], tokens[index + width - 1][2]), offsets)
                assertion, _ = self._context.assertion(hits, index, index + width)
                ends = tokens[index + width - 1][2]
                found.append(self._decision(text, folded, tokens, span, assertion, numbers, steps, ends))
            index += max(1, width)
        return tuple(found)

    def _at(
        self, tokens: Sequence[tuple[str, int, int]], index: int
    ) -> tuple[int, list[int], tuple[str, ...]]:
        words = tuple(t for t, _, _ in tokens[index : index + _WINDOW])
        for width in range(len(words), 0, -1):
            if numbers := self._names.get(words[:width]):
                return width, numbers, ()
        word = words[0]
        if whole := self._completed(word):
            return 1, self._names[whole,], (f"cut off: {word} -> {whole}",)
        if len(word) >= 6 and word not in WORDS:
            repairs = self._speller.repair(word, 2)
            if repairs and (len(repairs) == 1 or repairs[0].distance < repairs[1].distance):
                return 1, self._names[repairs[0].word,], (f"spelling: {word} -> {repairs[0].word}",)
        return 1, [], ()

    def _completed(self, word: str) -> str:
        """The one name that begins with a cut-off word ("azithro"), or ""."""
        if len(word) < _CUT_OFF_FROM or word in WORDS or not word.isalpha():
            return ""
        first = bisect_left(self._sorted, word)
        found = [n for n in self._sorted[first : first + 3] if n.startswith(word) and 2 * len(word) >= len(n)]
        return found[0] if len({tuple(self._names[n,]) for n in found}) == 1 else ""

    def _decision(
        self, text: str, folded: str, tokens: Sequence[tuple[str, int, int]], span: tuple[int, int],
        assertion: Assertion, numbers: Sequence[int], steps: tuple[str, ...], ends: int,
    ) -> CodingDecision:  # fmt: skip
        sure = _REPAIRED if steps else _SURE
        chosen = tuple(
            Candidate(RXNORM, self._drugs[n].rxcui, self._drugs[n].name, sure, sure, self._drugs[n].name)
            for n in numbers
            if self._drugs[n].rxcui
        )
        milligrams = not any(_NOT_IN_MG & set(self._drugs[n].name.split()) for n in numbers)
        details = parse_details(folded, tokens, behind=ends, milligrams=milligrams)
        names = tuple(f"ingredient: {self._drugs[n].name}" for n in numbers)
        return CodingDecision(
            text, self.kind, span, assertion, chosen, chosen, sure if chosen else 0.0,
            ("retrieval" if steps else "exact") if chosen else "abstain",
            "" if chosen else "the ingredient has no checked RxNorm code", (*steps, *names), (), self.release,
            (*(("ingredient", self._drugs[n].name) for n in numbers), *details),
        )  # fmt: skip


def _joined(text: str, found: Sequence[CodingDecision]) -> list[tuple[str, str]]:
    """Ingredients of the first name and of those joined to it ("losartan/HCTZ", "hydrocodone-APAP")."""
    names = [d for d in found[0].details if d[0] == "ingredient"]
    for one, other in pairwise(found):
        if text[one.span[1] : other.span[0]].strip().lower() not in _JOINTS:
            break
        names += [d for d in other.details if d[0] == "ingredient"]
    return list(dict.fromkeys(names))


def _words(name: str) -> tuple[str, ...]:
    return tuple(t for t, _, _ in raw_tokens(fold(name.replace("-", " ").replace("/", " "))[0]))

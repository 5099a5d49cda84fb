"""Drugs: ingredient names and brands to RxNorm, with strength, form, route and frequency as written.

"Lisinopril 10mg tabs PO daily" -> lisinopril, strength 10 mg, form tablet, route oral, frequency daily.
Only names in mappings/drug-classes (and what an imported RxNorm adds) are coded; a misspelled name is repaired
against drug names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from terminology.decision import Assertion, Candidate, CodingDecision, Kind
from terminology.importers.rows import RXNORM
from terminology.text.answers import abstention
from terminology.text.coder import Engine
from terminology.text.context import Context
from terminology.text.normalise import fold, original_span, raw_tokens
from terminology.text.patterns import pattern
from terminology.text.spelling import Speller

STRENGTH = pattern(
    "drug-strength",
    r"(?<![a-z0-9.])(\d{1,6}(?:[.,]\d{1,4})?) ?(mcg|mg|g|gm|ug|meq|mmol|units|unit|iu|ml|%)"
    r"(?:/(\d{0,4} ?(?:ml|h|hr|actuation|dose|kg)))?(?![a-z])",
)
_FORMS = {
    "tab": "tablet", "tabs": "tablet", "tablet": "tablet", "tablets": "tablet", "cap": "capsule", "caps": "capsule",
    "capsule": "capsule", "capsules": "capsule", "soln": "solution", "solution": "solution", "susp": "suspension",
    "suspension": "suspension", "inj": "injection", "injection": "injection", "pen": "pen injector",
    "flexpen": "pen injector", "kwikpen": "pen injector", "patch": "patch", "cream": "cream", "ointment": "ointment",
    "oint": "ointment", "gel": "gel", "inhaler": "inhaler", "hfa": "inhaler", "mdi": "inhaler", "neb": "nebulizer",
    "nebs": "nebulizer", "drops": "drops", "gtt": "drops", "spray": "spray", "suppository": "suppository",
    "er": "extended release", "xr": "extended release", "xl": "extended release", "sr": "extended release",
    "cr": "extended release", "la": "extended release", "dr": "delayed release", "ec": "delayed release",
    "odt": "disintegrating tablet", "sl": "sublingual",
}  # fmt: skip
_ROUTES = {
    "po": "oral", "oral": "oral", "orally": "oral", "mouth": "oral", "sq": "subcutaneous", "sc": "subcutaneous",
    "subq": "subcutaneous", "subcut": "subcutaneous", "subcutaneous": "subcutaneous", "iv": "intravenous",
    "im": "intramuscular", "topical": "topical", "inhaled": "inhalation", "inh": "inhalation", "nasal": "nasal",
    "intranasal": "nasal", "pr": "rectal", "sublingual": "sublingual", "transdermal": "transdermal",
}  # fmt: skip
_FREQUENCIES = {
    "daily": "daily", "qd": "daily", "qday": "daily", "od": "daily", "bid": "twice daily", "tid": "three times daily",
    "qid": "four times daily", "qhs": "at bedtime", "hs": "at bedtime", "nightly": "at bedtime",
    "bedtime": "at bedtime",
    "qam": "every morning", "am": "every morning", "qpm": "every evening", "weekly": "weekly", "qweek": "weekly",
    "monthly": "monthly", "prn": "as needed", "q4h": "every 4 hours", "q6h": "every 6 hours", "q8h": "every 8 hours",
    "q12h": "every 12 hours", "qod": "every other day",
}  # fmt: skip
_WINDOW = 5  # words in a drug name
_SURE, _REPAIRED = 0.98, 0.9
_NOT_DRUG_WORDS = frozenset(
    (*_FORMS, *_ROUTES, *_FREQUENCIES, "allergy", "allergic", "take", "with", "food", "every")
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


class DrugEngine(Engine):
    """Finds drug names. `kind` is "drug" or "allergy"."""

    def __init__(
        self, drugs: Sequence[Ingredient], context: Context, release: str, kind: Kind = "drug"
    ) -> None:
        self._drugs, self._context, self.release, self.kind = drugs, context, release, kind
        self._names: dict[tuple[str, ...], list[int]] = {}
        for number, drug in enumerate(drugs):
            for name in (drug.name, *drug.synonyms):
                words = tuple(t for t, _, _ in raw_tokens(fold(name.replace("-", " ").replace("/", " "))[0]))
                if words and number not in self._names.setdefault(words, []):
                    self._names[words].append(number)
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
        return CodingDecision(
            text, self.kind, (0, len(text)), first.assertion, chosen, chosen, min(d.confidence for d in found),
            first.method, "", tuple(s for d in found for s in d.steps), (), self.release, first.details,
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
                found.append(self._decision(text, folded, tokens, span, assertion, numbers, steps))
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
        if len(word) >= 6 and word not in _NOT_DRUG_WORDS:
            repairs = self._speller.repair(word, 2)
            if repairs and (len(repairs) == 1 or repairs[0].distance < repairs[1].distance):
                return 1, self._names[repairs[0].word,], (f"spelling: {word} -> {repairs[0].word}",)
        return 1, [], ()

    def _decision(
        self, text: str, folded: str, tokens: Sequence[tuple[str, int, int]], span: tuple[int, int],
        assertion: Assertion, numbers: Sequence[int], steps: tuple[str, ...],
    ) -> CodingDecision:  # fmt: skip
        sure = _REPAIRED if steps else _SURE
        chosen = tuple(
            Candidate(RXNORM, self._drugs[n].rxcui, self._drugs[n].name, sure, sure, self._drugs[n].name)
            for n in numbers
            if self._drugs[n].rxcui
        )
        names = tuple(f"ingredient: {self._drugs[n].name}" for n in numbers)
        return CodingDecision(
            text, self.kind, span, assertion, chosen, chosen, sure if chosen else 0.0,
            ("retrieval" if steps else "exact") if chosen else "abstain",
            "" if chosen else "the ingredient has no checked RxNorm code", (*steps, *names), (), self.release,
            (*(("ingredient", self._drugs[n].name) for n in numbers), *parse_details(folded, tokens)),
        )  # fmt: skip


def parse_details(folded: str, tokens: Sequence[tuple[str, int, int]]) -> tuple[tuple[str, str], ...]:
    """Strength, form, route, frequency as far as they are written, each at most once."""
    found: dict[str, str] = {}
    if strength := STRENGTH.search(folded):
        unit = f"{strength[2]}/{strength[3].strip()}" if strength[3] else strength[2]
        found["strength"] = f"{strength[1].replace(',', '')} {unit}"
    for token, _, _ in tokens:
        for name, table in (("form", _FORMS), ("route", _ROUTES), ("frequency", _FREQUENCIES)):
            if token in table:
                found.setdefault(name, table[token])
    return tuple(found.items())

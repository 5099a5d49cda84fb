"""A drug's written name -> ingredients, strength, and whether it acts on the whole body. No network, no model:
longest match of known names ("metoprolol succinate ER 100 mg" -> metoprolol)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_twin.coding.drugs import DrugCatalogue
from fhir_twin.coding.words import tokens

LONGEST = 6
SHORTEST_START, LEAST_SHARE = 6, 0.5

_LOCAL = re.compile(
    r"\b(cream|ointment|gel|lotion|shampoo|ophth\w*|otic|eye|ear|nasal|topical|vaginal|rectal|foam|inhal\w*|actuat"
    r"|hfa|diskus|aerosol|nebuli\w*|flovent|pulmicort|qvar|asmanex|arnuity|flonase|nasonex|rhinocort|nasacort"
    r"|advair|symbicort|breo|wixela|airduo|breyna|alvesco|pred forte|predforte|lotemax|durezol)\b",
    re.IGNORECASE,
)
_NOT_LOCAL = re.compile(r"\b(transdermal|patch|oral|tablet|capsule|inject\w*|tab|cap)\b", re.IGNORECASE)
_STRENGTH = re.compile(
    r"(?<![\d.,/-])(\d+(?:,\d{3})*(?:\.\d+)?)\s*(mg|mcg|ug|µg|g|gram|grams|milligram|milligrams)\b(?!\s*/\s*(?:\d|ml|l\b|hr|h\b|hour|actuat|act\b|spray|puff|dose|kg|m2|day))",
    re.IGNORECASE,
)
MG_PER = {
    "mg": 1.0,
    "milligram": 1.0,
    "milligrams": 1.0,
    "g": 1000.0,
    "gram": 1000.0,
    "grams": 1000.0,
    "mcg": 0.001,
    "ug": 0.001,
    "µg": 0.001,
}


@dataclass(frozen=True, slots=True)
class NamedDrug:
    """What a text names. class_words: classes named as such ("ACE inhibitor")."""

    ingredients: tuple[str, ...]
    class_words: tuple[str, ...] = ()


def name_drugs(text: str, catalogue: DrugCatalogue) -> NamedDrug:
    """Every ingredient named in `text`, in order, each once; longer names win over shorter ones inside them."""
    words = tokens(text)
    ingredients: list[str] = []
    named: list[str] = []
    at = 0
    while at < len(words):
        for size in range(min(LONGEST, len(words) - at), 0, -1):
            part = words[at : at + size]
            product = catalogue.names.get(part)
            if product is not None:
                ingredients += product.ingredients
                at += size
                break
            if part in catalogue.class_words:
                named.append(catalogue.class_words[part])
                at += size
                break
        else:
            at += 1
    return NamedDrug(tuple(dict.fromkeys(ingredients)), tuple(dict.fromkeys(named)))


def name_of_start(text: str, catalogue: DrugCatalogue) -> tuple[str, ...]:
    """The ingredients of the one name that `text` is the start of ("Amioda", "Isosorbide Mononitrat"), for fields that
    cut names off. Empty unless at least half of the name is there and no other name starts so."""
    start = " ".join(w for w in tokens(text) if w.isalpha())
    if len(start) < SHORTEST_START or any(not w.isalpha() for w in tokens(text)[:1]):
        return ()
    names = {" ".join(words): product for words, product in catalogue.names.items()}
    found = {product.ingredients for name, product in names.items() if name.startswith(start)}
    long_enough = any(n.startswith(start) and len(start) >= LEAST_SHARE * len(n) for n in names)
    return found.pop() if len(found) == 1 and long_enough else ()


def strength_mg(text: str) -> float | None:
    """mg per tablet or capsule, when the text gives exactly one amount of substance that is no concentration."""
    found = {float(n.replace(",", "")) * MG_PER[u.lower()] for n, u in _STRENGTH.findall(text)}
    return found.pop() if len(found) == 1 else None


def acts_locally(text: str) -> bool:
    """The drug is put on or breathed in, so that little of it reaches the blood."""
    return bool(_LOCAL.search(text)) and not _NOT_LOCAL.search(text)

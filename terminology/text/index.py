"""The phrase index: canonical tokens -> terms -> codes, as flat arrays that load in milliseconds.

T terms, V tokens, C codes. Codes stand in tree order, so that the descendants of code c are c+1 .. last[c].
Term arrays have shape (T,): term_code, term_source, term_cost, term_flags, term_attrs. Postings are CSR over tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from terminology.text.qualifiers import Qualifiers

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Masks = npt.NDArray[np.uint32]

SOURCES = ("title", "inclusion", "includes", "note", "lexicon", "map", "import", "site")
_EXTRA = {
    "title": 0,
    "inclusion": 1,
    "includes": 2,
    "note": 3,
    "lexicon": 4,
    "map": 5,
    "import": 6,
    "site": 7,
}
FREQUENT = 1_500
PRIORITY = (8, 6.5, 3, 1, 7, 5, 2, 9)  # which source wins when one text means several codes
_HEADING = 5.5  # a title or inclusion term of a heading stands behind the lexicon


@dataclass(frozen=True, slots=True)
class Term:
    """One phrase of one code, ready for the index. `literal` is the folded text, `tokens` the canonical ones."""

    text: str
    literal: str
    tokens: tuple[str, ...]
    code: int
    source: str


@dataclass(slots=True)
class Codes:
    """The codes of the vocabulary in tree order."""

    system: list[str]
    code: list[str]
    display: list[str]
    parent: Ints
    last: Ints
    leaf: npt.NDArray[np.bool_]
    title: Ints  # term of the display
    number: dict[str, int] = field(default_factory=dict)

    def ancestors(self, code: int) -> list[int]:
        found: list[int] = []
        while (code := int(self.parent[code])) >= 0:
            found.append(code)
        return found


@dataclass(slots=True)
class PhraseIndex:
    codes: Codes
    texts: list[str]
    vocabulary: dict[str, int]
    weight: Floats  # (V,) how much a token says, 0 to 1
    cost: Floats  # (V,) what an unasked token costs
    indptr: Ints
    postings: Ints
    forward_indptr: Ints  # (T + 1,) CSR the other way: the tokens of every term
    forward: Ints
    term_code: Ints
    term_source: npt.NDArray[np.uint8]
    term_cost: Floats
    term_flags: Masks
    term_attrs: Masks
    literal: dict[str, int]  # folded text -> term
    canonical: dict[str, int]  # sorted canonical tokens -> term
    words: list[str]  # every word as written in some term, for spelling repair
    frequency: npt.NDArray[np.int64]  # (len(words),)
    frequent: frozenset[int] = frozenset()  # tokens that more than FREQUENT terms have

    def __post_init__(self) -> None:
        self.frequent = frozenset(np.flatnonzero(np.diff(self.indptr) > FREQUENT).tolist())

    def tokens_of(self, term: int) -> Ints:
        return self.forward[self.forward_indptr[term] : self.forward_indptr[term + 1]]

    def extra_cost(self, terms: Ints, asked: Ints) -> Floats:
        """What the tokens of each term cost that are not among `asked`. (K,) for consecutive or any `terms`."""
        first, last = self.forward_indptr[terms], self.forward_indptr[terms + 1]
        lengths = last - first
        places = np.repeat(first - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths) + np.arange(
            lengths.sum()
        )
        tokens = self.forward[places]
        price = self.cost.copy()
        price[asked] = 0.0
        cost = price[tokens]
        owner = np.repeat(np.arange(len(terms)), lengths)
        return np.bincount(owner, weights=cost, minlength=len(terms)).astype(np.float32)

    def postings_of(self, token: int) -> Ints:
        return self.postings[self.indptr[token] : self.indptr[token + 1]]


def canonical_key(tokens: Iterable[str]) -> str:
    return " ".join(sorted(tokens))


def build_index(codes: Codes, terms: Sequence[Term], qualifiers: Qualifiers) -> PhraseIndex:
    """Arrays from terms. Weight of a token: inverse document frequency over *codes*, scaled to 0..1."""
    vocabulary = {t: i for i, t in enumerate(sorted({t for term in terms for t in term.tokens}))}
    lengths = np.fromiter((len(t.tokens) for t in terms), np.int64, len(terms))
    flat = np.fromiter((vocabulary[t] for term in terms for t in term.tokens), np.int32, int(lengths.sum()))
    owner = np.repeat(np.arange(len(terms), dtype=np.int32), lengths)
    order = np.argsort(flat, kind="stable")
    counts = np.bincount(flat, minlength=len(vocabulary))
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    weight = _weights(counts, len(terms), list(vocabulary))
    cost = np.fromiter(
        (weight[i] * qualifiers.factor(t) for t, i in vocabulary.items()), np.float32, len(vocabulary)
    )
    term_code = np.fromiter((t.code for t in terms), np.int32, len(terms))
    index = PhraseIndex(
        codes, [t.text for t in terms], vocabulary, weight, cost, indptr, owner[order],
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int32), flat,
        term_code,
        np.fromiter((_EXTRA[t.source] for t in terms), np.uint8, len(terms)),
        np.bincount(owner, weights=cost[flat], minlength=len(terms)).astype(np.float32),
        np.fromiter((qualifiers.flags(t.tokens, codes.code[t.code], t.source) for t in terms), np.uint32, len(terms)),
        np.fromiter((qualifiers.attributes(t.tokens) for t in terms), np.uint32, len(terms)),
        {}, {}, *_written_words(terms),
    )  # fmt: skip
    _fill_exact(index, terms)
    return index


def _weights(counts: npt.NDArray[np.int64], total: int, tokens: list[str]) -> Floats:
    idf = np.log((total + 1) / (counts + 1)) / np.log(total + 1)
    scale = np.fromiter((_importance(t) for t in tokens), np.float64, len(tokens))
    return np.asarray(np.clip(idf, 0.08, 1.0) * scale, np.float32)


_PLACES = frozenset(
    ("right", "left", "bilateral", "upper", "lower", "middle", "anterior", "posterior", "medial", "lateral", "proximal",
     "distal", "inner", "outer", "superior", "inferior", "limb")
)  # fmt: skip
_WEAK = frozenset(
    ("stage", "type", "grade", "class", "degree", "disease", "disorder", "syndrome", "condition")
)


def _importance(token: str) -> float:
    if token in _WEAK:
        return 0.3
    if token in _PLACES:
        return 0.5
    if token[0].isdigit():
        return 0.5 if len(token) <= 2 else 0.2
    return 0.5 if token[0] == "~" else 1.0


def _written_words(terms: Sequence[Term]) -> tuple[list[str], npt.NDArray[np.int64]]:
    counts = Counter(
        word for term in terms for word in term.literal.replace("-", " ").replace("/", " ").split()
    )
    words = sorted(w for w in (c.strip(",.;:()[]") for c in counts) if w.isalpha() and w.isascii())
    unique = list(dict.fromkeys(words))
    return unique, np.array([counts.get(w, 1) for w in unique], np.int64)


def _fill_exact(index: PhraseIndex, terms: Sequence[Term]) -> None:
    """Exact keys. Of several codes for one text: the better source, then the heading above, then tree order."""
    rank = [(-_priority(t, bool(index.codes.leaf[t.code])), t.code) for t in terms]
    for number in sorted(range(len(terms)), key=rank.__getitem__):
        term = terms[number]
        index.literal.setdefault(term.literal, number)
        if term.tokens:
            index.canonical.setdefault(canonical_key(term.tokens), number)


def _priority(term: Term, leaf: bool) -> float:
    value = PRIORITY[_EXTRA[term.source]]
    return min(_HEADING, value) if not leaf and term.source in ("title", "inclusion") else value


_ARRAYS = (
    "weight",
    "cost",
    "indptr",
    "postings",
    "term_code",
    "term_source",
    "term_cost",
    "term_flags",
    "term_attrs",
    "forward_indptr",
    "forward",
)
_SEP = "\x1e"


def save_index(index: PhraseIndex, folder: Path) -> None:
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(index, name))
    for name in ("parent", "last", "leaf", "title"):
        np.save(folder / f"code-{name}.npy", getattr(index.codes, name))
    for name in ("system", "code", "display"):
        (folder / f"code-{name}.txt").write_text(_SEP.join(getattr(index.codes, name)), "utf-8")
    (folder / "words.txt").write_text(_SEP.join(index.words), "utf-8")
    np.save(folder / "frequency.npy", index.frequency)
    (folder / "texts.txt").write_text(_SEP.join(index.texts), "utf-8")
    (folder / "vocabulary.txt").write_text(_SEP.join(index.vocabulary), "utf-8")
    for name in ("literal", "canonical"):
        table: dict[str, int] = getattr(index, name)
        (folder / f"{name}.txt").write_text(_SEP.join(table), "utf-8")
        np.save(folder / f"{name}.npy", np.fromiter(table.values(), np.int32, len(table)))


def load_index(folder: Path) -> PhraseIndex:
    """Read what save_index wrote. Arrays are memory-mapped. Raises OSError or ValueError when something is missing."""
    a = {name: _array(folder / f"{name}.npy") for name in _ARRAYS}
    c = {n: _array(folder / f"code-{n}.npy") for n in ("parent", "last", "leaf", "title")}
    if (c["parent"] >= np.arange(len(c["parent"]))).any():
        raise ValueError("the codes are not in tree order; walking up would not end")
    system, code, display = (_lines(folder / f"code-{n}.txt") for n in ("system", "code", "display"))
    number = {text: i for i, text in enumerate(code)}
    codes = Codes(system, code, display, c["parent"], c["last"], c["leaf"], c["title"], number)
    vocabulary = {t: i for i, t in enumerate(_lines(folder / "vocabulary.txt"))}
    literal, canonical = (
        dict(zip(_lines(folder / f"{n}.txt"), np.load(folder / f"{n}.npy").tolist(), strict=True))
        for n in ("literal", "canonical")
    )
    return PhraseIndex(
        codes, _lines(folder / "texts.txt"), vocabulary, a["weight"], a["cost"], a["indptr"], a["postings"],
        a["forward_indptr"], a["forward"],
        a["term_code"], a["term_source"], a["term_cost"], a["term_flags"], a["term_attrs"], literal, canonical,
        _lines(folder / "words.txt"), np.load(folder / "frequency.npy"),
    )  # fmt: skip


def _array(path: Path) -> npt.NDArray[Any]:
    """Memory-mapped, but as a plain array: indexing the memmap class costs ten times as much."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _lines(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    return text.split(_SEP) if text else []

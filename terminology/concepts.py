"""Find the concept of a release that a text means, whatever words were chosen: the vocabulary teaches its own synonyms.

Names of one concept that differ in a few words say which words stand for one another ("kidney" - "renal", "abnormal" -
"abnormality of"). Counted over all concepts, this gives weighted substitutions; a query is widened by them, compared by
cosine over inverse document frequencies, and near ties are settled by letter trigrams. Measured against its peers in
benchmarks/bench_releases.py. No training data but the release itself.

T terms, V tokens, C concepts. Arrays are float32 and int32; scoring touches only the postings of the query's tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process
from scipy import sparse

Tokens = Callable[[str], Sequence[str]]
Floats = npt.NDArray[np.float32]
# Chosen on left-out synonyms of one vocabulary (seed 3 of the benchmark; its figures are of another seed).
SHARE, FACTOR, DIFFERENT, LEAST = 0.05, 3.0, 4, 0.4
LETTERS = 0.2  # weight of the trigrams
_NEAR, _LIKE = (
    200,
    82,
)  # terms looked at letter by letter; similarity from which an unknown word may be a known one
_SEP = "\x1e"


@dataclass(frozen=True, slots=True)
class FoundConcept:
    """`term` is the name that fitted; `score` orders, 1 is the same words."""

    code: str
    term: str
    score: float


@dataclass(slots=True)
class ConceptFinder:
    """`terms[t]` names concept `owner[t]`; `matrix` (T, V) holds unit rows; `words` (V, V) what may stand for what."""

    codes: list[str]
    terms: list[str]
    owner: npt.NDArray[np.int32]
    vocabulary: list[str]
    idf: Floats
    matrix: sparse.csc_matrix
    words: sparse.csr_matrix
    tokens: Tokens
    _number: dict[str, int]

    def find(self, text: str, count: int = 5) -> list[FoundConcept]:
        """The `count` best concepts, best first; fewer (or none) when nothing shares a word."""
        columns, values = self._widened(self.tokens(text[:1_000].lower()))
        if not len(columns):
            return []
        scores = np.asarray(self.matrix[:, columns] @ values).ravel()
        near = min(_NEAR, len(scores))
        best = np.argpartition(-scores, near - 1)[:near]
        best = best[scores[best] > 0]
        query = _trigrams(text.lower())
        letters = np.fromiter(
            (_dice(query, _trigrams(self.terms[t].lower())) for t in best), np.float32, len(best)
        )
        total = (scores[best] + LETTERS * letters) / (1 + LETTERS)
        found: dict[int, FoundConcept] = {}
        for place in np.argsort(-total, kind="stable"):
            term = int(best[place])
            concept = int(self.owner[term])
            found.setdefault(
                concept, FoundConcept(self.codes[concept], self.terms[term], float(total[place]))
            )
            if len(found) == count:
                break
        return list(found.values())

    def _widened(self, tokens: Sequence[str]) -> tuple[npt.NDArray[np.int64], Floats]:
        """(tokens, weights): the query's own and what may stand for them, of unit length."""
        weights: dict[int, float] = {}
        for token in tokens[:60]:
            for number, share in self._known(token):
                weights[number] = weights.get(number, 0.0) + share * float(self.idf[number])
        if not weights:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        row = sparse.csr_matrix(
            (np.fromiter(weights.values(), np.float32), (np.zeros(len(weights), int), list(weights))),
            shape=(1, len(self.vocabulary)),
        )
        wide = (row + row @ self.words).tocsr()
        values = wide.data / np.linalg.norm(wide.data)
        return wide.indices.astype(np.int64), values.astype(np.float32)

    def _known(self, token: str) -> list[tuple[int, float]]:
        """The token itself; for an unknown one the most similar known word."""
        if token in self._number:
            return [(self._number[token], 1.0)]
        if len(token) < 4:
            return []
        match = process.extractOne(token, self.vocabulary, scorer=fuzz.ratio, score_cutoff=_LIKE)
        return [(match[2], match[1] / 100)] if match else []


def build_finder(rows: Iterable[tuple[str, str]], tokens: Tokens) -> ConceptFinder:
    """From (code, term) pairs; terms of one concept may come in any order. Raises ValueError when there are none."""
    codes: dict[str, int] = {}
    terms: list[str] = []
    owner: list[int] = []
    numbers: dict[str, int] = {}
    rows_of: list[list[int]] = []
    for code, term in rows:
        found = [numbers.setdefault(t, len(numbers)) for t in tokens(term.lower())]
        if found:
            owner.append(codes.setdefault(code, len(codes)))
            terms.append(term)
            rows_of.append(found)
    if not terms:
        raise ValueError("no terms to find")
    matrix, idf = _matrix(rows_of, len(numbers))
    words = _substitutions(rows_of, owner, len(numbers))
    return ConceptFinder(
        list(codes), terms, np.array(owner, np.int32), list(numbers), idf, matrix, words, tokens, numbers
    )


def _matrix(rows_of: Sequence[Sequence[int]], size: int) -> tuple[sparse.csc_matrix, Floats]:
    lengths = np.fromiter((len(r) for r in rows_of), np.int64, len(rows_of))
    flat = np.fromiter((t for r in rows_of for t in r), np.int64, int(lengths.sum()))
    owner = np.repeat(np.arange(len(rows_of)), lengths)
    counts = sparse.csr_matrix((np.ones(len(flat), np.float32), (owner, flat)), shape=(len(rows_of), size))
    frequency = np.bincount(counts.indices, minlength=size)
    idf = (np.log((1 + len(rows_of)) / (1 + frequency)) + 1).astype(np.float32)
    counts.data *= idf[counts.indices]
    norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1))).ravel()
    counts.data /= np.repeat(norms, np.diff(counts.indptr)).astype(np.float32)
    return counts.tocsc(), idf


def _substitutions(rows_of: Sequence[Sequence[int]], owner: Sequence[int], size: int) -> sparse.csr_matrix:
    """(V, V) share of the names with token p whose concept has a name with r in its place."""
    names: dict[int, list[frozenset[int]]] = {}
    for concept, row in zip(owner, rows_of, strict=True):
        names.setdefault(concept, []).append(frozenset(row))
    together: dict[tuple[int, int], float] = {}
    alone: Counter[int] = Counter()
    for sets in names.values():
        for name in sets:
            alone.update(name)
        for a in sets[:20]:  # a concept with very many names would outweigh all others
            for b in sets[:20]:
                gone, come = a - b, b - a
                if 1 <= len(gone) <= DIFFERENT and 1 <= len(come) <= DIFFERENT:
                    share = 1 / (len(gone) * len(come))
                    for p in gone:
                        for r in come:
                            together[p, r] = together.get((p, r), 0.0) + share
    kept = [(p, r, min(1.0, FACTOR * n / (alone[p] + 2))) for (p, r), n in together.items()
            if n >= LEAST and n / (alone[p] + 2) > SHARE]  # fmt: skip
    columns = tuple(zip(*kept, strict=True)) if kept else ((), (), ())
    return sparse.csr_matrix((np.array(columns[2], np.float32), (columns[0], columns[1])), shape=(size, size))


def _trigrams(text: str) -> frozenset[str]:
    padded = f"  {text[:300]} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def _dice(a: frozenset[str], b: frozenset[str]) -> float:
    return 2 * len(a & b) / (len(a) + len(b))


def save_finder(finder: ConceptFinder, folder: Path) -> None:
    for name in ("codes", "terms", "vocabulary"):
        (folder / f"{name}.txt").write_text(_SEP.join(getattr(finder, name)), "utf-8")
    np.save(folder / "owner.npy", finder.owner)
    np.save(folder / "idf.npy", finder.idf)
    sparse.save_npz(folder / "matrix.npz", finder.matrix, compressed=False)
    sparse.save_npz(folder / "words.npz", finder.words, compressed=False)


def load_finder(folder: Path, tokens: Tokens) -> ConceptFinder:
    """Raises OSError or ValueError when something is missing or damaged."""
    codes, terms, vocabulary = (
        (folder / f"{name}.txt").read_text("utf-8").split(_SEP) for name in ("codes", "terms", "vocabulary")
    )
    return ConceptFinder(
        codes, terms, np.load(folder / "owner.npy"), vocabulary, np.load(folder / "idf.npy"),
        sparse.load_npz(folder / "matrix.npz"), sparse.load_npz(folder / "words.npz"), tokens,
        {t: i for i, t in enumerate(vocabulary)},
    )  # fmt: skip

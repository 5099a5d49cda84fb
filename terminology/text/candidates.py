"""Candidate retrieval: which terms share canonical tokens with the query, scored in whole arrays.

For K touched terms and n query tokens a bit mask (K,) tells which tokens each term has; from it follow, vectorised,
coverage of the query, unasked rest of the term, contradictions (vetoed) and unasked qualifiers (paid for).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from terminology.text.index import Floats, Ints, PhraseIndex
from terminology.text.qualifiers import Qualifiers
from terminology.text.rank import Weights

MAX_TOKENS = 30
_MAX_TOUCHED = 4_000
_UNKNOWN_WEIGHT = 0.7  # a word no term has: it counts as not covered
_MINOR_WEIGHT = 0.25  # numbers that no term has


@dataclass(frozen=True, slots=True)
class Query:
    """Canonical tokens resolved against the vocabulary. `ids` (n,), `total` = sum of weights with unknown words."""

    tokens: tuple[str, ...]
    ids: Ints
    total: float
    flags: int
    attributes: int
    unknown: tuple[str, ...]


@dataclass(slots=True)
class Scored:
    """Touched terms with their scores, best first. `mask` (T,) keeps which query tokens every term has."""

    terms: Ints
    scores: Floats
    covered: Floats
    mask: npt.NDArray[np.uint32]


def resolve(tokens: Sequence[str], index: PhraseIndex, qualifiers: Qualifiers) -> Query:
    known = [t for t in tokens[:MAX_TOKENS] if t in index.vocabulary]
    unknown = tuple(t for t in tokens[:MAX_TOKENS] if t not in index.vocabulary)
    ids = np.array([index.vocabulary[t] for t in known], np.int32)
    missing = sum(_MINOR_WEIGHT if t[0].isdigit() or t[0] == "~" else _UNKNOWN_WEIGHT for t in unknown)
    total = float(index.weight[ids].sum()) + missing
    return Query(
        tuple(known), ids, total, qualifiers.query_flags(tokens), qualifiers.attributes(tokens), unknown
    )


def retrieve(query: Query, index: PhraseIndex, qualifiers: Qualifiers, weights: Weights, top: int) -> Scored:
    """The best `top` terms. Empty arrays when no token is known."""
    mask = np.zeros(len(index.term_code), np.uint32)
    ids = sorted(
        range(len(query.ids)), key=lambda i: int(index.indptr[query.ids[i] + 1] - index.indptr[query.ids[i]])
    )
    for bit in ids:
        mask[index.postings_of(int(query.ids[bit]))] |= np.uint32(1 << bit)
    touched = np.flatnonzero(mask).astype(np.int32)
    if len(touched) > _MAX_TOUCHED:
        touched = _strongest(touched, mask, query, index)
    scores, covered = score(touched, mask, query, index, qualifiers, weights)
    if len(touched) > top:
        keep = np.argpartition(-scores, top)[:top]
        touched, scores, covered = touched[keep], scores[keep], covered[keep]
    order = np.lexsort((touched, -scores))
    return Scored(touched[order], scores[order], covered[order], mask)


def _strongest(touched: Ints, mask: npt.NDArray[np.uint32], query: Query, index: PhraseIndex) -> Ints:
    matched = _sums(mask[touched], index.weight[query.ids])
    keep = np.argpartition(-(matched - 0.2 * index.term_cost[touched]), _MAX_TOUCHED)[:_MAX_TOUCHED]
    return np.sort(touched[keep])


def _sums(bits: npt.NDArray[np.uint32], values: Floats) -> Floats:
    """For each mask the sum of the values whose bit is set. (K,) from (K,) and (n,)."""
    total = np.zeros(len(bits), np.float32)
    for position, value in enumerate(values.tolist()):
        total += value * ((bits >> np.uint32(position)) & np.uint32(1))
    return total


def score(
    terms: Ints,
    mask: npt.NDArray[np.uint32],
    query: Query,
    index: PhraseIndex,
    qualifiers: Qualifiers,
    weights: Weights,
) -> tuple[Floats, Floats]:
    """(scores, coverage) of `terms`, each (K,). A contradicted term scores below zero."""
    bits = mask[terms]
    matched = _sums(bits, index.weight[query.ids])
    paid = _sums(bits, index.cost[query.ids])
    covered = matched / max(query.total, 1e-6)
    extra = np.maximum(index.term_cost[terms] - paid, 0.0)
    scores = (
        covered
        - weights.extra * extra / (extra + matched + weights.extra_scale)
        - qualifiers.unasked(index.term_flags[terms], query.flags)
        + weights.source[index.term_source[terms]]
    )
    scores -= 2.0 * qualifiers.contradicted(index.term_attrs[terms], query.attributes)
    return scores.astype(np.float32), covered.astype(np.float32)

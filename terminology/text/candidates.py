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
_MAX_TOUCHED = 20_000
_SAYS_ENOUGH = 0.6  # weight of the other tokens when those that thousands of terms have are not looked up
_TABLE_BITS = 9  # up to this many tokens all sums are made at once
_UNKNOWN_WEIGHT = 0.7  # a word no term has: it counts as not covered
VOLUNTEERED = 0.02  # a term that says acute, left or stage 3 where nobody asked
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
    weights: Floats  # (n,) what each token says
    costs: Floats  # (n,) what each token saves when it was asked


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
        tuple(known), ids, total, qualifiers.query_flags(tokens), qualifiers.attributes(tokens), unknown,
        index.weight[ids], index.cost[ids],
    )  # fmt: skip


def retrieve(query: Query, index: PhraseIndex, qualifiers: Qualifiers, weights: Weights, top: int) -> Scored:
    """The best `top` terms. Empty arrays when no token is known."""
    mask = np.zeros(len(index.term_code), np.uint32)
    parts: list[Ints] = []
    unread = frequent(query, index)
    for bit, token in enumerate(query.ids.tolist()):
        postings = index.postings_of(token)
        known = mask[postings]
        if not unread >> bit & 1:
            parts.append(postings[known & ~np.uint32(unread) == 0])
        mask[postings] = known | np.uint32(1 << bit)
    touched = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    if len(touched) > _MAX_TOUCHED:
        touched = _strongest(touched, mask, query, index)
    scores, covered = score(touched, mask, query, index, qualifiers, weights)
    if len(touched) > top:
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        keep = np.flatnonzero(scores >= least)  # of equals the smaller term stands first, so all are sorted
        touched, scores, covered = touched[keep], scores[keep], covered[keep]
    order = np.lexsort((touched, -scores))[:top]
    return Scored(touched[order], scores[order], covered[order], mask)


def frequent(query: Query, index: PhraseIndex) -> int:
    """Bits of the tokens that thousands of terms have: terms that share nothing else with the query are not looked at.
    None when no other token says enough."""
    bits, said = 0, 0.0
    for place, (token, weight) in enumerate(zip(query.ids.tolist(), query.weights.tolist(), strict=True)):
        if token in index.frequent:
            bits |= 1 << place
        else:
            said += weight
    return bits if said >= _SAYS_ENOUGH else 0


def _strongest(touched: Ints, mask: npt.NDArray[np.uint32], query: Query, index: PhraseIndex) -> Ints:
    matched = sums(mask[touched], query.weights)
    keep = np.argpartition(-(matched - 0.2 * index.term_cost[touched]), _MAX_TOUCHED)[:_MAX_TOUCHED]
    return np.sort(touched[keep])


def sums(bits: npt.NDArray[np.uint32], values: Floats) -> npt.NDArray[np.float64]:
    """For each mask the sum of the values whose bit is set, in double precision as the compiled loops add them.
    (K,) from (K,) and (n,)."""
    if len(values) <= _TABLE_BITS:
        table = np.zeros(1)
        for value in values.tolist():
            table = np.concatenate((table, table + value))
        return table[bits]
    total = np.zeros(len(bits))
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
    matched = sums(bits, query.weights)
    paid = sums(bits, query.costs)
    covered = matched / max(query.total, 1e-6)
    extra = np.maximum(index.term_cost[terms].astype(np.float64) - paid, 0.0)
    scores = (
        covered
        - weights.extra * extra / (extra + matched + weights.extra_scale)
        - qualifiers.unasked(index.term_flags[terms], query.flags)
        + weights.source[index.term_source[terms]]
    )
    attributes = index.term_attrs[terms]
    scores -= 2.0 * qualifiers.contradicted(attributes, query.attributes)
    scores -= VOLUNTEERED * qualifiers.volunteered(attributes, query.attributes)
    return scores.astype(np.float32), covered.astype(np.float32)

"""Retrieval and the choice among children as machine code (numba), for many texts at once.

The same sums as `candidates.retrieve` and `rules.child_scores`, term by term instead of array by array: a batch asks
thousands of queries, and then the cost of starting numpy operations is most of the time. Loaded for batches only, since
numba takes longer to load than a few texts take to code. Machines without numba go on with numpy.

T terms, V tokens, n tokens of the query. A Kernel keeps one mask over all terms and is not for use by two threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from terminology.text.candidates import VOLUNTEERED, Query, Scored
from terminology.text.index import Ints, PhraseIndex
from terminology.text.qualifiers import HALF, Qualifiers

if TYPE_CHECKING:
    from terminology.text.rank import Weights

_FREQUENT = 3_000  # terms of a token whose postings are worth not reading
_SAYS_ENOUGH = 0.6  # weight of the other tokens that are then read
SWITCH = "NUMBA_DISABLE_JIT"  # numba's own


@cache
def compiled() -> tuple[Callable[..., int], Callable[..., int]] | None:
    """(sweep, children) as machine code; None without numba or with NUMBA_DISABLE_JIT=1."""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return None
    try:
        from numba import njit, types
    except ImportError:
        return None

    def read(kind: Any) -> Any:
        return types.Array(kind, 1, "A", readonly=True)

    def write(kind: Any) -> Any:
        return types.Array(kind, 1, "C")

    i4, u4, f4, i8, f8 = types.int32, types.uint32, types.float32, types.int64, types.float64
    query = (read(i4), read(f4), read(f4), f8, i8, i8, read(i8))
    terms = (read(f4), read(u4), read(u4), read(f4), read(f4), read(f4))
    i1 = types.int8
    found = (write(u4), write(i4), i8, write(i4), write(f4), write(f4))
    sweep_types = types.int64(
        *query, read(i4), read(i4), *terms, f8, f8, f8, *found, read(i4), read(i4), write(i1), i8, f8
    )
    prices = (read(f4), read(f4), read(types.boolean), f8, f8, f8)
    children_types = types.int64(
        *(
            read(i4),
            i8,
            i8,
            *query[:2],
            *query[3:],
            read(i4),
            read(i4),
            read(f4),
            read(u4),
            read(u4),
            *prices,
        ),
        *(write(u4), write(i4), i8, write(f4), write(i4), i8, write(i1)),
    )
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        made = [
            njit(t, cache=True, **options)(f) for t, f in ((sweep_types, sweep), (children_types, children))
        ]
    except RuntimeError:  # no folder can be written: compiled anew in each process
        made = [njit(t, **options)(f) for t, f in ((sweep_types, sweep), (children_types, children))]
    return made[0], made[1]


class Kernel:
    """One index with its buffers. `mask` (T,) tells which tokens of the query at hand every term has."""

    def __init__(self, index: PhraseIndex, qualifiers: Qualifiers, weights: Weights, vague: Any) -> None:
        made = compiled()
        if made is None:
            raise ImportError("numba is not there, or switched off")
        self._sweep, self._children = made
        self._index, self._weights = index, weights
        self._bonus = np.ascontiguousarray(weights.source[index.term_source], np.float32)
        self._best_bonus = float(self._bonus.max(initial=0.0))
        self._low, self._high = qualifiers.prices
        self._groups = np.array(qualifiers.groups, np.int64)
        self._vague = vague
        self._mask = np.zeros(len(index.term_code), np.uint32)
        self._touched = np.zeros(len(index.term_code), np.int32)
        self._count = 0
        self._stamp = np.zeros(len(index.vocabulary), np.int32)
        self._serial = 0
        self._place = np.full(len(index.vocabulary), -1, np.int8)  # position of a token in the query, or -1
        self._last = np.zeros(0, np.int32)
        self._many = frozenset(np.flatnonzero(np.diff(index.indptr) > _FREQUENT).tolist())

    def retrieve(self, query: Query, top: int) -> Scored:
        """As candidates.retrieve; the mask is overwritten by the next call."""
        index, weights = self._index, self._weights
        self._mask[self._touched[: self._count]] = 0
        self._place[self._last] = -1
        self._place[query.ids] = np.arange(len(query.ids), dtype=np.int8)
        self._last = query.ids
        terms, scores = np.empty(top, np.int32), np.empty(top, np.float32)
        covered = np.empty(top, np.float32)
        found = self._sweep(
            query.ids, query.weights, query.costs, query.total, query.flags, query.attributes, self._groups,
            index.indptr, index.postings, index.term_cost, index.term_flags, index.term_attrs, self._bonus,
            self._low, self._high, weights.extra, weights.extra_scale, VOLUNTEERED,
            self._mask, self._touched, top, terms, scores, covered, index.forward_indptr, index.forward,
            self._place, self._frequent(query), self._best_bonus,
        )  # fmt: skip
        self._count, kept = found >> 8, found & 255
        return Scored(terms[:kept], scores[:kept], covered[:kept], self._mask)

    def _frequent(self, query: Query) -> int:
        """Bits of tokens so frequent that their postings are not read: what they add is looked up in the terms that the
        other tokens found. None when no other token says enough."""
        bits, said = 0, 0.0
        for place, (token, weight) in enumerate(zip(query.ids.tolist(), query.weights.tolist(), strict=True)):
            if token in self._many:
                bits |= 1 << place
            else:
                said += weight
        return bits if said >= _SAYS_ENOUGH else 0

    def child_scores(
        self, titles: Ints, own_title: int, term: int, query: Query, vague: float, volunteered: float
    ) -> npt.NDArray[np.float32]:
        """As rules.child_scores for the query of the last `retrieve`."""
        index = self._index
        self._serial += 1
        value = np.empty(len(titles), np.float32)
        self._count = self._children(
            titles, own_title, term, query.ids, query.weights, query.total, query.flags,
            query.attributes, self._groups, index.forward_indptr, index.forward, index.cost, index.term_flags,
            index.term_attrs, self._low, self._high, self._vague, self._weights.extra, vague, volunteered,
            self._mask, self._stamp, self._serial, value, self._touched, self._count, self._place,
        )  # fmt: skip
        return value


def sweep(
    ids: Any, token_weight: Any, token_cost: Any, total: float, flags: int, attributes: int, groups: Any,
    indptr: Any, postings: Any, term_cost: Any, term_flags: Any, term_attrs: Any, bonus: Any, low: Any, high: Any,
    extra_price: float, extra_scale: float, volunteered: float, mask: Any, touched: Any, top: int,
    terms: Any, scores: Any, covered: Any, forward_indptr: Any, forward: Any, place_of: Any, frequent: int,
    best_bonus: float,
) -> int:  # fmt: skip
    """Fill the best `top` terms, best first (ties: the smaller term). Returns touched * 256 + kept."""
    count = 0
    unread = 0.0
    for position in range(len(ids)):
        bit = np.uint32(1) << np.uint32(position)
        if frequent >> position & 1:
            unread += token_weight[position]
            continue
        for place in range(indptr[ids[position]], indptr[ids[position] + 1]):
            term = postings[place]
            if mask[term] == 0:
                touched[count] = term
                count += 1
            mask[term] |= bit
    kept = 0
    half_mask = (1 << HALF) - 1
    whole = max(total, 1e-6)
    for number in range(count):
        term = touched[number]
        bits = mask[term]
        matched = 0.0
        paid = 0.0
        for position in range(len(ids)):
            if bits >> np.uint32(position) & np.uint32(1):
                matched += token_weight[position]
                paid += token_cost[position]
        worst = scores[kept - 1] if kept == top else -10.0
        if (matched + unread) / whole + best_bonus < worst:  # nothing below adds to it
            continue
        if frequent:
            for place in range(forward_indptr[term], forward_indptr[term + 1]):
                position = place_of[forward[place]]
                if position >= 0 and not bits >> np.uint32(position) & np.uint32(1):
                    bits |= np.uint32(1) << np.uint32(position)
                    matched += token_weight[position]
                    paid += token_cost[position]
            mask[term] = bits
        share = matched / whole
        extra = max(term_cost[term] - paid, 0.0)
        left = np.int64(term_flags[term]) & ~flags & 0x7FFFFFFF
        value = (
            share - extra_price * extra / (extra + matched + extra_scale)
            - low[left & half_mask] - high[left >> HALF] + bonus[term]
        )  # fmt: skip
        have = np.int64(term_attrs[term])
        if have & ~attributes & 0x7FFFFFFF:
            value -= volunteered
        for group in range(len(groups)):
            wanted = attributes & groups[group]
            own = have & groups[group]
            if wanted and own and not own & wanted:
                value -= 2.0
                break
        exact = np.float32(value)
        if kept == top and not (exact > worst or (exact == worst and term < terms[kept - 1])):
            continue
        place = kept if kept < top else top - 1
        while place > 0 and (
            scores[place - 1] < exact or (scores[place - 1] == exact and terms[place - 1] > term)
        ):
            scores[place], terms[place], covered[place] = (
                scores[place - 1],
                terms[place - 1],
                covered[place - 1],
            )
            place -= 1
        scores[place], terms[place], covered[place] = exact, term, share
        kept = min(kept + 1, top)
    return count * 256 + kept


def children(
    titles: Any, own_title: int, term: int, ids: Any, token_weight: Any, total: float, flags: int,
    attributes: int, groups: Any, forward_indptr: Any, forward: Any, cost: Any, term_flags: Any, term_attrs: Any,
    low: Any, high: Any, vague: Any, extra_price: float, vague_bonus: float, volunteered: float,
    mask: Any, stamp: Any, serial: int, value: Any, touched: Any, count: int, place_of: Any,
) -> int:  # fmt: skip
    """What each of `titles` adds to its heading's score, into `value`. Returns how many terms are touched by now."""
    half_mask = (1 << HALF) - 1
    whole = max(total, 1e-6)
    for place in range(forward_indptr[own_title], forward_indptr[own_title + 1]):
        stamp[forward[place]] = serial
    for place in range(forward_indptr[term], forward_indptr[term + 1]):
        stamp[forward[place]] = serial
    for position in range(len(ids)):
        stamp[ids[position]] = serial
    known = np.int64(term_flags[own_title]) | np.int64(term_flags[term])
    for number in range(len(titles)):
        title = titles[number]
        bits = np.uint32(0)
        extra = 0.0
        for place in range(forward_indptr[title], forward_indptr[title + 1]):
            token = forward[place]
            position = place_of[token]
            if position >= 0:
                bits |= np.uint32(1) << np.uint32(position)
            if stamp[token] != serial:
                extra += cost[token]
        if bits and mask[title] == 0:
            touched[count] = title
            count += 1
        mask[title] = bits
        new = bits & ~mask[term]
        both = bits & mask[term]
        gained = 0.0
        kept = 0.0
        for position in range(len(ids)):
            if new >> np.uint32(position) & np.uint32(1):
                gained += token_weight[position]
            if both >> np.uint32(position) & np.uint32(1):
                kept += token_weight[position]
        left = np.int64(term_flags[title]) & ~known & ~flags & 0x7FFFFFFF
        amount = (
            gained / whole + 0.1 * kept / whole - 0.5 * extra_price * extra / (extra + 1.0)
            - low[left & half_mask] - high[left >> HALF]
        )  # fmt: skip
        have = np.int64(term_attrs[title]) & ~np.int64(term_attrs[own_title])
        for group in range(len(groups)):
            wanted = attributes & groups[group]
            own = have & groups[group]
            if wanted and own and not own & wanted:
                amount -= 2.0
                break
        if vague[title]:
            amount += vague_bonus
        if have & ~attributes & 0x7FFFFFFF:
            amount -= volunteered
        value[number] = amount
    return count

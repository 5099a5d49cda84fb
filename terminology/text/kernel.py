"""Retrieval and the choice among children as machine code (numba), for many texts at once.

The same sums as `candidates.retrieve`, `rules.child_scores` and what stands on them, term by term instead of array by
array: a batch asks thousands of queries, and then the cost of starting numpy operations is most of the time. Loaded for
batches only (machine.py), since
numba takes longer to load than a few texts take to code. Machines without numba go on with numpy.

T terms, V tokens, n tokens of the query. A Kernel keeps one mask over all terms and is not for use by two threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from terminology.text.candidates import VOLUNTEERED, Query, Scored, frequent
from terminology.text.index import SOURCES, PhraseIndex
from terminology.text.qualifiers import HALF, Qualifiers

if TYPE_CHECKING:
    from terminology.text.rank import Weights
    from terminology.text.rules import Headings

SWITCH = "NUMBA_DISABLE_JIT"  # numba's own


@cache
def compiled() -> Any:
    """The module of machine code; None without numba or with NUMBA_DISABLE_JIT=1."""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return None
    try:
        from terminology.text import machine
    except ImportError:
        return None
    return machine


class Kernel:
    """One index with its buffers. `mask` (T,) tells which tokens of the query at hand every term has."""

    def __init__(
        self,
        index: PhraseIndex,
        qualifiers: Qualifiers,
        weights: Weights,
        headings: Headings,
        limits: Sequence[float],
    ) -> None:
        self._machine = compiled()
        if self._machine is None:
            raise ImportError("numba is not there, or switched off")
        self._sweep, self.grown = self._machine.sweep, self._machine.grown
        self._index, self._weights = index, weights
        self._bonus = np.ascontiguousarray(weights.source[index.term_source], np.float32)
        self._best_bonus = float(self._bonus.max(initial=0.0))
        self._low, self._high = qualifiers.prices
        self._groups = np.array(qualifiers.groups, np.int64)
        self._vague = headings.vague()
        self._mask = np.zeros(len(index.term_code), np.uint32)
        self._touched = np.zeros(len(index.term_code), np.int32)
        self._count = 0
        self._stamp = np.zeros(len(index.vocabulary), np.int32)
        self._serial = 0
        self._place = np.full(len(index.vocabulary), -1, np.int8)  # position of a token in the query, or -1
        self._last = np.zeros(0, np.int32)
        self._imported = index.term_source == SOURCES.index("import")
        self._tables = headings.tables()
        self._value = np.empty(len(self._tables[0]), np.float32)
        self._limits = np.array(limits, np.float64)
        self._out = (np.empty(256, np.int32), np.empty(256), np.empty(256, np.int32), np.empty(256, np.int32))

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
            self._place, frequent(query, index), self._best_bonus,
        )  # fmt: skip
        self._count, kept = found >> 8, found & 255
        return Scored(terms[:kept], scores[:kept], covered[:kept], self._mask)

    def leaves(
        self, scored: Scored, query: Query, exact: int, vague: float, volunteered: float
    ) -> list[tuple[int, float, int, int]]:
        """As Ranker._leaves for the query of the last `retrieve`: (code, score, term, heading), one per code."""
        if not len(scored.terms):
            return []
        index = self._index
        kept, self._count = self._machine.leaves(
            scored.terms, scored.scores, exact, index.term_code, self._imported, index.codes.leaf, *self._tables,
            query.ids, query.weights, query.total, query.flags, query.attributes, self._groups,
            index.forward_indptr, index.forward, index.cost, index.term_flags, index.term_attrs,
            self._low, self._high, self._vague, self._weights.extra, vague, volunteered,
            self._mask, self._stamp, self._serial, self._value, self._touched, self._count, self._place,
            self._limits, *self._out,
        )  # fmt: skip
        self._serial += 3 * len(scored.terms)
        return list(zip(*(column[:kept].tolist() for column in self._out), strict=True))


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

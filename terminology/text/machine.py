"""Machine code (numba) of the loops of kernel.py, and the loop from found terms to billable leaves.

Imported by kernel.compiled() only, since importing numba takes longer than coding a few texts. `leaves` says the same
as problems.Ranker._leaves with rules.default_child and rules.better_sibling, term by term.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from terminology.text import kernel

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def _compiled(signature: Any) -> Callable[[Any], Any]:
    def made(function: Any) -> Any:
        try:
            return njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError:  # no folder can be written: compiled anew in each process
            return njit(signature, **_OPTIONS)(function)

    return made


def _read(kind: Any) -> Any:
    return types.Array(kind, 1, "A", readonly=True)


def _write(kind: Any) -> Any:
    return types.Array(kind, 1, "C")


_i4, _u4, _f4, _i8, _f8 = types.int32, types.uint32, types.float32, types.int64, types.float64
_i1, _flag = types.int8, types.boolean
_query = (_read(_i4), _read(_f4), _read(_f4), _f8, _i8, _i8, _read(_i8))
_terms = (_read(_f4), _read(_u4), _read(_u4), _read(_f4), _read(_f4), _read(_f4))
_found = (_write(_u4), _write(_i4), _i8, _write(_i4), _write(_f4), _write(_f4))
_prices = (_read(_f4), _read(_f4), _read(_flag), _f8, _f8, _f8)
_titles = (_read(_i4), _read(_i4), _read(_f4), _read(_u4), _read(_u4))
_marks = (_write(_u4), _write(_i4), _i8, _write(_f4), _write(_i4), _i8, _write(_i1))

sweep = _compiled(
    types.int64(
        *_query,
        _read(_i4),
        _read(_i4),
        *_terms,
        _f8,
        _f8,
        _f8,
        *_found,
        _read(_i4),
        _read(_i4),
        _write(_i1),
        _i8,
        _f8,
    )
)(kernel.sweep)
children = _compiled(
    types.int64(_read(_i4), _i8, _i8, *_query[:2], *_query[3:], *_titles, *_prices, *_marks)
)(kernel.children)


@_compiled(
    types.UniTuple(_i8, 2)(  # type: ignore[no-untyped-call]
        _read(_i4), _read(_f4), _i8, _read(_i4), _read(_flag), _read(_flag), _read(_i4), _read(_i4), _read(_i4),
        _read(_i4), _read(_i4), *_query[:2], *_query[3:], *_titles, *_prices, *_marks, _read(_f8),
        _write(_i4), _write(_f8), _write(_i4), _write(_i4),
    )
)  # fmt: skip
def leaves(
    terms: Any, scores: Any, exact: int, term_code: Any, imported: Any, is_leaf: Any, below: Any, first_below: Any,
    last_below: Any, better_one: Any, better_two: Any,
    ids: Any, token_weight: Any, total: float, flags: int, attributes: int, groups: Any,
    forward_indptr: Any, forward: Any, cost: Any, term_flags: Any, term_attrs: Any,
    low: Any, high: Any, vague: Any, extra_price: float, vague_bonus: float, volunteered: float,
    mask: Any, stamp: Any, serial: int, value: Any, touched: Any, count: int, place_of: Any, limits: Any,
    out_code: Any, out_score: Any, out_term: Any, out_heading: Any,
) -> tuple[int, int]:  # fmt: skip
    """Fill out_*: one leaf per code in the order found. Returns (leaves, terms touched).
    `limits`: far, worth, near, just below, child cost, knee."""
    far, worth_least, near, just_below, child_cost, knee = (
        limits[0], limits[1], limits[2], limits[3], limits[4], limits[5],
    )  # fmt: skip
    kept = 0
    seen = np.empty(len(terms), np.int32)
    seen_count = 0
    least = float(scores[0]) - far
    worth = max(worth_least, least + far - near)
    everything = (np.uint32(1) << np.uint32(len(ids))) - np.uint32(1)
    for number in range(len(terms)):
        term = terms[number]
        score = float(scores[number])
        code = term_code[term]
        if score <= 0.0 or (score < least and term != exact):
            continue
        known = False
        for place in range(seen_count):
            if seen[place] == code:
                known = True
                break
        if known:
            continue
        seen[seen_count] = code
        seen_count += 1
        score = max(score, 1.0) if term == exact and not imported[term] else min(score, just_below)
        leaf, heading = code, -1
        if not is_leaf[code]:
            first, last = first_below[code], last_below[code]
            serial += 1
            count = children(
                below[first:last], code, term, ids, token_weight, total, flags, attributes, groups, forward_indptr,
                forward, cost, term_flags, term_attrs, low, high, vague, extra_price, vague_bonus, volunteered, mask,
                stamp, serial, value, touched, count, place_of,
            )  # fmt: skip
            best = 0
            for place in range(1, last - first):
                if value[place] > value[best]:
                    best = place
            raised = score + float(value[best])
            if raised > knee:
                raised = knee + (1.0 - knee) * (1.0 - math.exp((knee - raised) / 0.1))
            leaf, heading, score = below[first + best], code, raised - child_cost
        elif score >= worth and everything & ~mask[term]:
            for which in range(2):
                upper = better_one[code] if which == 0 else better_two[code]
                if upper < 0:
                    continue
                first, last = first_below[upper], last_below[upper]
                serial += 1
                count = children(
                    below[first:last], upper, term, ids, token_weight, total, flags, attributes, groups, forward_indptr,
                    forward, cost, term_flags, term_attrs, low, high, vague, extra_price, vague_bonus, volunteered,
                    mask, stamp, serial, value, touched, count, place_of,
                )  # fmt: skip
                best = 0
                own = 0.0
                for place in range(last - first):
                    if value[place] > value[best]:
                        best = place
                    if below[first + place] == code:
                        own = float(value[place])
                title = below[first + best]
                if mask[title] & ~mask[term] and float(value[best]) > own + child_cost and title != code:
                    raised = score + float(value[best]) - own
                    if raised > knee:
                        raised = knee + (1.0 - knee) * (1.0 - math.exp((knee - raised) / 0.1))
                    leaf, heading, score = title, upper, raised - child_cost
                    break
        old = -1
        for place in range(kept):
            if out_code[place] == leaf:
                old = place
                break
        if old < 0:
            old = kept
            kept += 1
        elif out_score[old] >= score:
            continue
        out_code[old], out_score[old], out_term[old], out_heading[old] = leaf, score, term, heading
    return kept, count


@_compiled(types.float64(_read(_f8), _read(_i8), _read(_f8), _read(_f8), _i8))
def grown(facts: Any, feature: Any, threshold: Any, value: Any, depth: int) -> float:
    """Sum of the values that the trees give to `facts` (trees.py)."""
    inner = 2**depth - 1
    total = 0.0
    for tree in range(len(feature) // inner):
        node = 0
        for _ in range(depth):
            at = tree * inner + node
            node = 2 * node + 1 + (1 if facts[feature[at]] > threshold[at] else 0)
        total += value[tree * (inner + 1) + node - inner]
    return total

"""Hazard ratios that build up over time, averaged over the horizon: one number per draw, without a draw x time array.

Every row asks for

    R(d) = sum over t of w_t exp(sum over k of L_k(d) g_k(t))

L_k (D,): log ratio at full effect; g_k (T,): its growth curve; w (T,): weights that sum to 1. With one curve R depends
on the one number L, and is an entire function of it whose Taylor series about the middle c of the draws,

    R = sum over j of m_j (L - c)^j,   m_j = sum over t of w_t exp(c g_t) g_t^j / j!

ends after some ten terms: they are taken until the rest is below 1e-16 of the value. That is an order of magnitude less
work than an exponential for each draw and time, and the same to 1e-14. Two curves make a series in two numbers. Rows of
more curves, or of log ratios too far apart for the series, take the exponentials.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp
from typing import NamedTuple

import numpy as np

from fhir_twin.dynamics.fast import Places, polynomial_of_two, polynomials
from fhir_twin.model.twin import Array

REACH = 2.0  # largest |L - c| g of the series: its terms then cancel by exp(2 x 2) at most
REST = 1e-17


class Curve(NamedTuple):
    """values (T,); top: the largest of them, by size."""

    values: Array
    top: float

    @classmethod
    def of(cls, values: Array) -> Curve:
        return cls(values, float(np.abs(values).max()))


class Row(NamedTuple):
    """logs: (D,) each, curves: as many; weights (T,)."""

    logs: tuple[Array, ...]
    curves: tuple[Curve, ...]
    weights: Array


def mean_ratios(rows: Sequence[Row], draws: int) -> Array:
    """(R, D): the time average of each row."""
    single = [i for i, row in enumerate(rows) if len(row.logs) == 1]
    found = np.empty((len(rows), draws))
    near: list[int] = []
    if single:
        logs, place = _distinct([rows[i].logs[0] for i in single])
        low, high = logs.min(axis=1), logs.max(axis=1)
        top = np.array([rows[i].curves[0].top for i in single])
        reach = (high - low)[place] / 2.0 * top
        close = reach <= REACH  # NaN is not close
        near = [i for i, fits in zip(single, close, strict=True) if fits]
        if near:
            place = place[close]
            centre = (high + low)[place] / 2.0
            moments = _moments([rows[i] for i in near], centre, reach[close])
            values = polynomials(moments, logs, place, centre)
            if len(near) == len(rows):
                return values
            found[near] = values
    for i in set(range(len(rows))).difference(near):
        row = rows[i]
        double = _of_two(row) if len(row.logs) == 2 else None
        found[i] = _exponentials(row) if double is None else double
    return found


def _distinct(logs: Sequence[Array]) -> tuple[Array, Places]:
    """Each array once, stacked, and where each stands: several outcomes share one log ratio."""
    places: dict[int, int] = {}
    kept: list[Array] = []
    for each in logs:
        if id(each) not in places:
            places[id(each)] = len(kept)
            kept.append(each)
    return np.stack(kept), np.array([places[id(each)] for each in logs])


def _terms(reach: float) -> int:
    """Number of terms after which the rest of the series is negligible: reach^n / n! against exp(-reach)."""
    n, size = 1, reach
    while size > REST * exp(-reach):
        n += 1
        size *= reach / n
    return n


TERMS = np.array([_terms(i / 100.0) for i in range(int(100 * REACH) + 1)])  # by reach, in hundredths


def _moments(rows: Sequence[Row], centre: Array, reach: Array) -> Array:
    """m_j of each row, (R, terms), 0 from where its own series may end: no row depends on which others there are."""
    needed = TERMS[np.ceil(100.0 * reach).astype(np.intp)]
    terms = int(needed.max())
    moments = np.zeros((len(rows), terms))
    lengths = np.array([len(row.weights) for row in rows])
    for length in np.unique(lengths):
        here = np.flatnonzero(lengths == length).tolist()
        curves = np.stack([rows[i].curves[0].values for i in here])
        parts = np.empty((len(here), terms, length))
        np.divide(curves[:, None], np.arange(terms)[:, None], out=parts, where=np.arange(terms)[:, None] > 0)
        parts[:, 0] = np.exp(centre[here, None] * curves)
        parts[:, 0] *= [rows[i].weights for i in here]
        moments[here] = np.cumprod(parts, axis=1, out=parts).sum(axis=2)
    moments[np.arange(moments.shape[1]) >= needed[:, None]] = 0.0
    return moments


def _of_two(row: Row) -> Array | None:
    """The series of a row of two curves; None when its log ratios are too far apart."""
    (x, y), (one, two) = row.logs, row.curves
    top, bottom = np.max(row.logs, axis=1), np.min(row.logs, axis=1)
    a, b = ((top + bottom) / 2.0).tolist()
    reach = float((top - bottom) @ (one.top, two.top)) / 2.0
    if not reach <= REACH:
        return None
    terms = int(TERMS[ceil(100.0 * reach)])
    factors = np.empty((2, terms, len(row.weights)))  # g^i / i! of both curves
    factors[:, 0] = 1.0
    np.divide(np.stack([one.values, two.values])[:, None], np.arange(1, terms)[:, None], out=factors[:, 1:])
    np.cumprod(factors, axis=1, out=factors)
    moments = (factors[0] * (row.weights * np.exp(a * one.values + b * two.values))) @ factors[1].T
    return polynomial_of_two(np.ascontiguousarray(moments), x - a, y - b)


def _exponentials(row: Row) -> Array:
    log = row.logs[0][:, None] * row.curves[0].values
    for each, curve in zip(row.logs[1:], row.curves[1:], strict=True):
        log += each[:, None] * curve.values
    return np.asarray(np.exp(log, out=log) @ row.weights)

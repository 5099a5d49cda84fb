"""The filter's inner loop as machine code (numba), for many people at once: the same sums as `block.Block`.

LANES people go through all their visits together, so that their covariances stay in the processor's cache. Used by
`kalman_filter` for large batches without bounds and trace; everything else, and machines without numba, take numpy. As
in `Block`, D = P - C is kept instead of P; only its lower triangle.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

LANES = 128
LOG_TWO_PI = math.log(2.0 * math.pi)
SWITCH = "NUMBA_DISABLE_JIT"


@cache
def compiled() -> Callable[..., None] | None:
    """`sweep` as machine code; None without numba or with numba's own NUMBA_DISABLE_JIT=1.

    The first call on a machine takes some seconds, later ones read what it left on disk."""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return None
    try:
        from numba import njit, types
    except ImportError:
        return None

    def read(dimensions: int, kind: Any = types.float64) -> Any:
        return types.Array(kind, dimensions, "A", readonly=True)

    def write(dimensions: int, kind: Any = types.float64) -> Any:
        return types.Array(kind, dimensions, "C")

    signature = types.void(
        *(write(2), write(3), read(3), read(1, types.int64), read(2), read(1), read(2)),
        *(read(1, types.int64), read(1, types.int64), read(1), read(1, types.int64), read(3)),
        *(read(3), read(3), write(2, types.int64), write(2, types.int64)),
        *(types.boolean, types.float64, types.float64, types.float64, write(1), write(2)),
    )
    options: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy", "nogil": True}
    try:
        return njit(signature, cache=True, **options)(sweep)
    except RuntimeError:  # no folder can be written: compiled anew in each process
        return njit(signature, **options)(sweep)


def sweep(
    mean: Any,
    excess: Any,
    decay: Any,
    which: Any,
    years: Any,
    walk: Any,
    load_c: Any,
    first: Any,
    column: Any,
    weight: Any,
    varying: Any,
    loads: Any,
    values: Any,
    noise: Any,
    seen: Any,
    doubt: Any,
    robust: bool,
    gate: float,
    nu: float,
    cap: float,
    log_likelihood: Any,
    squares: Any,
) -> None:
    """In place, people first: P people, V visits, k biomarkers, m states.

    mean (P, m), excess (P, m, m): before, then after all visits. decay (u, P, V): exp(-rate years) of each distinct
    rate; which (m,): its place, -1 for a constant state; years (P, V); walk (m,). load_c (k, m): design x C.
    Terms of biomarker r stand at first[r]..first[r + 1]: column, weight, or place `varying` (-1: none) in
    loads (n, P, V). values (P, V, k), NaN = not observed; noise (P, V, k). seen, doubt, squares (P, k),
    log_likelihood (P,): as in `Belief` and `Filtered`."""
    people, m = mean.shape
    visits, rows = values.shape[1], values.shape[2]
    mu, d = np.zeros((m, LANES)), np.zeros((m, m, LANES))
    f, ph, pull = np.ones((m, LANES)), np.empty((m, LANES)), np.empty(LANES)
    innovation, spread, inverse = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    total, product, count = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for start in range(0, people, LANES):
        width = min(LANES, people - start)
        for lane in range(width):
            for i in range(m):
                mu[i, lane] = mean[start + lane, i]
                for j in range(i + 1):
                    d[i, j, lane] = excess[start + lane, i, j]
        total[:] = 0.0
        for v in range(visits):
            for i in range(m):
                fi, mi = f[i], mu[i]
                if which[i] >= 0:
                    for lane in range(width):
                        fi[lane] = decay[which[i], start + lane, v]
                    for lane in range(LANES):
                        mi[lane] *= fi[lane]
                else:
                    fi[:] = 1.0
            for i in range(m):
                fi = f[i]
                for j in range(i + 1):
                    if which[i] >= 0 or which[j] >= 0:
                        fj, dij = f[j], d[i, j]
                        for lane in range(LANES):
                            dij[lane] *= fi[lane] * fj[lane]
                if walk[i] > 0.0:
                    for lane in range(width):
                        d[i, i, lane] += walk[i] * years[start + lane, v]
            product[:] = 1.0
            count[:] = 0.0
            for r in range(rows):
                innovation[:] = np.nan
                there = False
                for lane in range(width):
                    innovation[lane] = values[start + lane, v, r]
                    spread[lane] = noise[start + lane, v, r]
                    there |= innovation[lane] == innovation[lane]
                if not there:
                    continue
                for i in range(m):
                    ph[i, :] = load_c[r, i]
                for t in range(first[r], first[r + 1]):
                    c = column[t]
                    pull[:] = weight[t]
                    if varying[t] >= 0:
                        for lane in range(width):
                            pull[lane] = loads[varying[t], start + lane, v]
                    for i in range(m):
                        pi, dij = ph[i], (d[i, c] if i > c else d[c, i])
                        for lane in range(LANES):
                            pi[lane] += pull[lane] * dij[lane]
                for t in range(first[r], first[r + 1]):
                    mi, pi = mu[column[t]], ph[column[t]]
                    pull[:] = weight[t]
                    if varying[t] >= 0:
                        for lane in range(width):
                            pull[lane] = loads[varying[t], start + lane, v]
                    for lane in range(LANES):
                        innovation[lane] -= pull[lane] * mi[lane]
                        spread[lane] += pull[lane] * pi[lane]
                level = column[first[r]] if first[r] < first[r + 1] else 0
                for lane in range(LANES):
                    z = innovation[lane]
                    if z != z:
                        innovation[lane] = 0.0
                        spread[lane] = 1.0
                        inverse[lane] = 0.0
                        continue
                    person = start + lane
                    squared = z * z / spread[lane]
                    known = seen[person, r] > 0
                    if known:
                        squares[person, r] += min(squared, cap)
                    if robust:
                        side = 0
                        if squared > gate * gate and known:
                            side = 1 if z > 0.0 else -1
                        if side != 0 and side == doubt[person, r]:
                            d[level, level, lane] += z * z
                            ph[level, lane] += z * z
                            spread[lane] += z * z
                            side = 0
                        elif side != 0:
                            raw = noise[person, v, r]
                            spread[lane] += raw * ((nu + squared) / (nu + 1.0) - 1.0)
                        doubt[person, r] = side
                    seen[person, r] += 1
                    inverse[lane] = 1.0 / spread[lane]
                    total[lane] += z * z * inverse[lane]
                    count[lane] += 1.0
                    product[lane] *= spread[lane]
                for i in range(m):
                    fi, pi, mi = f[i], ph[i], mu[i]
                    for lane in range(LANES):
                        fi[lane] = pi[lane] * inverse[lane]  # f holds the gain until the next visit
                        mi[lane] += fi[lane] * innovation[lane]
                    for j in range(i + 1):
                        dij, pj = d[i, j], ph[j]
                        for lane in range(LANES):
                            dij[lane] -= fi[lane] * pj[lane]
            for lane in range(LANES):
                total[lane] += math.log(product[lane]) + LOG_TWO_PI * count[lane]
        for lane in range(width):
            log_likelihood[start + lane] = -0.5 * total[lane]
            for i in range(m):
                mean[start + lane, i] = mu[i, lane]
                for j in range(i + 1):
                    excess[start + lane, i, j] = d[i, j, lane]
                    excess[start + lane, j, i] = d[i, j, lane]

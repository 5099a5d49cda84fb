"""The loops that `fast` turns into machine code: plain Python over arrays, no allocation of results, nothing hidden.

Each stands beside the short form of its arguments: f, i, b = number, integer, truth; a digit = array of so many
dimensions; r = read only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def horner(coefficients: Any, x: Any, place: Any, centre: Any, out: Any) -> None:
    """`polynomials` into `out`."""
    rows, terms = coefficients.shape
    for r in range(rows):
        total, moved = out[r], x[place[r]]
        middle, last = centre[r], coefficients[r, terms - 1]
        for d in range(total.shape[0]):
            total[d] = last
        for j in range(terms - 2, -1, -1):
            c = coefficients[r, j]
            for d in range(total.shape[0]):
                total[d] = total[d] * (moved[d] - middle) + c


def horner_of_two(coefficients: Any, x: Any, y: Any, total: Any) -> None:
    """`polynomial_of_two` into `total`."""
    n = coefficients.shape[0]
    inner = np.empty_like(total)
    for d in range(total.shape[0]):
        total[d] = coefficients[n - 1, 0]
    for i in range(n - 2, -1, -1):
        last = coefficients[i, n - 1 - i]
        for d in range(total.shape[0]):
            inner[d] = last
        for j in range(n - 2 - i, -1, -1):
            c = coefficients[i, j]
            for d in range(total.shape[0]):
                inner[d] = inner[d] * y[d] + c
        for d in range(total.shape[0]):
            total[d] = total[d] * x[d] + inner[d]


def filter_few(
    mean: Any,
    excess: Any,
    stop: Any,
    decay: Any,
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
    observed: Any,
    seen: Any,
    doubt: Any,
    robust: Any,
    gate: Any,
    nu: Any,
    cap: Any,
    own: Any,
    squares: Any,
    spreads: Any,
    noted: Any,
) -> None:
    """The visits of `block.Block` one person after the other: the same operations in the same order.

    Arrays as in `Block`, people last. stop (m,): end of the strip that a state stands in; decay (V, m, P); years
    (V, P). Terms of biomarker r stand at first[r]..first[r + 1]: column, weight, or place `varying` (-1: none) in
    loads (n, V, P). noted (6, V, k, P): forecast, signal, raw spread, weight, jump, innovation."""
    m, people = mean.shape
    visits, rows = values.shape[0], values.shape[1]
    ph, gain = np.empty(m), np.empty(m)
    for p in range(people):
        for v in range(visits):
            for i in range(m):
                mean[i, p] *= decay[v, i, p]
                for j in range(stop[i]):
                    excess[i, j, p] = excess[i, j, p] * decay[v, i, p] * decay[v, j, p]
            for i in range(m):
                if walk[i] > 0.0:
                    excess[i, i, p] += walk[i] * years[v, p]
            for r in range(rows):
                there = False
                for q in range(people):
                    there |= observed[v, r, q]
                if not there:
                    continue
                for i in range(m):
                    ph[i] = load_c[r, i]
                for t in range(first[r], first[r + 1]):
                    c = column[t]
                    x = weight[t] if varying[t] < 0 else loads[varying[t], v, p]
                    for i in range(stop[c]):
                        ph[i] += excess[c, i, p] * x
                    for i in range(stop[c], m):
                        ph[i] += excess[i, c, p] * x
                forecast = signal = 0.0
                for t in range(first[r], first[r + 1]):
                    c = column[t]
                    x = weight[t] if varying[t] < 0 else loads[varying[t], v, p]
                    forecast += mean[c, p] * x
                    signal += ph[c] * x
                z = values[v, r, p] - forecast
                raw = signal + noise[v, r, p]
                squared = z * z / raw
                here, known = observed[v, r, p], seen[r, p] > 0
                if here and known:
                    own[r, p] += min(squared, cap)
                scale, jump = 1.0, 0.0
                if robust:
                    far = squared > gate * gate and known
                    side = 0
                    if far:
                        side = 1 if z > 0.0 else -1
                    confirmed = far and side == doubt[r, p]
                    if confirmed:
                        doubt[r, p] = 0
                        jump = z * z
                        level = column[first[r]]
                        excess[level, level, p] += jump
                        ph[level] += jump
                        signal += jump
                    else:
                        if here:
                            doubt[r, p] = side
                        if far:
                            scale = (nu + 1.0) / (nu + squared)
                spread = signal + noise[v, r, p] / scale
                inverse = 1.0 / spread
                squares[v, r, p] = z * inverse * z
                spreads[v, r, p] = spread
                noted[0, v, r, p] = forecast
                noted[1, v, r, p] = signal
                noted[2, v, r, p] = raw
                noted[3, v, r, p] = scale
                noted[4, v, r, p] = jump
                noted[5, v, r, p] = z
                if here:
                    seen[r, p] += 1
                for i in range(m):
                    gain[i] = ph[i] * inverse
                    mean[i, p] += gain[i] * z
                for i in range(m):
                    for j in range(stop[i]):
                        excess[i, j, p] -= gain[i] * ph[j]


KERNELS: dict[Callable[..., None], str] = {
    horner: "f2r f2r i1r f1r f2",
    horner_of_two: "f2r f1r f1r f1",
    filter_few: "f2 f3 i1r f3r f2r f1r f2r i1r i1r f1r i1r f3r f3r f3r b3r i2 i2 b f f f f2 f3 f3 f4",
}

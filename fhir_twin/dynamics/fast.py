"""Small loops as machine code (numba) where a process has asked for them, and the same in numpy where not.

Loading numba takes seconds, so a command that looks at one patient does without; a service and a population run call
`load` once, before the first patient. The answers are the same bit for bit: the same operations in the same order,
none contracted or reordered, so nobody can tell from a result which way it was made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhir_twin.dynamics import kernels
from fhir_twin.model.twin import Array

Places = NDArray[np.int64]
SWITCH = "NUMBA_DISABLE_JIT"
_loaded: dict[str, Callable[..., None]] = {}


def load() -> bool:
    """Take machine code from now on in this process; False (and numpy as before) without numba or with numba's own
    NUMBA_DISABLE_JIT=1. The first call on a machine compiles for some seconds, later ones read what it left on disk."""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return False
    try:
        from numba import njit, types
    except ImportError:
        return False
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}  # no fastmath: bit for bit
    for function, kinds in kernels.KERNELS.items():
        signature = types.void(*(_type(types, kind) for kind in kinds.split()))
        try:
            made = njit(signature, cache=True, **options)(function)
        except RuntimeError:  # no folder can be written: compiled anew in each process
            made = njit(signature, **options)(function)
        _loaded[function.__name__] = made
    return True


def loaded(function: Callable[..., None]) -> Callable[..., None] | None:
    """The machine code of a kernel, None when this process does without."""
    return _loaded.get(function.__name__)


def _type(types: Any, kind: str) -> Any:
    """A numba type from its short form (see `kernels`)."""
    scalar = {"f": types.float64, "i": types.int64, "b": types.boolean}[kind[0]]
    if len(kind) == 1:
        return scalar
    return types.Array(scalar, int(kind[1]), "C", readonly=kind.endswith("r"))


def polynomials(coefficients: Array, x: Array, place: Places, centre: Array) -> Array:
    """sum over j of coefficients[r, j] (x[place[r], d] - centre[r])^j, (R, D), by Horner's rule.

    coefficients (R, n); x (U, D); place, centre (R,)."""
    out = np.empty((len(place), x.shape[1]))
    fast = loaded(kernels.horner)
    if fast is not None:
        fast(coefficients, x, place, centre, out)
        return out
    for r, at in enumerate(place):
        total, moved = out[r], x[at] - centre[r]
        total[:] = coefficients[r, -1]
        for c in coefficients[r, -2::-1]:
            total *= moved
            total += c
    return out


def polynomial_of_two(coefficients: Array, x: Array, y: Array) -> Array:
    """sum over i + j < n of coefficients[i, j] x[d]^i y[d]^j, (D,), by Horner's rule in x, and within in y.

    coefficients (n, n); x, y (D,)."""
    total = np.empty_like(x)
    fast = loaded(kernels.horner_of_two)
    if fast is not None:
        fast(coefficients, x, y, total)
        return total
    n = len(coefficients)
    inner = np.zeros((n, len(x)))  # the polynomials in y of all powers of x, side by side
    for j in range(n - 1, -1, -1):
        inner[: n - j] *= y
        inner[: n - j] += coefficients[: n - j, j, None]
    total[:] = inner[n - 1]
    for i in range(n - 2, -1, -1):
        total *= x
        total += inner[i]
    return total

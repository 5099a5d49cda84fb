"""Means and intervals of many rows of draws, worked out together: rows are added, then settled, then read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fhir_twin.model.twin import Array

ENDS = (0.1, 0.9)


class Ledger:
    """Rows of draws (D,), all of one length."""

    def __init__(self) -> None:
        self._rows: list[Array] = []
        self._numbers: list[tuple[float, float, float]] = []
        self._below: list[float] = []

    def add(self, row: Array) -> int:
        """The place under which its numbers can be read after `settle`."""
        self._rows.append(row)
        return len(self._rows) - 1

    def settle(self) -> None:
        if not self._rows:
            return
        rows = np.stack(self._rows)
        means = rows.mean(axis=1)
        rows.sort(axis=1)
        low, high = _ends(rows)
        self._below = ((rows < 0.0).sum(axis=1) / rows.shape[1]).tolist()
        self._numbers = list(zip(means.tolist(), low.tolist(), high.tolist(), strict=True))

    def numbers(self, place: int) -> tuple[float, float, float]:
        """(mean, low, high): the 80 % interval."""
        return self._numbers[place]

    def below_zero(self, place: int) -> float:
        """Share of the draws below zero."""
        return self._below[place]


def _ends(ordered: Array) -> tuple[Array, Array]:
    """Ends of the 80 % interval of sorted rows (linear interpolation, as np.quantile does)."""
    last = ordered.shape[-1] - 1
    ends = []
    for share in ENDS:
        below = int(share * last)
        part = share * last - below
        ends.append(ordered[..., below] * (1.0 - part) + ordered[..., min(below + 1, last)] * part)
    return ends[0], ends[1]


def moments(rows: Sequence[Array]) -> tuple[list[float], list[float]]:
    """Mean and variance of each row."""
    together = np.stack(rows)
    return together.mean(axis=1).tolist(), together.var(axis=1).tolist()

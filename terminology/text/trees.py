"""A sum of small decision trees as flat arrays: the calibration from evidence to probability, without scikit-learn.

Every tree has the same depth and stands in heap order: node n has the children 2n + 1 (value <= threshold) and 2n + 2.
The trees are monotone where that is certain (a higher score or margin never lowers the probability); they are fitted by
benchmarks/coder/calibrate.py and read from mappings/lexicon/confidence.toml.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from terminology.text.evidence import NAMES

_FIRM = 0.9  # what is called 0.9 or more has to hold
_LIMIT = 30.0
DIGITS = 5  # of facts; beyond them the ways to add numbers differ


class Trees:
    """Raises ValueError when the arrays do not fit each other or the evidence."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        names = table["names"].split()
        if names != list(NAMES):
            raise ValueError("confidence.toml was fitted to other evidence")
        self.depth = int(table["depth"])
        inner = 2**self.depth - 1
        self.feature = np.array(table["feature"].split(), np.int64)
        self.threshold = np.array(table["threshold"].split(), np.float64)
        self.value = np.array(table["value"].split(), np.float64)
        count = len(self.feature) // inner
        if not len(self.feature) == len(self.threshold) == count * inner or len(self.value) != count * (
            inner + 1
        ):
            raise ValueError("confidence.toml: arrays of different lengths")
        self.base = float(table["base"])
        self.soft, self.hard = float(table["soft"]), float(table["hard"])
        self._machine: Callable[..., float] | None = None
        self._first: npt.NDArray[np.int64] = np.arange(count) * inner
        self._leaf: npt.NDArray[np.int64] = np.arange(count) * (inner + 1) - inner

    def compiled(self, grown: Callable[..., float]) -> Trees:
        """The same trees, summed by machine code (machine.grown)."""
        other = copy(self)
        other._machine = grown
        return other

    def probability(self, facts: Sequence[float]) -> float:
        """Of being right, for values of evidence.NAMES."""
        total = self.base + self._grown(np.round(np.array(facts), DIGITS))
        return firm(1.0 / (1.0 + math.exp(-max(-_LIMIT, min(_LIMIT, total)))), self.soft, self.hard)

    def _grown(self, facts: npt.NDArray[np.float64]) -> float:
        if self._machine is not None:
            return self._machine(facts, self.feature, self.threshold, self.value, self.depth)
        right = facts[self.feature] > self.threshold
        node = np.zeros(len(self._first), np.int64)
        for _ in range(self.depth):
            node = 2 * node + 1 + right[self._first + node]
        return float(self.value[self._leaf + node].sum())


def firm(probability: float, soft: float, hard: float) -> float:
    """Draw [soft, hard] together below .9, so that .9 is said only from `hard` on: a reader acts on it."""
    if probability <= soft:
        return probability
    if probability < hard:
        return soft + (probability - soft) / (hard - soft) * (_FIRM - 1e-4 - soft)
    return _FIRM + (probability - hard) / (1.0 - hard) * (1.0 - _FIRM)

"""Qualifiers: what a term says beyond its head, and what it costs when nobody asked for it.

Classes (congenital, newborn, pregnancy, drug-induced ...) are bits of `flags`; mutually exclusive values
(right | left | bilateral, acute | chronic, type 1 | type 2) are bits of `attributes`. Both are data
(mappings/lexicon/qualifiers.tsv, opposites.tsv); chapters of ICD-10-CM imply classes of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from terminology.text.lexicon import Lexicon
from terminology.text.words import Canon

_ABSENT_FACTOR = 0.12  # "without complications" in a title costs next to nothing
_CHAPTERS = {
    "O": "pregnancy",
    "P": "newborn",
    "Q": "congenital",
    "S": "injury",
    "T": "injury",
    "Z": "status",
} | dict.fromkeys("VWXY", "external")
HALF = 12  # classes in each of the two tables of prices: small enough to stay in the processor's cache
_EXEMPT = ("lexicon", "map", "site", "import")  # these phrases say themselves what they mean


class Qualifiers:
    """Bits and costs. Raises ValueError when there are more classes or exclusive values than bits."""

    def __init__(self, lexicon: Lexicon, canon: Canon) -> None:
        self._factor: dict[str, float] = {}
        self._class: dict[str, str] = {}
        costs: dict[str, float] = {}
        for token, name, cost in sorted(lexicon.qualifiers):
            if name == "class":
                costs[token] = cost
            elif name == "factor":
                self._factor.update(dict.fromkeys(canon.of(token), cost))
            else:
                self._class.update(dict.fromkeys(canon.of(token), name))
        self.names = sorted({*costs, *self._class.values(), *_CHAPTERS.values()})
        self._bit = {name: 1 << i for i, name in enumerate(self.names)}
        self.penalties = np.array([costs.get(name, 0.1) for name in self.names], np.float32)
        low, high = self.penalties[:HALF], self.penalties[HALF:]
        self.prices = (_combinations(low), _combinations(high))
        self._attribute: dict[str, int] = {}
        self.groups: list[int] = []
        position = 0
        for members in lexicon.opposites:
            mask = 0
            for member in members:
                for token in {canon.word(w) for w in member.split("/")}:
                    self._attribute[token] = 1 << position
                mask |= 1 << position
                position += 1
            self.groups.append(mask)
        if len(self.names) > 2 * HALF or position > 31:
            raise ValueError("too many qualifier classes or exclusive values (24 and 31)")

    def factor(self, token: str) -> float:
        if token[0] == "~":
            return _ABSENT_FACTOR
        return self._factor.get(token, 1.0)

    def flags(self, tokens: Iterable[str], code: str, source: str) -> int:
        mask = self.query_flags(tokens)
        if source not in _EXEMPT and code[:1] in _CHAPTERS:
            mask |= self._bit[_CHAPTERS[code[0]]]
        return mask

    def query_flags(self, tokens: Iterable[str]) -> int:
        mask = 0
        for token in tokens:
            if token in self._class:
                mask |= self._bit[self._class[token]]
        return mask

    def attributes(self, tokens: Iterable[str]) -> int:
        mask = 0
        for token in tokens:
            mask |= self._attribute.get(token, 0)
        return mask

    def unasked(self, flags: npt.NDArray[np.uint32], asked: int) -> npt.NDArray[np.float32]:
        """Sum of penalties of the classes that a term has and the query has not. Shape of `flags`."""
        left = flags & np.uint32(~asked & 0x7FFFFFFF)
        low, high = self.prices
        return np.asarray(low[left & np.uint32((1 << HALF) - 1)] + high[left >> np.uint32(HALF)])

    def contradicted(self, attributes: npt.NDArray[np.uint32], asked: int) -> npt.NDArray[np.bool_]:
        """True where a term says another value of a group than the query. Shape of `attributes`."""
        wrong = np.zeros(len(attributes), bool)
        for group in self.groups:
            wanted = asked & group
            if wanted:
                have = attributes & np.uint32(group)
                wrong |= (have != 0) & ((have & np.uint32(wanted)) == 0)
        return wrong

    def volunteered(self, attributes: npt.NDArray[np.uint32], asked: int) -> npt.NDArray[np.bool_]:
        """True where a term states a value (a side, an acuity, a stage) that the query does not state."""
        return np.asarray((attributes & np.uint32(~asked & 0x7FFFFFFF)) != 0)


def _combinations(penalties: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The price of every combination of classes, (2 ** n,) from (n,)."""
    prices = np.zeros(1, np.float32)
    for penalty in penalties:
        prices = np.concatenate((prices, prices + penalty))
    return prices

"""Spelling repair of unknown words against the vocabulary: exact within two edits, a whole array at a time.

One edit changes at most two bits of a word's letter set, so a popcount over 64-bit signatures of the whole
vocabulary leaves a handful of words for the true (restricted Damerau-Levenshtein) distance of rapidfuzz.
Short words are never repaired: "MS" one letter off is another disease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA

MIN_LENGTH = 4
_TWO_EDITS_FROM = 7
_THREE_EDITS_FROM = 12


@dataclass(frozen=True, slots=True)
class Repair:
    word: str
    distance: int
    similarity: float


class Speller:
    """`words` with their frequencies; the more frequent word wins among equally near ones."""

    def __init__(self, words: Sequence[str], frequency: npt.NDArray[np.int64]) -> None:
        keep = [i for i, w in enumerate(words) if len(w) >= MIN_LENGTH and w.isalpha()]
        self._words = [words[i] for i in keep]
        self._frequency = frequency[keep]
        self._length = np.array([len(w) for w in self._words], np.int16)
        self._letters = np.array([_signature(w) for w in self._words], np.uint64)
        self._memo: dict[str, tuple[Repair, ...]] = {}

    def repair(self, word: str, limit: int = 3) -> tuple[Repair, ...]:
        """Nearest words, best first; empty when the word is too short or nothing is near."""
        found = self._memo.get(word)
        if found is None:
            if len(self._memo) > 20_000:
                self._memo.clear()
            found = self._memo[word] = self._search(word, limit)
        return found

    def _search(self, word: str, limit: int) -> tuple[Repair, ...]:
        size = len(word)
        if size < MIN_LENGTH or size > 40 or not word.isalpha() or not self._words:
            return ()
        edits = 1 if size < _TWO_EDITS_FROM else 2 if size < _THREE_EDITS_FROM else 3
        near = np.bitwise_count(self._letters ^ np.uint64(_signature(word))) <= 2 * edits
        near &= np.abs(self._length - size) <= edits
        found: list[tuple[float, str, int]] = []
        for number in np.flatnonzero(near).tolist():
            other = self._words[number]
            distance = int(OSA.distance(word, other, score_cutoff=edits))
            if distance <= edits:
                cost = (
                    distance
                    + (0.5 if word[0] != other[0] else 0.0)
                    - 0.03 * float(np.log1p(self._frequency[number]))
                )
                found.append((cost, other, distance))
        found.sort()
        return tuple(Repair(w, d, 1.0 - d / max(size, len(w))) for _, w, d in found[:limit])


def _signature(word: str) -> int:
    """Bit i: the letter i occurs; bit 26 + i: it occurs at least twice."""
    bits = 0
    for letter in word:
        bit = 1 << (ord(letter) - 97) if "a" <= letter <= "z" else 1 << 60
        bits |= bit << 26 if bits & bit and bit < 1 << 26 else bit
    return bits

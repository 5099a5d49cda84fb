"""Spelling repair of unknown words against the vocabulary: exact within two edits, a whole array at a time.

One edit changes at most two bits of a word's letter set, so a popcount over 64-bit signatures of the whole
vocabulary leaves a handful of words for the true (restricted Damerau-Levenshtein) distance of rapidfuzz.
Short words are never repaired: "MS" one letter off is another disease.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA

MIN_LENGTH = 5
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
        self._given, self._given_frequency = words, frequency
        self.known = frozenset(words)
        self._memo: dict[str, tuple[Repair, ...]] = {}
        self._words: list[str] = []
        self._begin: dict[str, npt.NDArray[np.int64]] = {}
        self._sorted: list[str] = []

    def _prepare(self) -> None:
        """Signatures of all words; made for the first unknown word."""
        keep = [i for i, w in enumerate(self._given) if len(w) >= MIN_LENGTH and w.isalpha()]
        words = [self._given[i] for i in keep]
        self._frequency = self._given_frequency[keep]
        self._length = np.array([len(w) for w in words], np.int16)
        self._letters = np.array([_signature(w) for w in words], np.uint64)
        self._count = dict(zip(words, self._frequency.tolist(), strict=True))
        first = np.array([ord(w[0]) for w in words], np.int32)
        self._begin = {chr(letter): np.flatnonzero(first == letter) for letter in np.unique(first).tolist()}
        self._sorted = sorted(words)
        self._words = words

    def repair(self, word: str, limit: int = 3) -> tuple[Repair, ...]:
        """Nearest words, best first; empty when the word is too short or nothing is near."""
        found = self._memo.get(word)
        if found is None:
            if not self._words:
                self._prepare()
            if len(self._memo) > 20_000:
                self._memo.clear()
            found = self._memo[word] = self._search(word, limit)
        return found

    def completed(self, word: str) -> str:
        """The most frequent word that begins with a cut-off `word` ("incont" -> incontinence); "" when there is none.

        A word cut off by one or two letters is more likely misspelled than cut off.
        """
        if not 4 <= len(word) <= 12:
            return ""
        if not self._words:
            self._prepare()
        first = bisect_left(self._sorted, word)
        best, most = "", 0
        for other in self._sorted[first : first + 400]:
            if not other.startswith(word):
                break
            if len(other) >= len(word) + 3 and self._count[other] > most:
                best, most = other, self._count[other]
        return best

    def _search(self, word: str, limit: int) -> tuple[Repair, ...]:
        size = len(word)
        if size < MIN_LENGTH - 1 or size > 40 or not word.isalpha() or not self._words:
            return ()
        edits = 1 if size < _TWO_EDITS_FROM else 2 if size < _THREE_EDITS_FROM else 3
        # Only words with the same first letter, or with the first two letters in the other order (see _other_word).
        some = [self._begin[letter] for letter in sorted({word[0], word[1]}) if letter in self._begin]
        if not some:
            return ()
        among = np.concatenate(some)
        near = np.bitwise_count(self._letters[among] ^ np.uint64(_signature(word))) <= 2 * edits
        near &= np.abs(self._length[among] - size) <= edits
        found: list[tuple[float, str, int]] = []
        for number in among[near].tolist():
            other = self._words[number]
            distance = int(OSA.distance(word, other, score_cutoff=edits))
            if (
                distance <= edits
                and distance <= 0.28 * max(size, len(other))
                and not _other_word(word, other)
            ):
                cost = (
                    distance
                    + (0.5 if word[0] != other[0] else 0.0)
                    - 0.03 * float(np.log1p(self._frequency[number]))
                )
                found.append((cost, other, distance))
        found.sort()
        return tuple(Repair(w, d, 1.0 - d / max(size, len(w))) for _, w, d in found[:limit])


def _other_word(one: str, other: str) -> bool:
    """Near in letters but not meant: "reducible" and "irreducible", "hyper..." and "hypo...", another first letter."""
    if {one[:4], other[:4]} >= {"hypo"} and (one[:5] == "hyper" or other[:5] == "hyper"):
        return True
    if {one[:5], other[:5]} == {"micro", "macro"} or {one[:5], other[:5]} == {"inter", "intra"}:
        return True
    if one[0] != other[0] and (one[1], one[0]) != (other[0], other[1]):
        return True  # the first letter is hardly ever wrong; "table" is not "stable"
    shorter, longer = sorted((one, other), key=len)
    return any(longer == prefix + shorter for prefix in ("ir", "un", "in", "im", "non", "an", "a", "dis"))


def _signature(word: str) -> int:
    """Bit i: the letter i occurs; bit 26 + i: it occurs at least twice."""
    bits = 0
    for letter in word:
        bit = 1 << (ord(letter) - 97) if "a" <= letter <= "z" else 1 << 60
        bits |= bit << 26 if bits & bit and bit < 1 << 26 else bit
    return bits

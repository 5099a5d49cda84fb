"""Shorthand of clinicians: abbreviations with senses, and numbers, grades and sides glued to words.

"CKD3b" -> ckd 3b -> chronic kidney disease 3b; "DMII" -> dm ii; "R knee OA" -> right knee osteoarthritis.
An ambiguous abbreviation yields several readings, best first; each carries the prior of its senses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.text.lexicon import Lexicon, Sense
from terminology.text.normalise import pieces
from terminology.text.patterns import pattern
from terminology.text.words import BOUNDARIES, split

SPINE = pattern("spine-level", r"([cltCLT])\d{1,2}(?:[-/]([clts]?)\d{1,2})?")
MAX_READINGS = 6
_LONGEST = 5  # raw tokens in an abbreviation, as in "a fib", "s / p"
_GLUED = ("iii", "ii", "iv")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a phrase: split words (boundaries included), its prior, and what was expanded."""

    words: tuple[str, ...]
    prior: float
    expanded: tuple[str, ...]


class Shorthand:
    """Expands abbreviations. `known` says whether a word exists in the vocabulary of the code system."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._senses = lexicon.senses
        self._first: dict[str, int] = {}
        for key in lexicon.senses:
            words = key.split()
            self._first[words[0]] = max(self._first.get(words[0], 0), len(words))

    def knows(self, word: str) -> bool:
        """Whether `word` is shorthand for something."""
        return word in self._senses

    def ambiguous(self, word: str) -> bool:
        """Whether `word` is shorthand for several things."""
        return len(self._senses.get(word, ())) > 1

    def readings(self, tokens: Sequence[tuple[str, int, int]], original: str) -> list[Reading]:
        """`tokens` as of normalise.raw_tokens; `original` is the text as typed, for capitals."""
        readings = [Reading((), 1.0, ())]
        context = frozenset(t for t, _, _ in tokens)
        index = 0
        while index < len(tokens):
            width, options = self._options(tokens, index, original, context)
            readings = _extended(readings, options)
            index += width
        return readings

    def placed(self, tokens: Sequence[tuple[str, int, int]], original: str) -> list[tuple[str, int, int]]:
        """The likeliest reading of running text: every word with the range of raw tokens that it stands for."""
        found: list[tuple[str, int, int]] = []
        context: frozenset[str] | None = None
        index = 0
        while index < len(tokens):
            token = tokens[index][0]
            if token not in self._first and token.isalpha():
                found.append((token, index, index + 1))
                index += 1
                continue
            if context is None:
                context = frozenset(t for t, _, _ in tokens)
            width, options = self._options(tokens, index, original, context)
            found.extend((word, index, index + width) for word in options[0][0])
            index += width
        return found

    def _options(
        self, tokens: Sequence[tuple[str, int, int]], index: int, original: str, context: frozenset[str]
    ) -> tuple[int, list[tuple[tuple[str, ...], float, str]]]:
        token = tokens[index][0]
        for width in range(min(self._first.get(token, 0), len(tokens) - index), 0, -1):
            key = token if width == 1 else " ".join(t for t, _, _ in tokens[index : index + width])
            senses = self._senses.get(key)
            if senses:
                start, end = tokens[index][1], tokens[index + width - 1][2]
                options = _choose(senses, original[start:end], context)
                if options:
                    return width, [(_words(s.text), p, key) for s, p in options]
        if token in BOUNDARIES or token.isalpha():
            return 1, [self._unglued(token)]
        plain = token.replace(".", "").replace("-", "")
        if plain != token and (senses := self._senses.get(plain)) and plain.isalpha():
            options = _choose(senses, original[tokens[index][1] : tokens[index][2]], context)
            if options:
                return 1, [(_words(s.text), p, plain) for s, p in options]
        whole = self._split(token)
        region = _spine(token)
        return 1, [(region, 1.0, token), whole] if region else [whole]

    def _split(self, token: str) -> tuple[tuple[str, ...], float, str]:
        found: list[str] = []
        expanded = ""
        parts = pieces(token)
        hyphenated = "-" in token and not any(c.isdigit() for c in token)
        for part in parts:
            known = (len(part) > 1 or len(parts) == 1) and not hyphenated
            senses = self._senses.get(part) if known else None
            if senses and not senses[0].upper:
                found.extend(_words(senses[0].text))
                expanded = token
            else:
                found.append(part)
        return tuple(found), 1.0, expanded

    def _unglued(self, token: str) -> tuple[tuple[str, ...], float, str]:
        """ "dmii" -> dm ii, but only when the rest is itself shorthand."""
        for tail in _GLUED:
            if token.endswith(tail) and (senses := self._senses.get(token[: -len(tail)])):
                return (*_words(senses[0].text), "type", tail), 1.0, token
        return (token,), 1.0, ""


def _spine(token: str) -> tuple[str, ...]:
    """ "l5-s1" -> lumbosacral region; "c5", "t12", "l4-l5" -> cervical, thoracic, lumbar region; else empty."""
    found = SPINE.fullmatch(token)
    if not found:
        return ()
    first, second = found[1], found[2] or found[1]
    if first == "l" and second == "s":
        return ("lumbosacral", "region")
    name = {"c": "cervical", "t": "thoracic", "l": "lumbar", "s": "sacral"}[first]
    return (name, "region")


def _choose(senses: tuple[Sense, ...], typed: str, context: frozenset[str]) -> list[tuple[Sense, float]]:
    """Senses that fit, with probabilities: a cue word in the text multiplies the prior by 8."""
    fitting = [s for s in senses if not s.upper or typed.isupper()]
    if not fitting:
        return []
    weights = [s.prior * (8.0 if s.cues & context else 1.0) for s in fitting]
    total = sum(weights) if len(fitting) > 1 else max(1.0, weights[0])
    ranked = sorted(zip(fitting, weights, strict=True), key=lambda pair: -pair[1])
    return [(sense, weight / total) for sense, weight in ranked[:3]]


def _extended(readings: list[Reading], options: list[tuple[tuple[str, ...], float, str]]) -> list[Reading]:
    if len(options) == 1:
        words, prior, key = options[0]
        return [
            Reading(r.words + words, r.prior * prior, (*r.expanded, key) if key else r.expanded)
            for r in readings
        ]
    found = [
        Reading(r.words + words, r.prior * prior, (*r.expanded, key))
        for r in readings
        for words, prior, key in options
    ]
    return sorted(found, key=lambda r: -r.prior)[:MAX_READINGS]


def _words(text: str) -> tuple[str, ...]:
    return tuple(split(text))

"""Where the mentions are: items of a problem list, or known phrases in running text.

Running text is scanned with the vocabulary's own phrases, longest first, over canonical tokens with their places in
the raw text (one pass, hash look-ups of token windows; abbreviations, plurals and word forms included).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from terminology.text.context import SENTENCE_END
from terminology.text.index import SOURCES, PhraseIndex
from terminology.text.patterns import NUMBERED
from terminology.text.shorthand import Shorthand
from terminology.text.words import BOUNDARIES, Canon

Token = tuple[str, int, int]
_LONGEST = 6  # canonical tokens in a phrase of running text
_PROSE_WORDS = frozenset(
    (
        "the", "is", "was", "were", "are", "has", "had", "have", "he", "she", "his", "her", "they", "patient", "pt",
        "who",
        "which", "that", "presents", "presented", "reports", "denies", "admitted", "seen", "today", "been", "will",
        "should", "would", "could", "did", "does", "started", "return", "if", "you", "your", "this", "there", "we",
        "found", "showed", "shows", "noted", "developed", "complains", "woman", "man", "male", "female", "died",
        "diagnosed", "underwent", "continue", "continues", "take", "takes", "call", "mother", "father",
    )
)  # fmt: skip
_MAX_LIST_ITEM = 10
_LONGEST_SENTENCE = 400  # tokens; text without a full stop is cut, so that scopes stay bounded
_SPLITTERS = frozenset(("and", "&", "+"))
_CAUSES = frozenset(("2/2", "d/t", "b/c", "2/t"))
_WITH = frozenset(("with", "w/", "w", "c"))


@dataclass(frozen=True, slots=True)
class Sentence:
    """Raw tokens [first, last) of a text."""

    first: int
    last: int
    prose: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase of the vocabulary at raw tokens [first, last)."""

    first: int
    last: int


def sentences(same: str, tokens: Sequence[Token]) -> list[Sentence]:
    """Sentences and lines. `same` is the text as typed (capitals decide where a sentence ends)."""
    ends = [m.start() for m in SENTENCE_END.finditer(same)]
    found: list[Sentence] = []
    first, place = 0, 0
    for index, (_, start, _) in enumerate(tokens):
        if place < len(ends) and start > ends[place]:
            while place < len(ends) and start > ends[place]:
                place += 1
            if index > first:
                found.append(Sentence(first, index, _is_prose(tokens[first:index])))
            first = index
        elif index - first >= _LONGEST_SENTENCE:
            found.append(Sentence(first, index, _is_prose(tokens[first:index])))
            first = index
    if first < len(tokens):
        found.append(Sentence(first, len(tokens), _is_prose(tokens[first:])))
    return found


def without_numbers(text: str) -> str:
    """ "1. Asthma 2. Depression": the numbers of a list, counted from 1, become line ends. Same length."""
    found: list[str] = []
    last, expected = 0, 1
    for match in NUMBERED.finditer(text):
        if int(match[1]) == expected:
            found += [text[last : match.start()], "\n", " " * (match.end() - match.start() - 1)]
            last, expected = match.end(), expected + 1
    return "".join((*found, text[last:])) if expected > 2 else text


def unslashed(tokens: Sequence[Token], known: Callable[[str], bool]) -> list[Token]:
    """ "htn/hld/dm2": tokens of their own with commas between, where every part is known and the whole is not."""
    found: list[Token] = []
    for token, start, end in tokens:
        names = token.split("/")
        if len(names) < 2 or known(token) or not all(len(n) > 1 and known(n) for n in names):
            found.append((token, start, end))
            continue
        for place, name in enumerate(names):
            if place:
                found.append((",", start - 1, start))
            found.append((name, start, start + len(name)))
            start += len(name) + 1
    return found


def _is_prose(tokens: Sequence[Token]) -> bool:
    words = [t for t, _, _ in tokens]
    if sum(w in _PROSE_WORDS for w in words) >= 1 and len(words) > 4:
        return True
    longest = run = 0
    for word in words:
        run = 0 if word in BOUNDARIES else run + 1
        longest = max(longest, run)
    return longest > _MAX_LIST_ITEM


def items(tokens: Sequence[Token], first: int, last: int) -> list[tuple[int, int]]:
    """Items of a list-like sentence: token ranges between commas, semicolons and line ends (not inside brackets)."""
    found: list[tuple[int, int]] = []
    start, depth = first, 0
    for index in range(first, last):
        mark = tokens[index][0]
        depth += (mark in ("(", "[")) - (mark in (")", "]"))
        if mark in (",", ";", "\n") and depth <= 0:
            if index > start:
                found.append((start, index))
            start = index + 1
    if last > start:
        found.append((start, last))
    return found


def parts(tokens: Sequence[Token], first: int, last: int) -> list[tuple[int, int]]:
    """An item split at "and", "&", "+" and "with"; one part when there is nothing to split."""
    found: list[tuple[int, int]] = []
    start = first
    for index in range(first + 1, last - 1):
        if tokens[index][0] in _SPLITTERS or tokens[index][0] in _WITH:
            found.append((start, index))
            start = index + 1
    found.append((start, last))
    return [(a, b) for a, b in found if b > a]


def causes(tokens: Sequence[Token], first: int, last: int) -> list[tuple[int, int]]:
    """An item split at "2/2", "d/t" and the like ("cirrhosis 2/2 hep C")."""
    found: list[tuple[int, int]] = []
    start = first
    for index in range(first + 1, last - 1):
        if tokens[index][0] in _CAUSES:
            found.append((start, index))
            start = index + 1
    return [(a, b) for a, b in (*found, (start, last)) if b > a]


def has_with(tokens: Sequence[Token], first: int, last: int) -> bool:
    return any(tokens[i][0] in _WITH for i in range(first + 1, last - 1))


class Scanner:
    """Finds known phrases in running text."""

    def __init__(self, index: PhraseIndex, canon: Canon, shorthand: Shorthand) -> None:
        self._canon, self._shorthand = canon, shorthand
        self._literal = index.literal
        self._phrases: dict[str, int] = {}
        self._longest: dict[str, int] = {}
        for term, text in enumerate(index.texts):
            if len(text) > 60:
                continue
            source = SOURCES[int(index.term_source[term])]
            tokens = self._tokens(text, source)
            if 0 < len(tokens) <= _LONGEST and _mentionable(tokens, source, text):
                self._phrases.setdefault(" ".join(tokens), term)
                self._longest[tokens[0]] = max(self._longest.get(tokens[0], 0), len(tokens))

    def _tokens(self, text: str, source: str) -> list[str]:
        from terminology.text.normalise import fold, raw_tokens

        folded = fold(text)[0]
        if source in ("lexicon", "map", "site"):
            return self._canon.tokens(self._shorthand.readings(raw_tokens(folded), text)[0].words)
        return self._canon.of(folded)

    def scan(self, same: str, tokens: Sequence[Token]) -> list[Found]:
        """Longest phrases from left to right, not overlapping. Places are indexes into `tokens`."""
        placed = self._canon.placed(self._shorthand.placed(tokens, same))
        found: list[Found] = []
        index = 0
        while index < len(placed):
            word = placed[index][0]
            for width in range(min(self._longest.get(word, 0), len(placed) - index), 0, -1):
                key = word if width == 1 else " ".join(p[0] for p in placed[index : index + width])
                if key in self._phrases:
                    taken = self._width(placed[index : index + width], tokens)
                    found.append(Found(placed[index][1], placed[index + taken - 1][2]))
                    index += taken
                    break
            else:
                index += 1
        return found

    def _width(self, placed: Sequence[tuple[str, int, int]], tokens: Sequence[Token]) -> int:
        """How much of a found phrase to take: only the first part where "and" joins two phrases of their own
        ("diabetes and chronic kidney disease"), unless the whole is written so in the vocabulary."""
        for cut in range(1, len(placed)):
            between = range(placed[cut - 1][2], placed[cut][1])
            if any(tokens[i][0] in _SPLITTERS for i in between):
                left, right = (" ".join(p[0] for p in part) for part in (placed[:cut], placed[cut:]))
                title = " ".join(t for t, _, _ in tokens[placed[0][1] : placed[-1][2]])
                if left in self._phrases and right in self._phrases and title not in self._literal:
                    return cut
        return len(placed)


def _mentionable(tokens: Sequence[str], source: str, text: str) -> bool:
    if tokens[0][0] == "~" or all(t[0].isdigit() for t in tokens):
        return False
    if len(tokens) > 1:
        return source != "note" or len(tokens) < 5
    if source in ("lexicon", "map", "site"):
        return len(text) > 1
    return source in ("title", "inclusion") and len(tokens[0]) >= 7

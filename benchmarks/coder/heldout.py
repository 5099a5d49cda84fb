"""Held-out phrases made from the release itself: left-out inclusion terms, typos, abbreviations, reordered titles.

Everything is drawn with a fixed seed. A left-out term is taken from the index while its own phrase is asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from terminology.text.index import SOURCES, PhraseIndex
from terminology.text.lexicon import Lexicon

COMMON = "ABCDEFGHIJKLMNQRSZ"  # chapters of problem lists: no obstetrics, external causes, poisoning
# Phrases of each left-out kind that are measured: with 500, ten bins of fifty answers are off by .045 by chance alone.
LEFT_OUT = 2_000


@dataclass(frozen=True, slots=True)
class Phrase:
    """`gold` is the code; a descendant of it counts as right (lenient). `left_out`: term numbers to hide."""

    text: str
    gold: str
    kind: str
    left_out: frozenset[int] = frozenset()


def left_out_inclusions(index: PhraseIndex, count: int, seed: int) -> list[Phrase]:
    """Inclusion terms of the tabular list that share at least one word with another term of the same code's line."""
    rng = random.Random(seed)
    same: dict[str, set[int]] = {}
    for number, text in enumerate(index.texts):
        same.setdefault(text.lower(), set()).add(number)
    found: list[Phrase] = []
    order = [int(i) for i in np.flatnonzero(index.term_source == 1)]
    rng.shuffle(order)
    for number in order:
        text, code = index.texts[number], index.codes.code[index.term_code[number]]
        if code[0] in COMMON and 6 <= len(text) <= 70 and not text.endswith("NOS"):
            hidden = frozenset(i for i in same[text.lower()] if index.texts[i].lower() == text.lower())
            found.append(Phrase(text, code, "left-out inclusion term", hidden))
        if len(found) == count:
            break
    return found


def left_out_imports(index: PhraseIndex, count: int, seed: int) -> list[Phrase]:
    """Entry terms of MeSH (synonyms.mesh.tsv), each asked while it is not there. Gold: the code it was mapped to."""
    rng = random.Random(seed)
    order = [int(i) for i in np.flatnonzero(index.term_source == SOURCES.index("import"))]
    rng.shuffle(order)
    return [
        Phrase(
            index.texts[n], index.codes.code[index.term_code[n]], "left-out MeSH entry term", frozenset((n,))
        )
        for n in order[:count]
    ]


def left_out_lexicon(index: PhraseIndex, count: int, seed: int) -> list[Phrase]:
    """Hand-written synonyms, each asked while it and all terms of the same words are not there."""
    rng = random.Random(seed)
    same: dict[tuple[int, ...], list[int]] = {}
    for number in range(len(index.texts)):
        same.setdefault(tuple(sorted(index.tokens_of(number).tolist())), []).append(number)
    hand = (SOURCES.index("lexicon"), SOURCES.index("map"))
    order = [int(i) for i in np.flatnonzero(np.isin(index.term_source, hand))]
    rng.shuffle(order)
    found = []
    for number in order[: 2 * count]:
        text, code = index.texts[number], index.codes.code[index.term_code[number]]
        if code[0] in COMMON and len(text) >= 5:
            hidden = frozenset(same[tuple(sorted(index.tokens_of(number).tolist()))])
            found.append(Phrase(text, code, "left-out lexicon phrase", hidden))
    return found[:count]


def misspelled(index: PhraseIndex, count: int, seed: int) -> list[Phrase]:
    """Titles and synonyms with one edit in one or two words of five letters or more."""
    rng = random.Random(seed)
    return [
        Phrase(_typo(text, rng), code, "misspelled") for text, code in _sample(index, rng, count, longest=60)
    ]


def abbreviated(index: PhraseIndex, lexicon: Lexicon, count: int, seed: int) -> list[Phrase]:
    """Titles in which long wordings were put back into shorthand."""
    rng = random.Random(seed)
    short: dict[str, list[str]] = {}
    for key, senses in lexicon.senses.items():
        if senses[0].prior >= 0.6 and not senses[0].upper:
            short.setdefault(senses[0].text, []).append(key)
    longest = sorted(short, key=lambda t: -len(t))
    found: list[Phrase] = []
    for text, code in _sample(index, rng, count * 12, longest=90):
        plain = f" {text.lower()} "
        changed = plain
        for long in longest:
            if f" {long} " in changed and len(long) > 4:
                changed = changed.replace(f" {long} ", f" {rng.choice(short[long])} ")
        if changed != plain:
            found.append(Phrase(changed.strip(), code, "abbreviated"))
        if len(found) == count:
            break
    return found


def reordered(index: PhraseIndex, count: int, seed: int) -> list[Phrase]:
    rng = random.Random(seed)
    found = []
    for text, code in _sample(index, rng, count, longest=60):
        words = [
            w
            for w in text.replace(",", " ").split()
            if w.lower() not in ("of", "the", "with", "unspecified", "in")
        ]
        rng.shuffle(words)
        if "without" not in text and len(words) > 1:
            found.append(Phrase(" ".join(words), code, "reordered"))
    return found


def _sample(index: PhraseIndex, rng: random.Random, count: int, longest: int) -> Iterator[tuple[str, str]]:
    order = list(range(len(index.texts)))
    rng.shuffle(order)
    taken = 0
    for number in order:
        text, code = index.texts[number], index.codes.code[index.term_code[number]]
        if index.term_source[number] in (0, 1) and code[0] in COMMON and 8 <= len(text) <= longest:
            yield text, code
            taken += 1
            if taken == count:
                return


def _typo(text: str, rng: random.Random) -> str:
    words = text.split()
    places = [i for i, w in enumerate(words) if len(w) >= 5 and w.isalpha()]
    for place in rng.sample(places, min(len(places), 1 + (rng.random() < 0.4))):
        words[place] = _edit(words[place], rng)
    return " ".join(words)


def _edit(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.choice("dits")
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    if kind == "d":
        return word[:at] + word[at + 1 :]
    if kind == "i":
        return word[:at] + letter + word[at:]
    if kind == "t":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + letter + word[at + 1 :]

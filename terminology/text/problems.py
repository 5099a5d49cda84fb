"""One problem phrase to ranked billable codes: readings, exact keys, spelling repair, retrieval, default child."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from terminology.text.candidates import Query, Scored, resolve, retrieve
from terminology.text.evidence import Evidence
from terminology.text.index import SOURCES, PhraseIndex, canonical_key
from terminology.text.qualifiers import Qualifiers
from terminology.text.rank import Weights
from terminology.text.rules import (
    CHILD_COST,
    KNEE,
    VAGUE,
    VOLUNTEERED,
    Headings,
    Leaf,
    better_sibling,
    default_child,
)
from terminology.text.shorthand import SPINE, Reading, Shorthand
from terminology.text.spelling import Speller
from terminology.text.words import BOUNDARIES, Canon, joined

if TYPE_CHECKING:
    from terminology.text.kernel import Kernel

Token = tuple[str, int, int]
_TOP = 24  # terms that are expanded to billable codes
_KEEP = 10
_MEASURES = frozenset(("ef", "lvef", "bmi", "a1c", "hba1c", "egfr", "gfr", "bp", "psa", "fev1", "meld"))
_UNITS = frozenset(("cm", "mm", "ppd", "yrs", "yr", "years", "year", "yo", "lbs", "kg", "mg", "pack"))
_SURE = 0.9
_JUST_BELOW = 0.995  # of several terms with the same words, the one that the exact key names stands first
_ENCODER_SHARE = 0.3
Encoder = Callable[[Sequence[str]], "npt.ArrayLike"]
_FAR = 0.45  # a term so far behind the best is not looked at
_BROADER_COST = 0.06
_IMPORT = SOURCES.index("import")  # terms of derived tables and imported releases: near, not equal
_OTHER_SENSE = 0.15  # how far behind the first answer that of another sense may stand at best
_NEAR = 0.3  # how far behind the best a hit may be and still be refined
_WORTH = 0.35  # a weaker hit is not refined


@dataclass(frozen=True, slots=True)
class Ranked:
    """Billable answers for one phrase, best first, with what was done to get there."""

    leaves: tuple[Leaf, ...]
    method: str
    covered: float
    prior: float
    repaired: float
    tokens: tuple[str, ...]
    steps: tuple[str, ...]
    query: Query | None = None  # None for an exact text
    hits: Scored | None = None  # the terms that were looked at
    price: float = 0.0  # by how much the scores were lowered, as only the first part of the phrase decides
    also: tuple[str, ...] = ()  # codes that belong beside the first (secondary tumours)
    level: bool = False  # a level of the spine was read as its region


class Ranker:
    """Everything needed to rank codes for a phrase; pure but for memos."""

    def __init__(
        self, index: PhraseIndex, canon: Canon, shorthand: Shorthand, qualifiers: Qualifiers, speller: Speller,
        weights: Weights,
    ) -> None:  # fmt: skip
        self.index, self.canon, self.shorthand = index, canon, shorthand
        self.qualifiers, self.speller, self.weights = qualifiers, speller, weights
        self.headings = Headings(index)
        self.kernel: Kernel | None = None  # set where batches are coded
        self.parts: dict[str, str] = {}
        self.words: frozenset[str] = (
            frozenset()
        )  # correctly spelled, though the vocabulary does not have them
        self.encoder: Encoder | None = None
        self.evidence = Evidence(index)

    def for_batches(self) -> Ranker:
        """A ranker of its own for one batch at a time: compiled where numba is there, else this one."""
        from terminology.text.kernel import Kernel

        other = copy(self)
        limits = (_FAR, _WORTH, _NEAR, _JUST_BELOW, CHILD_COST, KNEE)
        try:
            other.kernel = Kernel(self.index, self.qualifiers, self.weights, self.headings, limits)
        except ImportError:
            return self
        if self.weights.trees is not None:
            other.weights = replace(self.weights, trees=self.weights.trees.compiled(other.kernel.grown))
        return other

    def rank(self, original: str, tokens: Sequence[Token]) -> Ranked:
        """`tokens` are the raw tokens of the phrase, with their places in `original`, the text as typed."""
        readings = self.shorthand.readings(without_measures(tokens), original)
        found = [self._reading(reading) for reading in readings]
        best = max(found, key=_value)  # the first of equals
        if len(found) > 1:
            best = _with_others(best, found)
        if not best.leaves or best.leaves[0].score < _SURE:
            for reading in self._broader(readings[0]):
                ranked = self._reading(reading)
                if _value(ranked) > _value(best) + _BROADER_COST:
                    best = replace(
                        ranked, method="retrieval", steps=(*ranked.steps, "site named by its region")
                    )
        if self.encoder is not None and best.leaves and best.leaves[0].score < _SURE:
            best = self._encoded(best, self.encoder, " ".join(t for t, _, _ in tokens))
        return best

    def _encoded(self, ranked: Ranked, encoder: Encoder, text: str) -> Ranked:
        """Rerank with the user's encoder: rows of unit length, their product is the similarity."""
        texts = [text, *(self.index.texts[leaf.term] for leaf in ranked.leaves)]
        vectors = np.asarray(encoder(texts), float)
        near = vectors[1:] @ vectors[0]
        leaves = [
            replace(x, score=x.score + _ENCODER_SHARE * float(n))
            for x, n in zip(ranked.leaves, near, strict=True)
        ]
        leaves.sort(key=lambda x: (-x.score, x.code))
        top = max(1.0, leaves[0].score / 0.999)
        scaled = tuple(replace(x, score=x.score / top) for x in leaves)
        return replace(ranked, leaves=scaled, steps=(*ranked.steps, "reranked by the site's encoder"))

    def _broader(self, reading: Reading) -> list[Reading]:
        """The reading with a body part replaced by the region that ICD-10-CM names ("hand" -> upper limb)."""
        if not any(w in self.parts for w in reading.words):
            return []
        found = []
        for place in range(max(self.parts[w].count("|") + 1 for w in reading.words if w in self.parts)):
            regions = {w: self.parts[w].split("|")[place:][:1] for w in reading.words if w in self.parts}
            words = [part for w in reading.words for part in (regions.get(w) or [w])[0].split()]
            if words != list(reading.words):
                found.append(Reading(tuple(words), reading.prior, reading.expanded))
        return found

    def _reading(self, reading: Reading) -> Ranked:
        words, repaired, steps = self._spelled(reading)
        tokens = tuple(self.canon.tokens(joined(words)))
        if reading.expanded:
            steps = (f"shorthand: {', '.join(reading.expanded)}", *steps)
        if not tokens:
            return Ranked((), "abstain", 0.0, reading.prior, 0.0, (), (*steps, "no content words"))
        share = repaired / len(tokens)
        query = resolve(tokens, self.index, self.qualifiers)
        method = "repair" if repaired else "abbreviation" if reading.expanded else "retrieval"
        exact = self.index.canonical.get(canonical_key(tokens), -1)
        if self.kernel is None:
            scored = retrieve(query, self.index, self.qualifiers, self.weights, _TOP)
            leaves = self._leaves(scored, query, exact)
        else:
            scored = self.kernel.retrieve(query, _TOP)
            found = self.kernel.leaves(scored, query, exact, VAGUE, VOLUNTEERED)
            found.sort(key=lambda x: (-x[1], x[0]))
            leaves = tuple(Leaf(*x) for x in found[:_KEEP])
        if leaves and self.index.term_source[leaves[0].term] == _IMPORT and method != "repair":
            method = "import"
        elif leaves and leaves[0].score >= 0.999 and method == "retrieval":
            method = "canonical"
        covered = float(scored.covered[0]) if len(scored.covered) else 0.0
        return Ranked(leaves, method, covered, reading.prior, share, tokens, steps, query, scored,
            level=any(map(SPINE.fullmatch, reading.expanded)),
        )  # fmt: skip

    def _spelled(self, reading: Reading) -> tuple[list[str], int, tuple[str, ...]]:
        """Words with unknown ones repaired; the number of repairs; what was repaired."""
        words: list[str] = []
        steps: list[str] = []
        for word in reading.words:
            if word not in BOUNDARIES and not self._known(word):
                other = self.speller.completed(word) or next(
                    (r.word for r in self.speller.repair(word, 1)), ""
                )
                if other:
                    steps.append(f"spelling: {word} -> {other}")
                    word = other
            words.append(word)
        return words, len(steps), tuple(steps)

    def _known(self, word: str) -> bool:
        if word in self.speller.known or word in self.words or self.canon.is_form(word):
            return True
        return self.canon.word(word) in self.index.vocabulary

    def _leaves(self, scored: Scored, query: Query, exact: int) -> tuple[Leaf, ...]:
        best: dict[int, Leaf] = {}
        codes = self.index.codes
        seen: set[int] = set()
        least = float(scored.scores[0]) - _FAR if len(scored.scores) else 0.0
        worth = max(_WORTH, least + _FAR - _NEAR)
        for term, value in zip(scored.terms.tolist(), scored.scores.tolist(), strict=True):
            code = int(self.index.term_code[term])
            if value <= 0.0 or code in seen or (value < least and term != exact):
                continue
            seen.add(code)
            if term == exact and self.index.term_source[term] != _IMPORT:
                value = max(value, 1.0)
            else:
                value = min(value, _JUST_BELOW)
            if codes.leaf[code]:
                leaf = Leaf(code, value, term, -1)
                if value >= worth:
                    leaf = better_sibling(
                        leaf, self.headings, scored, query, self.index, self.qualifiers, self.weights
                    )
            else:
                leaf = default_child(
                    code, term, value, self.headings, scored, query, self.index, self.qualifiers, self.weights
                )
            if leaf.code not in best or best[leaf.code].score < leaf.score:
                best[leaf.code] = leaf
        return tuple(sorted(best.values(), key=lambda x: (-x.score, x.code))[:_KEEP])


def without_measures(tokens: Sequence[Token]) -> Sequence[Token]:
    """Drop "EF 30%", "BMI 42", "4.2 cm", "1 ppd", "x3" when words of a condition remain; they are no part of a name."""
    keep: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index][0]
        following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        if (token in _MEASURES and following[:1].isdigit()) or (token[0].isdigit() and following in _UNITS):
            index += 2
        elif token.endswith("%") or (token[0] == "x" and token[1:].isdigit()):
            index += 1
        else:
            keep.append(tokens[index])
            index += 1
    return keep if any(len(t) > 1 and t[0].isalpha() for t, _, _ in keep) else tokens


def _with_others(best: Ranked, found: Sequence[Ranked]) -> Ranked:
    """The best reading, with the first answers of the other senses behind its own first one: a person may know which
    was meant."""
    if not best.leaves:
        return best
    codes = {leaf.code for leaf in best.leaves}
    top, others = best.leaves[0].score, []
    for ranked in found:
        for leaf in ranked.leaves[:1]:
            if leaf.code not in codes:
                codes.add(leaf.code)
                score = min(leaf.score, top) - _OTHER_SENSE
                others.append(replace(leaf, score=score))
    if not others:
        return best
    rest = sorted((*best.leaves[1:], *others), key=lambda x: (-x.score, x.code))
    return replace(best, leaves=(best.leaves[0], *rest[: _KEEP - 1]))


def _value(ranked: Ranked) -> float:
    """A reading is judged by its best score, weighed down by an unlikely sense."""
    if not ranked.leaves:
        return -1.0
    return ranked.leaves[0].score + 0.25 * min(0.0, ranked.prior - 1.0) - 0.3 * ranked.repaired

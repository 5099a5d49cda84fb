"""ICD-10-CM coding rules that run after ranking.

Default child: a heading becomes the billable code whose extra words were asked for or say "unspecified",
"uncomplicated", "without ..."; a stated side picks the sided child. History and family codes, combination notes,
excludes1 conflicts and 7th characters follow the tabular list and mappings/lexicon/code-rules.tsv.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from terminology.text.candidates import Query, Scored, sums
from terminology.text.index import Ints, PhraseIndex
from terminology.text.lexicon import CodeRule
from terminology.text.qualifiers import Qualifiers
from terminology.text.rank import Weights

_SHOWN = 40  # leaves of a heading among which others are offered
_MANY = 250  # leaves of a category that are looked through for a better one
# Titles of codes that stand for "not said": a sibling that says what the phrase says is better.
_OPEN = ("unspecified", "not specified")
_OPEN_NEAR = (
    "not having achieved",
    "uncomplicated",
    "without",
    "not intractable",
)  # among its next of kin only
KNEE = 0.97
VAGUE = 0.015  # "unspecified" before "other specified", when all else is equal
VOLUNTEERED = 0.08  # "bilateral" when no side was said: the child for an unspecified side is meant
CHILD_COST = 0.01  # a default child stands just behind a direct hit


@dataclass(frozen=True, slots=True)
class Leaf:
    """A billable answer: code number, its score, the term that matched, and the heading it came from (or -1)."""

    code: int
    score: float
    term: int
    heading: int


class Headings:
    """Which leaves stand below a code; computed once, as the codes are in tree order."""

    def __init__(self, index: PhraseIndex) -> None:
        self._index = index
        self._leaves = np.flatnonzero(index.codes.leaf).astype(np.int32)
        self._vague: npt.NDArray[np.bool_] | None = None
        self._below: dict[int, Ints] = {}
        self._kin: dict[int, tuple[list[int], list[int]]] = {}
        self._wider: dict[int, tuple[int, ...]] = {}

    def vague(self) -> npt.NDArray[np.bool_]:
        """(T,) True for terms that say "unspecified"."""
        if self._vague is None:
            self._vague = np.zeros(len(self._index.term_code), bool)
            number = self._index.vocabulary.get("unspecified")
            if number is not None:
                self._vague[self._index.postings_of(number)] = True
        return self._vague

    def leaves(self, code: int) -> Ints:
        known = self._below.get(code)
        if known is None:
            first, stop = np.searchsorted(self._leaves, (code, int(self._index.codes.last[code]) + 1))
            known = self._below[code] = self._leaves[first:stop]
        return known

    def kin(self, heading: int) -> tuple[list[int], list[int]]:
        """Leaves below `heading` (the first ones where they are many): the unspecified and other ones, and the rest."""
        known = self._kin.get(heading)
        if known is None:
            display = self._index.codes.display
            leaves = self.leaves(heading)[:_SHOWN].tolist()
            open_ = [n for n in leaves if display[n].lower().startswith(("unspec", "other"))]
            known = self._kin[heading] = (open_, [n for n in leaves if n not in open_])
        return known

    def better(self, code: int) -> tuple[int, ...]:
        """Headings among whose leaves one may say more than leaf `code`, which leaves something unsaid; else ()."""
        known = self._wider.get(code)
        if known is None:
            title = self._index.codes.display[code].lower()
            line = self._index.codes.ancestors(code)
            if any(mark in title for mark in _OPEN):
                line = [*line[:1], *line[-1:]]
            else:
                line = line[:1] if any(mark in title for mark in _OPEN_NEAR) else []
            found = dict.fromkeys(h for h in line if 1 < len(self.leaves(h)) <= _MANY)
            known = self._wider[code] = tuple(found)
        return known

    def tables(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """(leaves in tree order; for every code the first of its leaves and the one after the last; its two headings of
        `better`, -1 for none), for the compiled loops. The title of a code is the term of its number."""
        codes = self._index.codes
        numbers = np.arange(len(codes.code))
        first = np.searchsorted(self._leaves, numbers).astype(np.int32)
        last = np.searchsorted(self._leaves, codes.last + 1).astype(np.int32)
        wider = np.full((2, len(codes.code)), -1, np.int32)
        for code in self._leaves.tolist():
            for place, heading in enumerate(self.better(code)):
                wider[place, code] = heading
        return self._leaves, first, last, wider[0], wider[1]


def default_child(
    heading: int, term: int, base: float, headings: Headings, scored: Scored, query: Query,
    index: PhraseIndex, qualifiers: Qualifiers, weights: Weights,
) -> Leaf:  # fmt: skip
    """The leaf below `heading` that fits the query best. `base` is the score of `term`, which names the heading."""
    leaves = headings.leaves(heading)
    titles = index.codes.title[leaves]
    value = child_scores(titles, heading, term, headings, scored, query, index, qualifiers, weights)
    best = int(np.argmax(value))
    return Leaf(int(leaves[best]), capped(base + float(value[best])) - CHILD_COST, term, heading)


def child_scores(
    titles: Ints, heading: int, term: int, headings: Headings, scored: Scored, query: Query,
    index: PhraseIndex, qualifiers: Qualifiers, weights: Weights,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:  # fmt: skip
    """What each title adds to or takes from its heading's score: words asked for, unasked ones, contradictions."""
    new = scored.mask[titles] & ~scored.mask[term]
    gained = sums(new, query.weights) / max(query.total, 1e-6)
    own_title = int(index.codes.title[heading])
    asked = np.concatenate((index.tokens_of(own_title), index.tokens_of(term), query.ids))
    extra = index.extra_cost(titles, asked)
    flags = index.term_flags[titles] & ~index.term_flags[own_title] & ~index.term_flags[term]
    kept = sums(scored.mask[titles] & scored.mask[term], query.weights) / max(query.total, 1e-6)
    value = (
        gained
        + 0.1 * kept
        - 0.5 * weights.extra * extra / (extra + 1.0)
        - qualifiers.unasked(flags, query.flags)
    )
    attributes = index.term_attrs[titles] & ~index.term_attrs[own_title]
    value -= 2.0 * qualifiers.contradicted(attributes, query.attributes)
    value += VAGUE * headings.vague()[titles]
    value -= VOLUNTEERED * qualifiers.volunteered(attributes, query.attributes)
    return np.asarray(value, np.float32)


def better_sibling(
    leaf: Leaf, headings: Headings, scored: Scored, query: Query,
    index: PhraseIndex, qualifiers: Qualifiers, weights: Weights,
) -> Leaf:  # fmt: skip
    """The leaf beside `leaf` that has words of the query which the matched term lacks (a side, a stage, a part).

    "ulnar neuropathy" is known as G56.20 (unspecified limb); "ulnar neuropathy, L" belongs to its sibling G56.22.
    Siblings first, then the whole category.
    """
    everything = (1 << len(query.ids)) - 1
    if not everything & ~int(scored.mask[leaf.term]):
        return leaf
    for heading in headings.better(leaf.code):
        leaves = headings.leaves(heading)
        titles = index.codes.title[leaves]
        value = child_scores(titles, heading, leaf.term, headings, scored, query, index, qualifiers, weights)
        own = float(value[int(np.searchsorted(leaves, leaf.code))])
        best = int(np.argmax(value))
        new = int(scored.mask[titles[best]]) & ~int(scored.mask[leaf.term])
        if new and float(value[best]) > own + CHILD_COST and int(leaves[best]) != leaf.code:
            return Leaf(
                int(leaves[best]),
                capped(leaf.score + float(value[best]) - own) - CHILD_COST,
                leaf.term,
                heading,
            )
    return leaf


def capped(score: float) -> float:
    """At most 1, without making equal what is not: above .97 the scale is drawn together."""
    return score if score <= KNEE else KNEE + (1.0 - KNEE) * (1.0 - math.exp((KNEE - score) / 0.1))


class CodeRules:
    """ "history of" and "family history of" as codes, longest prefix first."""

    def __init__(self, rules: list[CodeRule]) -> None:
        self._rules = {rule.prefix: rule for rule in rules}

    def historical(self, code: str) -> str:
        """A code, "present" for a life-long condition, or "" (also where the table says "-": stop searching)."""
        return next((r.historical for r in self._along(code) if r.historical), "").strip("-")

    def family(self, code: str) -> str:
        return next((r.family for r in self._along(code) if r.family), "")

    def _along(self, code: str) -> list[CodeRule]:
        prefixes = (code[:end] for end in range(len(code), 0, -1))
        return [self._rules[p] for p in prefixes if p in self._rules]

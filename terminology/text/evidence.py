"""What the confidence is computed from: how well the first answer explains the phrase, and who stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from terminology.text.index import SOURCES, PhraseIndex

if TYPE_CHECKING:
    from terminology.text.problems import Ranked

# Every value is a plain number. "missed": tokens of the phrase that neither the term nor the code's title has;
# "unasked": tokens of the term that the phrase has not; "child": those of the title of a code chosen below a heading.
NAMES = (
    "score", "margin", "rival", "rival_heading", "crowd", "agree",
    "missed", "missed_most", "missed_count", "missed_number", "missed_unknown",
    "unasked", "unasked_most", "child_unasked", "child_most", "child",
    "headed", "head_missing", "matched", "matched_most", "overlap", "tokens",
    "prior", "shorthand", "level", "repaired", "part_decides", "broader",
    "exact_key", "title", "inclusion", "note", "lexicon", "import", "other", "unspecified", "status",
    "aimless", "votes", "votes_near", "kin", "kin_near", "abbreviation", "canonical", "repair",
)  # fmt: skip
HEADED, AIMLESS, EXACT_KEY = (NAMES.index(n) for n in ("headed", "aimless", "exact_key"))
_BESIDE = 0.12  # answers so near are counted
_CLOSE = 0.15  # terms so near are counted
_ALONE = 0.5  # the lead where nobody stands beside
_MOST_VOTES = 8
_CHEAP = 0.12  # what a token may cost and yet not count as a word of a name
# Names of operations and examinations (Greek and Latin endings: cutting out, opening, looking, writing, shaping ...).
_PROCEDURES = (
    "ectomy",
    "otomy",
    "ostomy",
    "oscopy",
    "graphy",
    "gram",
    "plasty",
    "centesis",
    "pexy",
    "rrhaphy",
    "metry",
)
_INDEX = {name: place for place, name in enumerate(SOURCES)}
_HAND = frozenset((_INDEX["lexicon"], _INDEX["map"], _INDEX["site"]))
_INCLUSIONS = frozenset((_INDEX["inclusion"], _INDEX["includes"]))


class Evidence:
    """Facts about rankings over one index. Pure but for what it works out about the index once."""

    def __init__(self, index: PhraseIndex) -> None:
        self._index = index
        self._category: list[int] = np.cumsum(index.codes.parent < 0).tolist()
        self._other = index.vocabulary.get("other", -1)
        self.no_problem_words: Callable[[], Iterable[str]] = tuple  # canonical; asked once, when first needed
        self._unspecified = index.vocabulary.get("unspecified", -1)

    @cached_property
    def standing(self) -> npt.NDArray[np.bool_]:
        """(V,) tokens that are a term by themselves, but for words that cost next to nothing."""
        return standing_tokens(self._index)

    @cached_property
    def _stands(self) -> bytes:
        return self.standing.tobytes()  # a byte is read faster than an item of an array

    @cached_property
    def aimless(self) -> frozenset[str]:
        """Canonical words that name no problem by themselves."""
        return frozenset(self.no_problem_words())

    @cached_property
    def _digits(self) -> frozenset[int]:
        return frozenset(i for t, i in self._index.vocabulary.items() if t[0].isdigit())

    def of(self, ranked: Ranked) -> tuple[float, ...]:
        """Values of NAMES for a ranking with at least one leaf and a query."""
        first, method = ranked.leaves[0], ranked.method
        source = int(self._index.term_source[first.term])
        code, title = self._index.codes.code[first.code], self._index.codes.display[first.code].lower()
        asked: list[int] = ranked.query.ids.tolist() if ranked.query else []
        steps = ranked.steps
        return (
            first.score + ranked.price, *self._beside(ranked), *self._words(ranked, asked),
            ranked.prior, float(any(s.startswith("shorthand") for s in steps)), float(ranked.level),
            ranked.repaired, ranked.price,
            float(any(s.startswith("site named") for s in steps)),
            float(first.score + ranked.price >= 0.999), float(source == 0), float(source in _INCLUSIONS),
            float(source == _INDEX["note"]), float(source in _HAND), float(source == _INDEX["import"]),
            float("other" in title.split() and self._other not in asked),
            float("unspecified" in title and self._unspecified not in asked), float(code[0] == "Z"),
            self._aimless(ranked.tokens), *self._votes(ranked),
            float(method == "abbreviation"), float(method == "canonical"), float(method == "repair"),
        )  # fmt: skip

    def _aimless(self, tokens: Sequence[str]) -> float:
        """Share of tokens that name a part, a test, a treatment, a place or a paper, and no problem."""
        known = self.aimless
        count = sum(
            len(t) == 1 or t[0].isdigit() or t.lstrip("~") in known or t.endswith(_PROCEDURES) for t in tokens
        )
        return count / len(tokens)

    def _words(self, ranked: Ranked, asked: list[int]) -> tuple[float, ...]:
        """From "missed" to "tokens"."""
        first, query, index, standing = ranked.leaves[0], ranked.query, self._index, self._stands
        assert query is not None
        total = max(query.total, 1e-6)
        term = index.tokens_of(first.term).tolist()
        title = index.tokens_of(int(index.codes.title[first.code])).tolist()
        lost, found = [0.25 if t[0].isdigit() or t[0] == "~" else 1.0 for t in query.unknown], []
        unknown, number = sum(lost), any(t[0].isdigit() for t in query.unknown)
        for token, weight in zip(asked, query.weights.tolist(), strict=True):
            if token in term or token in title:
                found.append(weight)
            else:
                lost.append(weight)
                number = number or token in self._digits
        unasked = [t for t in term if t not in asked]
        beyond = [t for t in title if t not in asked and t not in term] if first.heading >= 0 else ()
        return (
            min(1.0, sum(lost) / total), max(lost, default=0.0), float(min(len(lost), 4)), float(number),
            unknown / total, *self._costs(unasked), *self._child(ranked, beyond),
            float(any(standing[t] for t in asked)), float(any(standing[t] for t in unasked)),
            sum(found), max(found, default=0.0),
            (len(term) - len(unasked)) / max(1, len(asked) + len(unasked)), float(min(len(ranked.tokens), 8)),
        )  # fmt: skip

    def _child(self, ranked: Ranked, beyond: Sequence[int]) -> tuple[float, float, float]:
        heading = ranked.leaves[0].heading
        if heading < 0:
            return 0.0, 0.0, 0.0
        own = self._index.tokens_of(int(self._index.codes.title[heading])).tolist()
        return (*self._costs([t for t in beyond if t not in own]), 1.0)

    def _costs(self, tokens: Sequence[int]) -> tuple[float, float]:
        """Sum (at most 2) and largest of what tokens cost that nobody asked for."""
        if not tokens:
            return 0.0, 0.0
        costs = self._index.cost[tokens].tolist()
        return min(sum(costs), 2.0), max(costs)

    def _beside(self, ranked: Ranked) -> tuple[float, float, float, float, float]:
        """Lead over the next answer, over the next of another category and of another heading; how many answers are
        near; which share of them is of the same category."""
        leaves, parent, category = ranked.leaves, self._index.codes.parent, self._category
        first = leaves[0]
        own, heading = category[first.code], parent[first.code]
        margin = min(_ALONE, first.score - leaves[1].score) if len(leaves) > 1 else _ALONE
        rival = rival_heading = _ALONE
        near = same = 0
        for leaf in leaves[1:]:
            lead = first.score - leaf.score
            other = category[leaf.code] != own
            if other:
                rival = min(rival, lead)
            if parent[leaf.code] != heading:
                rival_heading = min(rival_heading, lead)
            if lead <= _BESIDE:
                near += 1
                same += not other
        return margin, rival, rival_heading, float(near), same / near if near else 1.0

    def _votes(self, ranked: Ranked) -> tuple[float, float, float, float]:
        """Terms found that name the same code (or its heading), all and near ones; share of the same category, too."""
        hits, first = ranked.hits, ranked.leaves[0]
        assert hits is not None
        own, heading, category = first.code, first.heading, self._category
        kind = category[own]
        least = float(hits.scores[0]) - _CLOSE
        votes = votes_near = kin = kin_near = near = 0
        for code, score in zip(self._index.term_code[hits.terms].tolist(), hits.scores.tolist(), strict=True):
            same, related = code in (own, heading), category[code] == kind
            votes += same
            kin += related
            if score >= least:
                near += 1
                votes_near += same
                kin_near += related
        return (
            float(min(votes, _MOST_VOTES)), float(min(votes_near, _MOST_VOTES)), kin / len(hits.terms),
            kin_near / max(1, near),
        )  # fmt: skip


def standing_tokens(index: PhraseIndex) -> npt.NDArray[np.bool_]:
    """(V,) True for tokens that alone name a code (of the chapters A to T), as "pneumonia" does and "lobe" does not."""
    costly = index.cost[index.forward] >= _CHEAP
    owner = np.repeat(np.arange(len(index.term_code)), np.diff(index.forward_indptr))
    alone = np.bincount(owner[costly], minlength=len(index.term_code)) == 1
    status = np.array([code[:1] in "UVWXYZ" for code in index.codes.code], bool)
    alone &= ~status[index.term_code] & (index.term_source != _INDEX["import"])
    found: npt.NDArray[Any] = np.zeros(len(index.vocabulary), bool)
    found[index.forward[costly & alone[owner]]] = True
    return found

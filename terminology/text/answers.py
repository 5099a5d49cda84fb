"""From ranked leaves to a CodingDecision: candidates with probabilities, headings, SNOMED CT, 7th characters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from terminology.decision import Assertion, Candidate, CodingDecision, Kind
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.text.evidence import AIMLESS, EXACT_KEY, HEADED
from terminology.text.index import SOURCES
from terminology.text.notes import Notes
from terminology.text.problems import Ranked, Ranker
from terminology.text.rank import confidence
from terminology.text.rules import Leaf
from terminology.text.snomed import SnomedLinks

_METHODS = {"canonical": "exact", "repair": "retrieval", "history": "retrieval", "import": "lexicon"}
_BY_SOURCE = {"lexicon": "lexicon", "map": "map", "site": "lexicon"}
_SEVENTH = "STVWXYMOEH"  # the chapters whose codes carry 7th characters
_UNSURE = ("retrieval", "repair", "import")
_HARDLY, _NOTHING, _AIMLESS = 0.4, 0.3, 0.1
_SHOWN = 5  # candidates that are shown at least, where the heading has so many codes
_FALL = 8  # how fast the probability of lower candidates falls with their score


def abstention(
    text: str,
    kind: Kind,
    reason: str,
    release: str,
    *,
    span: tuple[int, int] | None = None,
    steps: tuple[str, ...] = (),
) -> CodingDecision:
    return CodingDecision(
        text, kind, span or (0, len(text)), "present", (), (), 0.0, "abstain", reason, steps, (), release
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """Writes decisions for one vocabulary."""

    ranker: Ranker
    links: SnomedLinks
    notes: Notes
    release: str
    kind: Kind

    def decision(
        self, text: str, span: tuple[int, int], assertion: Assertion, ranked: Ranked, steps: tuple[str, ...]
    ) -> CodingDecision:
        """A decision, or an abstention with its candidates when the best is not likely enough."""
        if not ranked.leaves:
            return abstention(
                text, self.kind, "nothing similar in the vocabulary", self.release, span=span, steps=steps
            )
        facts = self.ranker.evidence.of(ranked) if ranked.query is not None else ()
        probability = confidence(ranked, facts, self.ranker.weights)
        if ranked.covered < _HARDLY or (
            len(ranked.tokens) == 1 and facts and not facts[HEADED] and ranked.method in _UNSURE
        ):
            probability = min(
                probability, _NOTHING
            )  # most of it unknown, or one word that names no problem by itself
        if facts and facts[AIMLESS] == 1.0 and not (facts[EXACT_KEY] and ranked.method != "import"):
            probability = min(probability, _AIMLESS)  # "optic nerve", "lipid panel", "metoprolol"
        candidates = self._candidates(ranked, probability)
        steps = (*steps, f"matched: {candidates[0].matched}")
        if probability < self.ranker.weights.abstain:
            return CodingDecision(
                text, self.kind, span, assertion, (), candidates, probability, "abstain",
                "no candidate is likely enough", steps, (), self.release,
            )  # fmt: skip
        chosen, headings = self._chosen(ranked, candidates[0])
        return CodingDecision(
            text, self.kind, span, assertion, chosen, candidates, probability, self._method(ranked), "", steps,
            headings, self.release, self._details(ranked),
        )  # fmt: skip

    def _method(self, ranked: Ranked) -> str:
        method = _METHODS.get(ranked.method, ranked.method)
        source = SOURCES[int(self.ranker.index.term_source[ranked.leaves[0].term])]
        return _BY_SOURCE.get(source, method) if method == "exact" else method

    def _candidates(self, ranked: Ranked, probability: float) -> tuple[Candidate, ...]:
        best = max(ranked.leaves[0].score, 1e-6)
        found = [self._candidate(ranked.leaves[0], probability)]
        for place, leaf in enumerate(ranked.leaves[1:], start=2):
            share = (1.0 - probability) * max(0.0, min(1.0, leaf.score / best)) ** _FALL / place
            found.append(self._candidate(leaf, min(probability, share)))
        if len(found) < _SHOWN:
            found += self._kin(ranked, (1.0 - probability) / (4 * _SHOWN), _SHOWN - len(found))
        return tuple(found)

    def _kin(self, ranked: Ranked, share: float, count: int) -> list[Candidate]:
        """Other codes of the first answer's heading, the unspecified and the other ones first: what a person who
        does not agree will most likely want to see."""
        codes, first = self.ranker.index.codes, ranked.leaves[0]
        parent = int(codes.parent[first.code])
        if parent < 0:
            return []
        taken = {leaf.code for leaf in ranked.leaves}
        score = max(0.0, min(leaf.score for leaf in ranked.leaves) - 0.3)
        found: list[Candidate] = []
        for group in self.ranker.headings.kin(parent):
            for number in nearest(group, first.code):
                if number not in taken:
                    found.append(
                        self._candidate(Leaf(number, score, int(codes.title[number]), parent), share)
                    )
                if len(found) == count:
                    return found
        return found

    def _candidate(self, leaf: Leaf, share: float) -> Candidate:
        codes = self.ranker.index.codes
        return Candidate(
            codes.system[leaf.code], codes.code[leaf.code], codes.display[leaf.code], round(share, 4),
            round(leaf.score, 4), self.ranker.index.texts[leaf.term],
        )  # fmt: skip

    def _chosen(
        self, ranked: Ranked, first: Candidate
    ) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
        codes = self.ranker.index.codes
        leaf = ranked.leaves[0]
        heading = leaf.heading if leaf.heading >= 0 else int(codes.parent[leaf.code])
        headings: tuple[Candidate, ...] = ()
        if heading >= 0:
            headings = (Candidate(ICD10CM, codes.code[heading], codes.display[heading], first.confidence),)
        snomed = self.links.find(ranked.tokens, first.code) if first.system != SNOMED else None
        if snomed is None:
            return (first,), headings
        other = Candidate(SNOMED, snomed.code, snomed.display, first.confidence, first.score, snomed.term)
        return (first, other), headings

    def _details(self, ranked: Ranked) -> tuple[tuple[str, str], ...]:
        codes, code = self.ranker.index.codes, ranked.leaves[0].code
        if codes.code[code][0] not in _SEVENTH:
            return tuple(("additional-code", other) for other in ranked.also)
        return tuple(("seventh-character", letter) for letter in self.notes.seventh([codes.code[code]]))


def nearest(numbers: Sequence[int], middle: int) -> Iterator[int]:
    """Ascending `numbers` by their distance to `middle`; of two equally near the smaller first."""
    above = bisect_left(numbers, middle)
    below = above - 1
    while below >= 0 or above < len(numbers):
        if above >= len(numbers) or (below >= 0 and middle - numbers[below] <= numbers[above] - middle):
            yield numbers[below]
            below -= 1
        else:
            yield numbers[above]
            above += 1

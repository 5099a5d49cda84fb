"""Small vocabularies (laboratory names, allergens): the same ranking as problems, without coding rules."""

from __future__ import annotations

from terminology.decision import Candidate, CodingDecision, Kind
from terminology.text.answers import abstention
from terminology.text.coder import Engine
from terminology.text.index import canonical_key
from terminology.text.normalise import fold, raw_tokens
from terminology.text.problems import Ranker
from terminology.text.rank import confidence

_MIN_COVERED = 0.75  # an uncovered word ("urine", "24 hour") makes it another test


class PlainEngine(Engine):
    """One text, one code of `ranker`'s vocabulary, or an abstention."""

    def __init__(self, ranker: Ranker, release: str, kind: Kind) -> None:
        self.ranker, self.release, self.kind = ranker, release, kind

    def code(self, text: str) -> CodingDecision:
        folded, offsets = fold(text)
        tokens = raw_tokens(folded)
        if not any(t[0].isalpha() for t, _, _ in tokens):
            return abstention(text, self.kind, "no words" if text.strip() else "empty", self.release)
        index = self.ranker.index
        term = index.literal.get(folded.strip())
        if term is not None:
            first = self._candidate(int(index.term_code[term]), 1.0, 0.99, index.texts[term])
            return self._answer(text, (first,), "exact", ())
        ranked = self.ranker.rank(text if offsets is None else folded, tokens)
        if not ranked.leaves:
            return abstention(
                text, self.kind, "nothing similar in the vocabulary", self.release, steps=ranked.steps
            )
        probability = confidence(ranked, self.ranker.evidence.of(ranked), self.ranker.weights)
        if canonical_key(ranked.tokens) not in index.canonical and ranked.covered < _MIN_COVERED:
            probability = min(probability, 0.2)
        found = tuple(
            self._candidate(leaf.code, leaf.score, probability if not place else 0.0, index.texts[leaf.term])
            for place, leaf in enumerate(ranked.leaves)
        )
        if probability < max(0.5, self.ranker.weights.abstain):
            return CodingDecision(
                text, self.kind, (0, len(text)), "present", (), found, probability, "abstain",
                "no candidate is likely enough", ranked.steps, (), self.release,
            )  # fmt: skip
        return self._answer(text, found, "retrieval", ranked.steps)

    def code_all(self, text: str) -> tuple[CodingDecision, ...]:
        return (self.code(text),)

    def _candidate(self, code: int, score: float, probability: float, matched: str) -> Candidate:
        codes = self.ranker.index.codes
        return Candidate(
            codes.system[code],
            codes.code[code],
            codes.display[code],
            round(probability, 4),
            round(score, 4),
            matched,
        )

    def _answer(
        self, text: str, found: tuple[Candidate, ...], method: str, steps: tuple[str, ...]
    ) -> CodingDecision:
        return CodingDecision(
            text, self.kind, (0, len(text)), "present", found[:1], found, found[0].confidence, method, "",
            (*steps, f"matched: {found[0].matched}"), (), self.release,
        )  # fmt: skip

"""Several problems in one text: lists ("T2DM w/ CKD 3b, HTN, no hx of MI"), sentences and notes with sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from terminology.decision import Assertion, Candidate, CodingDecision
from terminology.importers.rows import ICD10CM
from terminology.text.combinations import checked
from terminology.text.context import Hit
from terminology.text.mentions import (
    Scanner,
    Sentence,
    causes,
    has_with,
    items,
    parts,
    sentences,
    unslashed,
    without_numbers,
)
from terminology.text.normalise import fold, original_span, raw_tokens
from terminology.text.sections import section_of

if TYPE_CHECKING:
    from terminology.text.problem_engine import ProblemEngine

Token = tuple[str, int, int]
_SURE = 0.9  # a whole item with this score is not taken apart
_LIKELY = 0.6
_MEMO = 50_000


class ProblemText:
    def __init__(self, engine: ProblemEngine) -> None:
        self._engine = engine
        ranker = engine.ranker
        self._scanner = Scanner(ranker.index, ranker.canon, ranker.shorthand)
        self._memo: dict[tuple[str, Assertion, str], CodingDecision] = {}

    def code_all(self, text: str) -> tuple[CodingDecision, ...]:
        """Decisions in order of their spans, which point into `text`."""
        folded, offsets = fold(text)
        folded = without_numbers(folded)
        same = without_numbers(text) if offsets is None else folded
        tokens = unslashed(raw_tokens(folded), self._known)
        found: list[CodingDecision] = []
        section = ""
        for sentence in sentences(same, tokens):
            section, first = section_of(tokens, sentence.first, sentence.last, section)
            rest = replace(sentence, first=first)
            if rest.first < rest.last:
                found += self._sentence(same, tokens[rest.first : rest.last], rest, section)
        placed = (replace(d, text=text, span=original_span(d.span, offsets)) for d in found)
        return checked(tuple(placed), self._engine.answers.notes, self._engine.ranker.index.codes)

    def _known(self, word: str) -> bool:
        ranker = self._engine.ranker
        return ranker.shorthand.knows(word) or word in ranker.index.literal

    def _sentence(
        self, same: str, tokens: Sequence[Token], sentence: Sentence, section: str
    ) -> list[CodingDecision]:
        hits = self._engine.context.hits(tokens, in_list=not sentence.prose)
        if sentence.prose:
            return self._prose(same, tokens, hits, section)
        found: list[CodingDecision] = []
        for first, last in items(tokens, 0, len(tokens)):
            found += self._item(same, tokens, first, last, hits, section)
        return found

    def _prose(
        self, same: str, tokens: Sequence[Token], hits: Sequence[Hit], section: str
    ) -> list[CodingDecision]:
        cues = {i for h in hits for i in range(h.start, h.end)}
        found: list[CodingDecision] = []
        for mention in self._scanner.scan(same, tokens):
            if any(i in cues for i in range(mention.first, mention.last)):
                continue
            decision = self._mention(same, tokens, mention.first, mention.last, hits, section)
            if decision.chosen:
                found.append(decision)
        return found

    def _item(
        self, same: str, tokens: Sequence[Token], first: int, last: int, hits: Sequence[Hit], section: str
    ) -> list[CodingDecision]:
        whole = self._mention(same, tokens, first, last, hits, section)
        if beside := self._beside(whole):
            return [whole, *beside]
        ranges = parts(tokens, first, last)
        if len(ranges) == 1:
            because = causes(tokens, first, last)
            return [whole] if len(because) == 1 else self._causes(same, tokens, whole, because, hits, section)
        pieces = [self._mention(same, tokens, a, b, hits, section) for a, b in ranges]
        if whole.chosen and whole.candidates[0].score >= _SURE and not _swallowed(whole, pieces):
            if not has_with(tokens, first, last):
                return [whole]
            return [whole, *(p for p in pieces if p.chosen and self._asked(whole, p))]
        if all(p.chosen for p in pieces) and min(p.confidence for p in pieces) > 0.5:
            return pieces
        if whole.chosen:
            return [whole]
        return [p for p in pieces if p.chosen] or [whole]

    def _causes(
        self, same: str, tokens: Sequence[Token], whole: CodingDecision, ranges: Sequence[tuple[int, int]],
        hits: Sequence[Hit], section: str,
    ) -> list[CodingDecision]:  # fmt: skip
        """ "cirrhosis 2/2 hep C": both, where no code says it in one."""
        if whole.chosen and whole.confidence >= _LIKELY:
            return [whole]
        pieces = [self._mention(same, tokens, a, b, hits, section) for a, b in ranges]
        return [p for p in pieces if p.chosen] or [whole]

    def _beside(self, whole: CodingDecision) -> list[CodingDecision]:
        """Decisions for the codes that belong beside the first of `whole`: secondary tumours."""
        found = []
        for code in (text for name, text in whole.details if name == "additional-code"):
            other = Candidate(ICD10CM, code, self._engine.display(code) or "", whole.confidence)
            found.append(replace(whole, chosen=(other,), candidates=(other,), headings=(), details=()))
        return found

    def _asked(self, whole: CodingDecision, piece: CodingDecision) -> bool:
        """Whether the notes of the whole's code ask for the piece's code too (E11.22: use additional N18.-)."""
        codes = self._engine.ranker.index.codes
        number = codes.number.get(whole.chosen[0].code)
        if number is None or piece.chosen[0].code == whole.chosen[0].code:
            return False
        line = [codes.code[n] for n in (number, *codes.ancestors(number))]
        return self._engine.answers.notes.asks_for(line, piece.chosen[0].code)

    def _mention(
        self, same: str, tokens: Sequence[Token], first: int, last: int, hits: Sequence[Hit], section: str
    ) -> CodingDecision:
        outer = [h for h in hits if h.end <= first or h.start >= last]
        assertion, cue = self._engine.context.assertion(outer, first, last)
        if assertion == "present" and section:
            assertion, cue = _SECTIONS.get(section, "present"), f"section {section}"
        span = (tokens[first][1], tokens[last - 1][2])
        key = (same[span[0] : span[1]], assertion, section)
        known = self._memo.get(key)
        if known is None:
            known = self._engine.decide("", same, tokens[first:last], span, (assertion, cue))
            if section:
                known = replace(known, details=(*known.details, ("section", section)))
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            self._memo[key] = known
        return known if known.span == span else replace(known, span=span)


_SECTIONS: dict[str, Assertion] = {"family": "family", "past": "historical", "plan": "present"}


def _swallowed(whole: CodingDecision, pieces: Sequence[CodingDecision]) -> bool:
    """ "asthma and allergic rhinitis": the whole says no more than one of its parts, and another part is as sure."""
    if len(pieces) < 2 or not all(p.chosen and p.confidence >= _SURE for p in pieces):
        return False
    codes = {p.chosen[0].code for p in pieces}
    return whole.chosen[0].code in codes and len({c[:3] for c in codes}) == len(pieces)

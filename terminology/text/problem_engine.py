"""Problems: from a phrase, through assertion, ranking and coding rules, to a decision with calibrated confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from terminology.decision import Assertion, Candidate, CodingDecision, Kind
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.text.coder import Engine, abstention
from terminology.text.context import Context, Hit
from terminology.text.index import SOURCES, canonical_key
from terminology.text.normalise import fold, original_span, raw_tokens
from terminology.text.problems import Ranked, Ranker
from terminology.text.rank import Evidence, confidence
from terminology.text.rules import CodeRules, Leaf
from terminology.text.snomed import SnomedLinks
from terminology.text.words import BOUNDARIES

Token = tuple[str, int, int]
_HISTORY: tuple[Assertion, ...] = ("historical", "family")
_METHODS = {"canonical": "exact", "repair": "retrieval", "history": "retrieval"}


@dataclass(frozen=True, slots=True)
class Mention:
    """What is left of a phrase when the assertion cues are off: raw tokens [first, last), assertion, its cue."""

    first: int
    last: int
    assertion: Assertion
    cue: str


class ProblemEngine(Engine):
    def __init__(
        self,
        ranker: Ranker,
        context: Context,
        rules: CodeRules,
        links: SnomedLinks,
        release: str,
        kind: Kind = "problem",
    ) -> None:
        self.ranker, self.context, self.rules, self.links = ranker, context, rules, links
        self.release, self.kind = release, kind
        self._known: dict[str, CodingDecision] = {}  # exact answers; bounded by the size of the vocabulary

    def code(self, text: str) -> CodingDecision:
        folded, offsets = fold(text)
        key = folded.strip()
        known = self._known.get(key)
        if known is None:
            term = self.ranker.index.literal.get(key)
            if term is not None and self.ranker.index.codes.leaf[self.ranker.index.term_code[term]]:
                known = self._known[key] = self._exact(key, term)
        if known is not None:
            return CodingDecision(
                text, self.kind, (0, len(text)), known.assertion, known.chosen, known.candidates, known.confidence,
                known.method, known.reason, known.steps, known.headings, self.release, known.details,
            )  # fmt: skip
        tokens = raw_tokens(folded)
        if not any(t[0].isalpha() for t, _, _ in tokens):
            return abstention(text, self.kind, "no words" if text.strip() else "empty", self.release)
        same = text if offsets is None else folded
        return self.decide(text, folded, same, tokens, (0, len(text)))

    def decide(
        self, text: str, folded: str, same: str, tokens: Sequence[Token], span: tuple[int, int]
    ) -> CodingDecision:
        """`same` is the text as typed where it has the length of `folded` (for capitals)."""
        hits = self.context.hits(tokens)
        mention = _strip(tokens, hits, self.context)
        if mention.first >= mention.last:
            return abstention(text, self.kind, "only a cue, no condition", self.release, span=span)
        core = tokens[mention.first : mention.last]
        if mention.cue and (whole := self._whole(folded, same, tokens)):
            ranked = whole
            mention = replace(mention, assertion=_whole_assertion(mention.assertion))
        else:
            ranked = self.ranker.rank(folded, same, core)
            if mention.assertion in _HISTORY:
                ranked = self._history(ranked, mention, core, folded, same)
        return self._decision(text, span, mention, ranked)

    def _whole(self, folded: str, same: str, tokens: Sequence[Token]) -> Ranked | None:
        """The phrase with its cue, when the vocabulary has exactly that ("history of falling")."""
        ranked = self.ranker.rank(folded, same, tokens)
        if ranked.leaves and ranked.tokens and canonical_key(ranked.tokens) in self.ranker.index.canonical:
            return ranked
        return None

    def _history(
        self, ranked: Ranked, mention: Mention, core: Sequence[Token], folded: str, same: str
    ) -> Ranked:
        """The Z code of "history of X" or "family history of X", by rule, else by the title with those words."""
        if not ranked.leaves:
            return ranked
        index = self.ranker.index
        rule = self.rules.historical if mention.assertion == "historical" else self.rules.family
        target = rule(index.codes.code[ranked.leaves[0].code])
        step = f"{mention.cue}: {index.codes.code[ranked.leaves[0].code]} -> {target}"
        if target == "present" or (index.codes.code[ranked.leaves[0].code][0] == "Z" and not target):
            return ranked
        number = index.codes.number.get(target)
        if number is not None:
            first = ranked.leaves[0]
            leaves = (Leaf(number, first.score, first.term, -1), *ranked.leaves)
            return Ranked(leaves, ranked.method, ranked.covered, ranked.prior, ranked.repaired, ranked.tokens,
                          (*ranked.steps, step))  # fmt: skip
        return ranked

    def _decision(self, text: str, span: tuple[int, int], mention: Mention, ranked: Ranked) -> CodingDecision:
        steps = ranked.steps if not mention.cue else (*ranked.steps, f"{mention.assertion}: {mention.cue}")
        if not ranked.leaves:
            return abstention(
                text, self.kind, "nothing similar in the vocabulary", self.release, span=span, steps=steps
            )
        probability = confidence(evidence(ranked), ranked.method, self.ranker.weights)
        candidates = self._candidates(ranked, probability)
        steps = (*steps, f"matched: {candidates[0].matched}")
        assertion = mention.assertion
        if assertion == "historical" and self.rules.historical(candidates[0].code) == "present":
            assertion, steps = "present", (*steps, "life-long condition: history of it is having it")
        if probability < self.ranker.weights.abstain:
            return CodingDecision(
                text, self.kind, span, assertion, (), candidates, probability, "abstain",
                "no candidate is likely enough", steps, (), self.release,
            )  # fmt: skip
        chosen, headings = self._chosen(ranked, candidates[0])
        method = _METHODS.get(ranked.method, ranked.method)
        source = SOURCES[int(self.ranker.index.term_source[ranked.leaves[0].term])]
        if method == "exact" and source in ("lexicon", "map", "site"):
            method = "map" if source == "map" else "lexicon"
        return CodingDecision(
            text,
            self.kind,
            span,
            assertion,
            chosen,
            candidates,
            probability,
            method,
            "",
            steps,
            headings,
            self.release,
        )

    def _candidates(self, ranked: Ranked, probability: float) -> tuple[Candidate, ...]:
        best = ranked.leaves[0].score
        found: list[Candidate] = []
        rest = 1.0 - probability
        for place, leaf in enumerate(ranked.leaves):
            share = (
                probability
                if place == 0
                else min(probability, rest * max(0.0, leaf.score / max(best, 1e-6)) ** 8 / (place + 1))
            )
            found.append(self._candidate(leaf, share))
        return tuple(found)

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
        snomed = self.links.find(ranked.tokens, first.code)
        if snomed is None or first.system == SNOMED:
            return (first,), headings
        return (
            first,
            Candidate(SNOMED, snomed.code, snomed.display, first.confidence, first.score, snomed.term),
        ), headings

    def _exact(self, text: str, term: int) -> CodingDecision:
        raw = raw_tokens(text)
        assertion = _whole_assertion(_strip(raw, self.context.hits(raw), self.context).assertion)
        index = self.ranker.index
        code = int(index.term_code[term])
        leaf = Leaf(code, 1.0, term, -1)
        source = SOURCES[int(index.term_source[term])]
        tokens = tuple(self.ranker.canon.of(index.texts[term].lower()))
        ranked = Ranked((leaf,), "exact", 1.0, 1.0, 0.0, tokens, ())
        probability = confidence(evidence(ranked), "exact", self.ranker.weights)
        first = self._candidate(leaf, probability)
        chosen, headings = self._chosen(ranked, first)
        method = {"lexicon": "lexicon", "map": "map", "site": "lexicon"}.get(source, "exact")
        steps = (f"matched: {index.texts[term]} ({source})",)
        if (
            assertion == "historical"
            and first.code[0] != "Z"
            and self.rules.historical(first.code) == "present"
        ):
            assertion = "present"
        return CodingDecision(
            text, self.kind, (0, len(text)), assertion, chosen, (first,), probability, method, "", steps, headings,
            self.release,
        )  # fmt: skip


def evidence(ranked: Ranked) -> Evidence:
    """What the calibration sees of a ranking with at least one leaf."""
    first = ranked.leaves[0]
    second = ranked.leaves[1].score if len(ranked.leaves) > 1 else 0.0
    return Evidence(
        first.score, first.score - second, ranked.covered, ranked.prior, ranked.repaired, first.heading >= 0,
        len(ranked.tokens),
    )  # fmt: skip


def _whole_assertion(assertion: Assertion) -> Assertion:
    """A title that contains its own cue ("never smoker", "history of falling") is present, or tells of the past."""
    return assertion if assertion in _HISTORY else "present"


def _strip(tokens: Sequence[Token], hits: Sequence[Hit], context: Context) -> Mention:
    """Take cues off both ends; a cue in the middle ("migraine without aura") belongs to the phrase."""
    first, last = 0, len(tokens)
    moved = True
    while moved:
        moved = False
        while first < last and tokens[first][0] in BOUNDARIES:
            first += 1
        while first < last and tokens[last - 1][0] in BOUNDARIES:
            last -= 1
        for hit in hits:
            if hit.start == first and hit.first >= hit.end:
                first, moved = hit.end, True
            elif hit.end == last and hit.last <= hit.start and hit.start > first:
                last, moved = hit.start, True
    outer = [h for h in hits if h.end <= first or h.start >= last]
    assertion, cue = context.assertion(outer, first, last)
    return Mention(first, last, assertion, cue)


__all__ = ["Mention", "ProblemEngine", "evidence", "original_span"]

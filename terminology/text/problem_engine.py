"""Problems: from a phrase, through assertion, ranking and coding rules, to a decision with calibrated confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from terminology.decision import Assertion, CodingDecision
from terminology.text import spread
from terminology.text.answers import Answers, abstention
from terminology.text.coder import Engine
from terminology.text.context import Context, Hit
from terminology.text.index import SOURCES, canonical_key
from terminology.text.normalise import fold, raw_tokens
from terminology.text.problem_text import ProblemText
from terminology.text.problems import Ranked, Ranker
from terminology.text.rules import CodeRules, Leaf
from terminology.text.vocabulary import without_seventh
from terminology.text.words import BOUNDARIES

Token = tuple[str, int, int]
_CUTS = {",": 0.2, ";": 0.1, "(": 0.2, "with": 0.3, "w/": 0.3, "s/p": 0.1, "on": 0.2, ":": 0.25}
_CUTS |= dict.fromkeys(("d/t", "2/2", "due", "secondary"), 0.3)
_SPREAD = (
    "mets",
    "metastases",
    "metastasis",
    "metastatic",
)  # "colon CA w/ liver mets": the primary is named first
_SURE, _SURE_HEAD = 0.9, 0.97
_MANY = 1_000  # texts asked one by one from which loading the compiled ranker is worth its second
_YEAR = "a year"
_EVENTS = ("I21", "I22", "I26", "I60", "I61", "I63", "G45")  # with a year these are past events ("MI 2010")
_HISTORY: tuple[Assertion, ...] = ("historical", "family")


@dataclass(frozen=True, slots=True)
class Mention:
    """What is left of a phrase when the assertion cues are off: raw tokens [first, last), assertion, its cue."""

    first: int
    last: int
    assertion: Assertion
    cue: str


class ProblemEngine(Engine):
    """Kinds "problem" and "social"."""

    def __init__(self, ranker: Ranker, context: Context, rules: CodeRules, answers: Answers) -> None:
        self.ranker, self.context, self.rules, self.answers = ranker, context, rules, answers
        self.kind, self.release = answers.kind, answers.release
        self._known: dict[str, CodingDecision] = {}  # exact answers; bounded by the size of the vocabulary
        self._text: ProblemText | None = None
        self._batches: ProblemEngine | None = None
        self._compiled = False  # this is the engine of another that keeps the compiled ranker
        self._asked = 0
        self._lock = Lock()

    def code(self, text: str) -> CodingDecision:
        folded, offsets = fold(text)
        known = self._exact(folded.strip())
        if known is not None:
            return CodingDecision(
                text, self.kind, (0, len(text)), known.assertion, known.chosen, known.candidates, known.confidence,
                known.method, "", known.steps, known.headings, self.release, known.details,
            )  # fmt: skip
        tokens = raw_tokens(folded)
        if not any(t[0].isalpha() for t, _, _ in tokens):
            return abstention(text, self.kind, "no words" if text.strip() else "empty", self.release)
        return self.decide(text, text if offsets is None else folded, tokens, (0, len(text)))

    def display(self, code: str) -> str | None:
        codes = self.ranker.index.codes
        number = codes.number.get(code, codes.number.get(without_seventh(code), -1))
        return codes.display[number] if number >= 0 else None

    def code_many(self, texts: Sequence[str]) -> list[CodingDecision]:
        """One batch at a time: the compiled ranker keeps buffers of its own. Same answers as `code`."""
        with self._lock:
            code = self._quick().code
            return [code(text) for text in texts]

    def _quick(self) -> ProblemEngine:
        """The engine with the compiled ranker; loading it takes a second. Only for who holds the lock."""
        if self._batches is None:
            ranker = self.ranker.for_batches()
            answers = replace(self.answers, ranker=ranker)
            self._batches = ProblemEngine(ranker, self.context, self.rules, answers)
            self._batches._known, self._batches._compiled = self._known, True
        return self._batches

    def code_all(self, text: str) -> tuple[CodingDecision, ...]:
        if self._text is None:
            self._text = ProblemText(self)
        return self._text.code_all(text)

    def decide(
        self,
        text: str,
        same: str,
        tokens: Sequence[Token],
        span: tuple[int, int],
        around: tuple[Assertion, str] = ("present", ""),
    ) -> CodingDecision:
        """One mention. `same` is the text as typed where it has the folded text's length (for capitals); the places of
        `tokens` point into it. `around` is what the rest of the sentence says about the mention.

        Who asked a thousand texts will ask more: from then on the compiled ranker answers (the same)."""
        self._asked += 1
        if self._compiled or self._asked < _MANY:
            return self._decide(text, same, tokens, span, around)
        with self._lock:
            return self._quick()._decide(text, same, tokens, span, around)

    def _decide(
        self,
        text: str,
        same: str,
        tokens: Sequence[Token],
        span: tuple[int, int],
        around: tuple[Assertion, str],
    ) -> CodingDecision:
        mention = strip(tokens, self.context.hits(tokens), self.context)
        if mention.assertion == "present" and around[0] != "present":
            mention = replace(mention, assertion=around[0], cue=around[1])
        if mention.assertion == "present" and any(_is_year(t) for t, _, _ in tokens):
            mention = replace(mention, assertion="historical", cue=_YEAR)
        if mention.first >= mention.last:
            return abstention(text, self.kind, "only a cue, no condition", self.release, span=span)
        ranked = self._headed(same, tokens[mention.first : mention.last])
        whole = self._whole(same, tokens, ranked) if len(tokens) > mention.last - mention.first else None
        if whole is not None and mention.assertion == "absent" and mention.first > 0:
            said = self.ranker.index.texts[whole.leaves[0].term].lower()
            if not said.startswith(tokens[0][0]):
                whole = None  # "no N/V" denies both; it is not "vomiting without nausea"
        if whole is not None:
            ranked, mention = whole, replace(mention, assertion=_whole_assertion(mention.assertion))
        return self._asserted(text, span, mention, ranked, whole is not None)

    def _asserted(
        self, text: str, span: tuple[int, int], mention: Mention, ranked: Ranked, whole: bool
    ) -> CodingDecision:
        """History and family codes by rule; a life-long condition stays present."""
        steps = (*ranked.steps, f"{mention.assertion}: {mention.cue}") if mention.cue else ranked.steps
        assertion = mention.assertion
        if not whole and assertion in _HISTORY and ranked.leaves:
            codes = self.ranker.index.codes
            found = codes.code[ranked.leaves[0].code]
            target = self.rules.historical(found) if assertion == "historical" else self.rules.family(found)
            if mention.cue == _YEAR and (target in ("", "present") or found[:3] not in _EVENTS):
                assertion = "present"
            elif target == "present":
                assertion = "present"
                steps = (*steps, "life-long condition: history of it is having it")
            elif target in codes.number:
                first = ranked.leaves[0]
                leaf = Leaf(codes.number[target], first.score, first.term, -1)
                rest = (x for x in ranked.leaves if x.code != leaf.code)
                method = "history" if ranked.query is None else ranked.method
                ranked = replace(ranked, leaves=(leaf, *rest), method=method, also=())
                steps = (*steps, f"{mention.cue}: {found} -> {target}")
        return self.answers.decision(text, span, assertion, ranked, steps)

    def _headed(self, same: str, tokens: Sequence[Token]) -> Ranked:
        """Rank the phrase; when its first part alone is a sure hit and the whole is none, the first part decides
        ("prostate CA, s/p prostatectomy")."""
        index = self.ranker.index
        words = same[tokens[0][1] : tokens[-1][2]].lower()
        literal = index.literal.get(words)
        if literal is not None and self._sayable(literal) and not self.ranker.shorthand.ambiguous(words):
            return self._literal(literal)
        if any(t in spread.SPREAD for t, _, _ in tokens):
            spreading = spread.ranked(same, tokens, self.ranker.rank, index.codes.code.__getitem__)
            if spreading is not None:
                return spreading
        ranked = self.ranker.rank(same, tokens)
        cut = next((i for i, (t, _, _) in enumerate(tokens) if i and t in _CUTS), 0)
        procedure = (
            bool(cut) and "s/p" in {t for t, _, _ in tokens[cut : cut + 2]} and not _one_phrase(ranked)
        )
        if not cut or (ranked.leaves and ranked.leaves[0].score >= _SURE and not procedure):
            return ranked
        head = self.ranker.rank(same, tokens[:cut])
        if not head.leaves or head.leaves[0].score < _SURE_HEAD:
            return ranked
        if self._aimless(
            same, tokens[cut + 1 :], unknown=tokens[cut][0] == "on"
        ):  # "RA on MTX": what follows names no problem
            return head
        price = 0.1 if any(t in _SPREAD for t, _, _ in tokens[cut:]) else _CUTS[tokens[cut][0]]
        if ranked.leaves and ranked.leaves[0].score >= head.leaves[0].score - price and not procedure:
            return ranked
        lowered = tuple(replace(x, score=x.score - price) for x in head.leaves)
        seen = {x.code for x in lowered}
        top = lowered[0].score
        rest = (replace(x, score=min(x.score, top - 0.01)) for x in ranked.leaves if x.code not in seen)
        both = sorted((*lowered, *rest), key=lambda x: (-x.score, x.code))
        steps = (*head.steps, f"first part decides: {' '.join(t for t, _, _ in tokens[:cut])}")
        return replace(head, leaves=tuple(both[:10]), method="retrieval", steps=steps, price=price)

    def _aimless(self, same: str, tokens: Sequence[Token], *, unknown: bool) -> bool:
        """Whether all words are of drugs, parts, tests and the like, or (where that is allowed) of no term at all."""
        reading = self.ranker.shorthand.readings(tokens, same)[0]
        words, known = self.ranker.canon.tokens(reading.words), self.ranker.evidence.aimless
        vocabulary = self.ranker.index.vocabulary
        return bool(words) and all(w in known or (unknown and w not in vocabulary) for w in words)

    def _sayable(self, term: int) -> bool:
        """Whether the words of `term` alone decide: a billable code, and no merely imported synonym."""
        index = self.ranker.index
        return bool(index.codes.leaf[index.term_code[term]]) and SOURCES[index.term_source[term]] != "import"

    def _literal(self, term: int) -> Ranked:
        index = self.ranker.index
        leaf = Leaf(int(index.term_code[term]), 1.0, term, -1)
        words = tuple(self.ranker.canon.of(fold(index.texts[term])[0]))
        return Ranked((leaf,), "exact", 1.0, 1.0, 0.0, words, ())

    def _whole(self, same: str, tokens: Sequence[Token], core: Ranked) -> Ranked | None:
        """The phrase with its cue, when the vocabulary has exactly that ("history of falling")."""
        ranked = self.ranker.rank(same, tokens)
        if (
            ranked.leaves
            and ranked.tokens != core.tokens
            and (not core.leaves or ranked.leaves[0].code != core.leaves[0].code)
            and canonical_key(ranked.tokens) in self.ranker.index.canonical
        ):
            return ranked
        return None

    def _exact(self, key: str) -> CodingDecision | None:
        known = self._known.get(key)
        if known is not None:
            return known
        index = self.ranker.index
        term = index.literal.get(key)
        if term is None or not self._sayable(term) or self.ranker.shorthand.ambiguous(key):
            return None
        tokens = raw_tokens(key)
        assertion = _whole_assertion(strip(tokens, self.context.hits(tokens), self.context).assertion)
        code = int(index.term_code[term])
        if assertion == "historical" and self.rules.historical(index.codes.code[code]) == "present":
            assertion = "present"
        ranked = Ranked(
            (Leaf(code, 1.0, term, -1),), "exact", 1.0, 1.0, 0.0, tuple(self.ranker.canon.of(key)), ()
        )  # fmt: skip
        steps = (f"exact text of {SOURCES[int(index.term_source[term])]}",)
        known = self._known[key] = self.answers.decision(key, (0, len(key)), assertion, ranked, steps)
        return known


def _one_phrase(ranked: Ranked) -> bool:
    """True when the shorthand took "s/p" and what follows as one ("s/p CVA": following a stroke)."""
    return any(" s/p " in step for step in ranked.steps if step.startswith("shorthand:"))


def _is_year(token: str) -> bool:
    return len(token) == 4 and token[:2] in ("19", "20") and token.isdigit()


def _whole_assertion(assertion: Assertion) -> Assertion:
    """A title that contains its own cue ("never smoker", "history of falling") is present, or tells of the past."""
    return assertion if assertion in _HISTORY else "present"


def strip(tokens: Sequence[Token], hits: Sequence[Hit], context: Context) -> Mention:
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

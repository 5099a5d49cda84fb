"""Assertion of a mention in its sentence, after ConText (Harkema et al., J Biomed Inform 2009;42:839-851).

Cues (mappings/lexicon/cues.tsv) open a scope forwards or backwards, up to the end of the sentence or a terminating
cue. A pseudo cue ("no change", "gram negative") opens none. Longest cue first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.decision import Assertion
from terminology.text.lexicon import Cue, Lexicon
from terminology.text.normalise import fold, raw_tokens
from terminology.text.patterns import pattern

Token = tuple[str, int, int]
SENTENCE_END = pattern("sentence-end", r"(?:[.!]|(?<=[a-zA-Z0-9)\]])\?)(?=\s+[A-Z0-9]|\s*$)|\n")
_ORDER: tuple[Assertion, ...] = ("absent", "family", "hypothetical", "possible", "historical")
_STOPS = frozenset((";", "\n"))
_BREAKS = frozenset((",", ";", "\n", ")", ":"))
_IN = frozenset(("in", "circa", "around", "of"))
_OVER = frozenset(
    ("had", "underwent", "suffered", "sustained", "treated", "hospitalized", "hospitalised", "admitted", "excised",
     "removed", "resected", "experienced", "cured", "resolved", "recovered")
)  # fmt: skip
_DONE = frozenset(("s/p", "sp", "status post", "status-post"))  # "s/p CABG, PAD": only the operation is over
_ENUMERATES = frozenset(("differential", "ddx", "dx", "includes"))
_SHOULD = Cue("should", "hypothetical", "forward")  # "Should a fever occur, call us": only as the first word
_YEAR = Cue("a year", "historical", "both")


@dataclass(frozen=True, slots=True)
class Hit:
    """A cue found at tokens [start, end), with the token range its scope covers."""

    category: str
    start: int
    end: int
    first: int
    last: int
    text: str = ""


class Context:
    def __init__(self, lexicon: Lexicon) -> None:
        self._cues: dict[tuple[str, ...], list[Cue]] = {}
        for cue in lexicon.cues:
            self._cues.setdefault(tuple(t for t, _, _ in raw_tokens(cue.text)), []).append(cue)
        widths: dict[str, set[int]] = {}
        for words in self._cues:
            widths.setdefault(words[0], set()).add(len(words))
        self._widths = {word: tuple(sorted(found, reverse=True)) for word, found in widths.items()}

    def hits(self, tokens: Sequence[Token], *, in_list: bool = False) -> list[Hit]:
        """Cues of one sentence with their scopes.

        `in_list`: the sentence is a list of problems; a cue that does not begin it then ends at the next comma
        ("HTN, no DM, CKD" denies only diabetes, "no DM, CKD" both).
        """
        found: list[tuple[int, int, Cue]] = []
        words = [t for t, _, _ in tokens]
        index = 0
        while index < len(words):
            end = index + 1
            for width in self._widths.get(words[index], ()):
                key = tuple(words[index : index + width])
                cues = self._cues.get(key)
                if cues is not None:
                    end = index + len(key)
                    found += [(index, end, cue) for cue in cues]
                    break
            index = end
        if not found and not _OVER.intersection(words) and words[:1] != ["should"]:
            return []
        if tokens and tokens[0][0] == "should":
            found.append((0, 1, _SHOULD))
        found += _past_years(tokens)
        return _scopes(found, tokens, in_list=in_list)

    def assertion(self, hits: Sequence[Hit], first: int, last: int) -> tuple[Assertion, str]:
        """The assertion of the mention at tokens [first, last) and the cue that decided ("" when present)."""
        for category in _ORDER:
            for hit in hits:
                if hit.category == category and hit.first <= first and last <= hit.last:
                    return category, hit.text
        return "present", ""

    def of_span(self, text: str, span: tuple[int, int]) -> tuple[Assertion, str]:
        """What the sentence says about the mention at `span` of `text`, and the cue that says so."""
        folded, offsets = fold(text)
        if offsets is not None:
            places = [i for i, at in enumerate(offsets) if span[0] <= at < span[1]]
            span = (places[0], places[-1] + 1) if places else (0, 0)
        first, last = 0, len(folded)
        for end in SENTENCE_END.finditer(text if offsets is None else folded):
            if end.start() < span[0]:
                first = end.end()
            elif end.start() >= span[1]:
                last = end.end()
                break
        tokens = raw_tokens(folded[first:last])
        inside = [i for i, (_, a, b) in enumerate(tokens) if a < span[1] - first and b > span[0] - first]
        if not inside:
            return "present", ""
        return self.assertion(self.hits(tokens), inside[0], inside[-1] + 1)


def _past_years(tokens: Sequence[Token]) -> list[tuple[int, int, Cue]]:
    """ "was hospitalized for heart failure in 2018": a year after a verb of something that is over."""
    if not any(t in _OVER for t, _, _ in tokens):
        return []
    return [
        (i - 1, i + 1, _YEAR)
        for i in range(1, len(tokens))
        if tokens[i - 1][0] in _IN and len(tokens[i][0]) == 4 and tokens[i][0][:2] in ("19", "20")
        and tokens[i][0].isdigit()
    ]  # fmt: skip


def _scopes(found: Sequence[tuple[int, int, Cue]], tokens: Sequence[Token], *, in_list: bool) -> list[Hit]:
    if not found:
        return []
    stops = [i for i, (t, _, _) in enumerate(tokens) if t in _STOPS]
    stops += [start for start, _, cue in found if cue.category == "terminate"]
    stops.sort()
    commas = [i for i, (t, _, _) in enumerate(tokens) if t == ","]
    hits: list[Hit] = []
    for start, end, cue in found:
        if cue.category in ("pseudo", "terminate"):
            continue
        near = stops if not _ends_at_comma(cue, start, in_list=in_list) else sorted((*stops, *commas))
        before = max((s + 1 for s in near if s < start), default=0)
        after = min((s for s in near if s >= end), default=len(tokens))
        last = end == len(tokens) or tokens[end][0] in _BREAKS
        if last and cue.direction != "forward" and start and tokens[start - 1][0] == "," and not in_list:
            before = max((s + 1 for s in near if s < start - 1), default=0)  # "UTI, resolved."
        if cue.direction == "forward" or (cue.direction != "backward" and not last):
            hits.append(Hit(cue.category, start, end, end, after, cue.text))
        if cue.direction in ("backward", "both") or (cue.direction == "either" and last):
            hits.append(Hit(cue.category, start, end, before, start, cue.text))
    return hits


def _ends_at_comma(cue: Cue, start: int, *, in_list: bool) -> bool:
    if cue.category == "possible" and cue.direction == "forward" and _ENUMERATES & set(cue.text.split()):
        return False  # "differential includes sarcoidosis, tuberculosis and lymphoma"
    onwards = cue.direction == "forward" or (cue.direction == "either" and cue.text[0] != ":")
    if cue.text in _DONE:
        return True
    return cue.category == "possible" or not onwards or (in_list and start > 0)

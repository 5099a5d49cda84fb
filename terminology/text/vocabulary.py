"""From rows of a release, the lexicon and the starter map to the terms of the phrase index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from terminology.importers.icd10cm import phrase_in_note
from terminology.importers.rows import ICD10CM, ConceptRow
from terminology.text.index import Codes, PhraseIndex, Term, build_index
from terminology.text.lexicon import Lexicon, Synonym
from terminology.text.normalise import fold, raw_tokens
from terminology.text.patterns import PARENTHESIS, UNSAID, UNSPECIFIED_CAUSE
from terminology.text.qualifiers import Qualifiers
from terminology.text.shorthand import Shorthand
from terminology.text.words import Canon

_PHRASE_NOTES = ("excludes1", "excludes2", "use-additional", "code-first", "code-also")


@dataclass(frozen=True, slots=True)
class ExtraCode:
    """A code of another system that has no ICD-10-CM counterpart in the starter map (social findings)."""

    system: str
    code: str
    display: str
    synonyms: tuple[str, ...]


@dataclass(slots=True)
class Skipped:
    """Synonyms whose code is not in the release (another edition): reported, not used."""

    synonyms: list[Synonym] = field(default_factory=list)


def build_vocabulary(
    rows: Iterable[ConceptRow], lexicon: Lexicon, synonyms: Sequence[Synonym], extra: Sequence[ExtraCode] = ()
) -> tuple[PhraseIndex, Skipped]:
    """The index over all codes that can be given (no chapters, no sections), and `extra` codes of other systems."""
    concepts = [row for row in rows if dict(row.properties).get("kind", "diag") == "diag" and row.active]
    codes = _codes(concepts, extra)
    canon = Canon(lexicon)
    shorthand = Shorthand(lexicon)
    skipped = Skipped()
    terms = list(_titles(codes, canon))
    terms += _release_terms(concepts, codes, canon)
    more = [Synonym(text, e.code, e.system, "map:extra") for e in extra for text in e.synonyms]
    terms += _lexicon_terms([*synonyms, *more], codes, canon, shorthand, skipped)
    return build_index(codes, terms, Qualifiers(lexicon, canon)), skipped


def _codes(concepts: Sequence[ConceptRow], extra: Sequence[ExtraCode] = ()) -> Codes:
    """Rows come in tree order (depth first), which the index relies on; extra codes stand alone behind them."""
    concepts = [*concepts, *(ConceptRow(e.code, e.display) for e in extra)]
    number = {row.code: i for i, row in enumerate(concepts)}
    parent = np.array([number.get(row.parents[0], -1) if row.parents else -1 for row in concepts], np.int32)
    last = np.arange(len(concepts), dtype=np.int32)
    for child in range(len(concepts) - 1, -1, -1):
        if parent[child] >= 0:
            last[parent[child]] = max(last[parent[child]], last[child])
    leaf = last == np.arange(len(concepts))
    title = np.arange(len(concepts), dtype=np.int32)
    systems = [ICD10CM] * (len(concepts) - len(extra)) + [e.system for e in extra]
    return Codes(
        systems, [r.code for r in concepts], [r.display for r in concepts], parent, last, leaf, title, number
    )


def _term(text: str, code: int, source: str, canon: Canon) -> Term:
    """Canonical tokens leave out what a title says about not saying it ("unspecified as to partial versus complete
    obstruction"): those words name nothing."""
    literal = fold(text)[0].strip()
    said = UNSAID.sub(" unspecified", literal) if "specified as" in literal else literal
    return Term(text, literal, tuple(canon.of(said)), code, source)


def _titles(codes: Codes, canon: Canon) -> Iterator[Term]:
    """One term per code, in the order of the codes: term number = code number."""
    for code, display in enumerate(codes.display):
        yield _term(display, code, "title", canon)


def _release_terms(concepts: Sequence[ConceptRow], codes: Codes, canon: Canon) -> Iterator[Term]:
    for row in concepts:
        code = codes.number[row.code]
        if "(" in row.display:
            yield _term(PARENTHESIS.sub("", row.display), code, "inclusion", canon)
        if (
            "due to unspecified" in row.display
        ):  # "infarction due to unspecified occlusion of X": what "X infarct" means
            yield _term(UNSPECIFIED_CAUSE.sub("", row.display), code, "inclusion", canon)
        for kind, text in row.terms:
            yield _term(text, code, "inclusion" if kind == "inclusion" else "includes", canon)
            if "(" in text:
                yield _term(
                    PARENTHESIS.sub("", text), code, "inclusion" if kind == "inclusion" else "includes", canon
                )
        for kind, text in row.properties:
            if kind in _PHRASE_NOTES and (found := phrase_in_note(text)) and found[1] in codes.number:
                yield _term(found[0], codes.number[found[1]], "note", canon)


def _lexicon_terms(
    synonyms: Sequence[Synonym], codes: Codes, canon: Canon, shorthand: Shorthand, skipped: Skipped
) -> Iterator[Term]:
    for synonym in synonyms:
        code = codes.number.get(without_seventh(synonym.code))
        if code is None:
            skipped.synonyms.append(synonym)
            continue
        source = _source(synonym)
        literal = fold(synonym.text)[0].strip()
        reading = shorthand.readings(raw_tokens(literal), synonym.text)[0]
        yield Term(synonym.text, literal, tuple(canon.tokens(reading.words)), code, source)


def _source(synonym: Synonym) -> str:
    """Who says so: a site's correction, the starter map, a derived table (a weaker word), or the lexicon."""
    if synonym.site:
        return "site"
    if synonym.source.startswith("map:"):
        return "map"
    return "import" if synonym.source.startswith(("MeSH:", "release:")) else "lexicon"


# Categories whose 7th character is a digit (fetus, stage, attack ...); elsewhere eight signs can be a code of the list.
_DIGITS = frozenset(
    [
        "M1A",
        "H34",
        "H35",
        "H40",
        "R40",
        "E08",
        "E09",
        "E10",
        "E11",
        "E13",
        "O31",
        "O32",
        "O33",
        "O35",
        "O36",
        "O40",
        "O41",
        "O60",
        "O64",
        "O69",
    ]
)


def without_seventh(code: str) -> str:
    """ "W19.XXXA" -> "W19", "S52.501A" -> "S52.501", "H40.1190" -> "H40.119": the list has no 7th characters."""
    if len(code) != 8 or code[3] != ".":
        return code
    seventh = code[7].isalpha() if code[0] in "STVWXYMO" else False
    if seventh or (code[7].isdigit() and code[:3] in _DIGITS):
        return code[:7].rstrip("X").rstrip(".")
    return code

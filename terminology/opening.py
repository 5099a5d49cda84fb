"""Open a coder: find the release, build or load the cached index, wire the engines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from terminology import build
from terminology.decision import Kind
from terminology.feeding import SOURCE, ReleaseLinks, fed_labels, phrases, release_key, save_links
from terminology.importers import icd10cm
from terminology.importers.rows import LOINC, SNOMED, ConceptRow
from terminology.text.answers import Answers
from terminology.text.coder import Engine, TextCoder
from terminology.text.context import Context
from terminology.text.drugs import DrugEngine, combinations, ingredients
from terminology.text.index import PhraseIndex, load_index, save_index
from terminology.text.lexicon import Lexicon, Synonym, load_lexicon
from terminology.text.notes import Notes, collect
from terminology.text.notes import save as save_notes
from terminology.text.plain_engine import PlainEngine
from terminology.text.problem_engine import ProblemEngine
from terminology.text.problems import Encoder, Ranker
from terminology.text.qualifiers import Qualifiers
from terminology.text.rank import load_weights
from terminology.text.rules import CodeRules
from terminology.text.shorthand import Shorthand
from terminology.text.snomed import SnomedLinks, SnomedRow, starter_rows
from terminology.text.spelling import Speller
from terminology.text.vocabulary import ExtraCode, build_vocabulary
from terminology.text.words import Canon

if TYPE_CHECKING:
    from mappings import Source


def open_coder(
    source: Source,
    cache: Path | None = None,
    *,
    tabular: Path | None = None,
    encoder: Encoder | None = None,
    releases: Path | None = None,
) -> TextCoder:
    """A coder over ICD-10-CM (`tabular`, else the installed package's) and the knowledge of `source`.

    The first call builds the index into `cache` (some seconds), later ones load it (well under a second).
    `releases`: a folder of imported releases (terminology.library), whose terms are fed to the coder.
    `encoder` (optional, none is shipped) turns texts into rows of unit length and reranks unsure candidates.
    Raises BadRelease when there is no usable tabular list, ValueError for a defective knowledge file.
    """
    path = tabular or icd10cm.installed_tabular()
    lexicon = load_lexicon(source)
    starter = starter_rows(source.tsv("concept-maps"))
    synonyms = [*lexicon.synonyms, *_starter_synonyms(starter)]
    extra = _extra_codes(starter)
    cache = cache or build.default_cache()
    name = "icd10cm-" + build.key([_checksum(path), *_ingredients(source), release_key(releases)])

    def make(private: Path) -> None:
        fed = list(phrases(releases))
        more = [Synonym(p.term, p.code, source=f"{SOURCE}{p.kind}") for p in fed]
        _build(private, path, lexicon, [*synonyms, *more], extra)
        save_links(fed, Canon(lexicon).of, private)

    folder = build.ensure(cache, name, make)
    try:
        index = load_index(folder)
    except (OSError, ValueError):
        build.forget(cache, name)
        folder = build.ensure(cache, name, make)
        index = load_index(folder)
    release = "; ".join((f"ICD-10-CM {path.stem}", *fed_labels(releases)))
    return wire(index, lexicon, starter, source, folder, release, encoder)


def _ingredients(source: Source) -> Iterator[bytes]:
    """All that shapes the index besides the release: the knowledge files, and the code that builds it. (Not the
    parsed lexicon: sets have no fixed order, and the index would be built anew at every start.)"""
    for folder in ("lexicon", "concept-maps"):
        yield from (path.read_bytes() for path in source.paths(folder, ".tsv"))
    yield from (path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))


def wire(
    index: PhraseIndex,
    lexicon: Lexicon,
    starter: list[SnomedRow],
    source: Source,
    folder: Path,
    release: str,
    encoder: Encoder | None = None,
) -> TextCoder:
    """Engines over a loaded index."""
    canon = Canon(lexicon)
    ranker = Ranker(
        index,
        canon,
        Shorthand(lexicon),
        Qualifiers(lexicon, canon),
        speller(index, lexicon),
        load_weights(source),
    )
    ranker.parts, ranker.encoder, ranker.words = (
        lexicon.parts,
        encoder,
        frozenset(lexicon.known | lexicon.aimless),
    )
    ranker.evidence.no_problem_words = lambda: no_problem_words(source, lexicon, canon)
    context, rules = Context(lexicon), CodeRules(lexicon.rules)
    links = ReleaseLinks(SnomedLinks(starter, canon), folder)
    notes = Notes(folder / "notes.json")

    def problems(kind: Kind) -> Engine:
        return ProblemEngine(ranker, context, rules, Answers(ranker, links, notes, release, kind))

    def drugs(kind: Kind) -> Engine:
        tables = list(source.toml("drug-classes"))
        return DrugEngine(ingredients(tables), context, release, kind, combinations(tables))

    engines: dict[Kind, Callable[[], Engine]] = {
        "problem": lambda: problems("problem"),
        "social": lambda: problems("social"),
        "drug": lambda: drugs("drug"),
        "allergy": lambda: drugs("allergy"),
        "lab": lambda: lab_engine(source, lexicon, ranker, release),
    }
    return TextCoder(engines, release, context)


def no_problem_words(source: Source, lexicon: Lexicon, canon: Canon) -> set[str]:
    """Canonical words of parts, tests, treatments and papers (no-problem-words.tsv), and of names of drugs."""
    names = (
        w
        for i in ingredients(source.toml("drug-classes"))
        for n in (i.name, *i.synonyms)
        for w in n.lower().split()
    )
    return {canon.word(w) for w in (*lexicon.aimless, *names)}


def lab_engine(source: Source, lexicon: Lexicon, ranker: Ranker, release: str) -> PlainEngine:
    """Laboratory names of concept-maps/lab-names.tsv; small, so that its index is built on opening."""
    extra = [
        ExtraCode(LOINC, row["loinc"], row["name"], tuple(s for s in row["synonyms"].split("|") if s))
        for name, rows in source.tsv("concept-maps")
        if name == "lab-names.tsv"
        for row in rows
    ]
    unique = list({e.code: e for e in extra}.values())
    index, _ = build_vocabulary([], lexicon, [], unique)
    labs = Ranker(
        index, ranker.canon, ranker.shorthand, ranker.qualifiers, speller(index, lexicon), ranker.weights
    )
    return PlainEngine(labs, release, "lab")


def speller(index: PhraseIndex, lexicon: Lexicon) -> Speller:
    """Words that may be typed: those of the terms, and the word forms and phrases that lead to them."""
    known = set(index.words)
    extra = {*lexicon.words, *(w for phrase, _ in lexicon.phrases for w in phrase.split())}
    more = sorted(w for w in extra - known if w.isalpha())
    return Speller([*index.words, *more], np.concatenate((index.frequency, np.full(len(more), 20))))


def _build(
    folder: Path, path: Path, lexicon: Lexicon, synonyms: list[Synonym], extra: list[ExtraCode]
) -> None:
    rows = [row for row in icd10cm.read(path).rows if isinstance(row, ConceptRow)]
    index, skipped = build_vocabulary(rows, lexicon, synonyms, extra)
    save_index(index, folder)
    save_notes(collect(rows), folder / "notes.json")
    missing = "\n".join(f"{s.code}\t{s.text}" for s in skipped.synonyms)
    (folder / "skipped.tsv").write_text(missing, "utf-8")


def _starter_synonyms(starter: list[SnomedRow]) -> list[Synonym]:
    return [
        Synonym(text, row.icd10cm, source="map:starter-problems.tsv")
        for row in starter
        if row.icd10cm
        for text in dict.fromkeys((row.term, row.display, *row.synonyms))
    ]


def _extra_codes(starter: list[SnomedRow]) -> list[ExtraCode]:
    return [ExtraCode(SNOMED, r.code, r.display, (r.term, *r.synonyms)) for r in starter if not r.icd10cm]


def _checksum(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()

"""The lexicon (mappings/lexicon/*.tsv) as loaded: abbreviations, word forms, phrases, qualifiers, synonyms, rules.

Every row is data with its source; see mappings/lexicon/README.md for the legend. A site's own folder (Source overlay)
may add files; `site-*.tsv` files hold corrections, which win over everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from terminology.importers.rows import ICD10CM


class Tables(Protocol):
    """The part of mappings.Source that the lexicon needs."""

    def tsv(self, folder: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of an abbreviation. `prior` is its share among senses; a cue word nearby decides before the prior."""

    text: str
    prior: float
    cues: frozenset[str] = frozenset()
    upper: bool = False  # only when written in capitals ("AS", "IT" are also words)


@dataclass(frozen=True, slots=True)
class Synonym:
    """A phrase that means a code. `code` may be a heading: the coding rules then find the billable child."""

    text: str
    code: str
    system: str = ICD10CM
    source: str = ""
    site: bool = False


@dataclass(frozen=True, slots=True)
class CodeRule:
    """For codes that begin with `prefix`: what "history of" and "family history of" turn them into."""

    prefix: str
    historical: str = ""  # a code, or "present" (a life-long condition: history of it means having it)
    family: str = ""


@dataclass(frozen=True, slots=True)
class Cue:
    text: str
    category: str  # absent possible historical hypothetical family terminate pseudo experiencer
    direction: str  # forward backward both either


@dataclass(slots=True)
class Lexicon:
    senses: dict[str, tuple[Sense, ...]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    phrases: list[tuple[str, str]] = field(default_factory=list)
    qualifiers: list[tuple[str, str, float]] = field(default_factory=list)
    opposites: list[tuple[str, ...]] = field(default_factory=list)
    synonyms: list[Synonym] = field(default_factory=list)
    rules: list[CodeRule] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    aimless: set[str] = field(default_factory=set)  # words that name no problem by themselves


def load_lexicon(source: Tables) -> Lexicon:
    """Read every table. Raises ValueError naming the file for a missing column or an unknown table kind."""
    lexicon = Lexicon()
    for name, rows in source.tsv("lexicon"):  # type: ignore[attr-defined]
        kind = name.removesuffix(".tsv").removeprefix("site-").split(".")[0]
        reader = _READERS.get(kind)
        if reader is None:
            raise ValueError(f"lexicon/{name}: unknown table; one of {', '.join(sorted(_READERS))}")
        try:
            reader(lexicon, rows, name.startswith("site-"))
        except (KeyError, ValueError) as error:
            raise ValueError(f"lexicon/{name}: {error}") from error
    return lexicon


def _abbreviations(lexicon: Lexicon, rows: list[dict[str, str]], site: bool) -> None:
    found: dict[str, list[Sense]] = {}
    for row in rows:
        cues = frozenset(w for w in row["cues"].lower().split("|") if w)
        sense = Sense(row["object_label"].lower(), float(row["prior"] or 1), cues, row["case"] == "upper")
        found.setdefault(row["subject_label"].lower(), []).append(sense)
    for key, senses in found.items():
        known = () if site else lexicon.senses.get(key, ())
        lexicon.senses[key] = tuple(sorted((*known, *senses), key=lambda s: -s.prior))


def _word_forms(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    for row in rows:
        lexicon.words[row["subject_label"].lower()] = row["object_label"].lower()


def _phrases(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    lexicon.phrases += [(row["subject_label"].lower(), row["object_label"].lower()) for row in rows]


def _qualifiers(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    for row in rows:
        lexicon.qualifiers.append((row["subject_label"].lower(), row["class"], float(row["cost"])))


def _opposites(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    lexicon.opposites += [tuple(row["members"].lower().split("|")) for row in rows]


def _synonyms(lexicon: Lexicon, rows: list[dict[str, str]], site: bool) -> None:
    for row in rows:
        prefix, code = row["object_id"].split(":", 1)
        system = _SYSTEMS.get(prefix)
        if system is None:
            raise ValueError(f"unknown prefix {prefix} in object_id")
        lexicon.synonyms.append(Synonym(row["subject_label"], code, system, row["source"], site))


def _code_rules(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    lexicon.rules += [CodeRule(row["prefix"], row["historical"], row["family"]) for row in rows]


def _cues(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    lexicon.cues += [Cue(row["subject_label"].lower(), row["category"], row["direction"]) for row in rows]


def _body_parts(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    for row in rows:
        lexicon.parts[row["subject_label"].lower()] = row["object_label"].lower()


def _known_words(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    for row in rows:
        lexicon.known.update(row["words"].lower().split("|"))


def _no_problem_words(lexicon: Lexicon, rows: list[dict[str, str]], _site: bool) -> None:
    for row in rows:
        lexicon.aimless.update(row["words"].lower().split("|"))


_SYSTEMS = {
    "ICD10CM": ICD10CM,
    "SCT": "http://snomed.info/sct",
    "LOINC": "http://loinc.org",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
}
_READERS = {
    "abbreviations": _abbreviations,
    "word-forms": _word_forms,
    "phrases": _phrases,
    "qualifiers": _qualifiers,
    "opposites": _opposites,
    "synonyms": _synonyms,
    "corrections": _synonyms,
    "code-rules": _code_rules,
    "cues": _cues,
    "body-parts": _body_parts,
    "known-words": _known_words,
    "no-problem-words": _no_problem_words,
}

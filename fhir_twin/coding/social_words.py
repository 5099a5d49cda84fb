"""Which codes and answers mean which social fact. Data: mappings/social."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_twin.coding.words import key
from fhir_twin.errors import KnowledgeError
from mappings import Source

FOLDER = "social"
FACTS = (
    "smoking",
    "pack-years",
    "cigarettes-per-day",
    "drinks-per-day",
    "drinks-per-week",
    "pregnancy",
    "lactation",
)


@dataclass(frozen=True)
class SocialWords:
    """questions: (system, code) of an Observation -> the fact it asks for. answers: fact -> (system, code) of its
    value -> what it means. spoken: fact -> normalised words -> what they mean."""

    questions: Mapping[tuple[str, str], str]
    answers: Mapping[str, Mapping[tuple[str, str], str]]
    spoken: Mapping[str, Mapping[str, str]]


def load_social_words(source: Source) -> SocialWords:
    """Read mappings/social. Raises KnowledgeError naming the file and the fact."""
    questions: dict[tuple[str, str], str] = {}
    answers: dict[str, dict[tuple[str, str], str]] = {}
    spoken: dict[str, dict[str, str]] = {}
    for file, table in source.toml(FOLDER):
        for fact, entry in table.items():
            if fact not in FACTS:
                raise KnowledgeError(f"{FOLDER}/{file}: unknown fact {fact}")
            questions.update({(c["system"], c["code"]): fact for c in entry.get("question", ())})
            means = answers.setdefault(fact, {})
            means.update({(c["system"], c["code"]): c["means"] for c in entry.get("answer", ())})
            said = spoken.setdefault(fact, {})
            said.update({key(w): meaning for meaning, words in entry.get("words", {}).items() for w in words})
    missing = [f for f in FACTS if f not in questions.values() and f not in answers]
    if missing:
        raise KnowledgeError(f"{FOLDER}: no question for {missing[0]}")
    return SocialWords(questions, answers, spoken)

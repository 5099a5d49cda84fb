"""Ask the coder held-out phrases, hiding the terms that were left out, and note what the calibration would see."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from heldout import Phrase

from terminology.decision import CodingDecision
from terminology.text import problems
from terminology.text.coder import TextCoder
from terminology.text.index import canonical_key

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answer:
    phrase: Phrase
    decision: CodingDecision
    lenient: bool
    lenient5: bool
    strict: bool
    strict5: bool
    seconds: float
    method: str
    facts: tuple[float, ...]  # of evidence.NAMES; empty for an exact text


class Asker:
    """Wraps the problem engine of a coder. `hidden` terms do not exist while a phrase is asked."""

    def __init__(self, coder: TextCoder) -> None:
        self.engine = coder.engine("problem")
        self.engine._compiled = True  # never another ranker: terms are hidden from this one
        self.index = self.engine.ranker.index
        self._hidden: frozenset[int] = frozenset()
        self._seen: list[problems.Ranked] = []
        self._retrieve = problems.retrieve
        problems.retrieve = self._filtered
        answers = type(self.engine.answers)
        original = answers.decision

        def noted(this, text, span, assertion, ranked, steps):  # type: ignore[no-untyped-def]
            self._seen.append(ranked)
            return original(this, text, span, assertion, ranked, steps)

        answers.decision = noted

    def _filtered(self, query, index, qualifiers, weights, top):  # type: ignore[no-untyped-def]
        found = self._retrieve(query, index, qualifiers, weights, top)
        if not self._hidden:
            return found
        keep = np.array([int(t) not in self._hidden for t in found.terms], bool)
        return problems.Scored(found.terms[keep], found.scores[keep], found.covered[keep], found.mask)

    def ask(self, phrase: Phrase) -> Answer:
        self._seen.clear()
        self._hidden = phrase.left_out
        taken = self._take(phrase) if phrase.left_out else ({}, {})
        begun = time.thread_time()
        decision = self.engine.code(phrase.text)
        seconds = time.thread_time() - begun
        self.index.literal.update(taken[0])
        self.index.canonical.update(taken[1])
        top = [c.code for c in decision.candidates[:5]]
        ranked = self._seen[-1] if self._seen else None
        known = self.engine.ranker.evidence.of(ranked) if ranked and ranked.leaves and ranked.query else ()
        hits = [c == phrase.gold or c.startswith(phrase.gold) for c in top]
        return Answer(
            phrase, decision, bool(hits[:1] == [True]), any(hits), top[:1] == [phrase.gold], phrase.gold in top, seconds,  # noqa: E501
            ranked.method if ranked else "abstain", known,
        )  # fmt: skip

    def _take(self, phrase: Phrase) -> tuple[dict[str, int], dict[str, int]]:
        text = phrase.text.lower()
        self.engine._known.pop(text, None)
        key = canonical_key(self.engine.ranker.canon.of(text))
        literal = {text: self.index.literal.pop(text)} if text in self.index.literal else {}
        canonical = {}
        if self.index.canonical.get(key, -1) in phrase.left_out:
            canonical[key] = self.index.canonical.pop(key)
        return literal, canonical

    def all(self, phrases: Iterable[Phrase]) -> list[Answer]:
        return [self.ask(p) for p in phrases]


def shorthand(name: str) -> list[Phrase]:
    """A hand-written set: shorthand-<name>.tsv."""
    with (HERE / f"shorthand-{name}.tsv").open(encoding="utf-8") as stream:
        rows = csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t")
        return [Phrase(r["text"], r["code"], "shorthand") for r in rows]


def mentions() -> list[Phrase]:
    """Diseases as articles write them: mentions.tsv."""
    with (HERE / "mentions.tsv").open(encoding="utf-8") as stream:
        rows = csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t")
        return [Phrase(r["text"], r["code"], "article mention") for r in rows]


_WORDS = [
    "table",
    "monday",
    "please",
    "thanks",
    "invoice",
    "sunny",
    "holiday",
    "printer",
    "football",
    "bring",
    "letter",
    "meeting",
    "tomorrow",
    "number",
    "called",
    "schedule",
    "parking",
    "window",
    "music",
    "ticket",
    "river",
    "station",
    "garden",
    "coffee",
    "paper",
    "bottle",
    "yellow",
    "mountain",
    "summer",
    "winter",
    "guitar",
    "airport",
    "computer",
    "telephone",
    "budget",
    "manager",
    "project",
    "customer",
    "market",
    "school",
    "teacher",
    "student",
    "library",
    "kitchen",
    "bedroom",
    "picture",
    "camera",
    "movie",
    "channel",
    "weather",
    "cloud",
    "rainbow",
    "forest",
    "animal",
    "elephant",
    "tiger",
    "chicken",
    "orange",
    "banana",
    "bread",
    "butter",
    "sugar",
    "dinner",
    "restaurant",
    "hotel",
    "travel",
    "ticket",
    "bridge",
    "street",
    "corner",
    "building",
    "office",
    "elevator",
    "ladder",
    "hammer",
    "screw",
    "paint",
    "brush",
    "pencil",
    "notebook",
    "calendar",
    "minute",
    "hour",
    "yesterday",
    "evening",
    "morning",
    "birthday",
    "wedding",
    "party",
    "dance",
    "singer",
    "concert",
    "theater",
    "museum",
    "history",
    "science",
    "engine",
    "wheel",
    "truck",
    "bicycle",
    "train",
    "ocean",
    "island",
    "beach",
    "desert",
    "planet",
    "rocket",
    "satellite",
    "password",
    "account",
    "website",
    "internet",
    "keyboard",
    "monitor",
    "battery",
    "cable",
    "antenna",
    "radio",
    "signal",
    "message",
    "package",
    "delivery",
    "address",
    "village",
    "country",
    "president",
    "election",
    "lawyer",
    "contract",
    "insurance",
    "salary",
    "pension",
    "bank",
    "credit",
    "payment",
    "price",
]


def noise(count: int, seed: int) -> list[Phrase]:
    """Texts that mean nothing: no code is right."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = _WORDS[seed % 2 :: 2]  # even and odd seeds share no word
    found = []
    for place in range(count):
        if place % 2:
            text = " ".join(
                "".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 4))
            )
        else:
            text = " ".join(rng.choices(words, k=rng.randint(1, 4)))
        found.append(Phrase(text, "none", "noise"))
    return found


def not_problems(odd: bool) -> list[Phrase]:
    """Medical words that name no problem; odd rows calibrate, even rows are measured."""
    with (HERE / "not-problems.tsv").open(encoding="utf-8") as stream:
        rows = [line.strip() for line in stream if line.strip() and not line.startswith("#")][1:]
    return [Phrase(text, "none", "not a problem") for text in rows[not odd :: 2]]


def expected_calibration_error(answers: Sequence[Answer], bins: int = 10) -> float:
    """Mean gap between confidence and share of right answers, in equal-width bins, weighted by size."""
    confidence = np.array([a.decision.confidence for a in answers])
    right = np.array([a.lenient for a in answers], float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        (place == b).sum() * abs(confidence[place == b].mean() - right[place == b].mean())
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps) / max(1, len(answers)))


def marked_sentences(name: str = "assertions") -> list[tuple[str, tuple[int, int], str]]:
    """(sentence, span of the mention, label) of `name`.tsv."""
    found = []
    with (HERE / f"{name}.tsv").open(encoding="utf-8") as stream:
        for row in csv.DictReader((line for line in stream if not line.startswith("#")), delimiter="\t"):
            first, last = row["sentence"].index("["), row["sentence"].index("]")
            text = row["sentence"].replace("[", "").replace("]", "")
            found.append((text, (first, last - 1), row["label"]))
    return found

"""What the patient asks for: stated preferences (US Core treatment intervention preference) and words of Goals.

A statement is an Observation whose code is one of `Preferences.loinc` (LOINC 75773-2), answered by a code of ours or by
words, or a live Goal whose description says it. The forms are in docs/preferences.md.
"""

from __future__ import annotations

import re

from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.codes import LOINC, Concept
from fhir_twin.model.guidelines import PreferenceRule, Preferences
from fhir_twin.model.plan import StatedPreference

LIVE = ("proposed", "planned", "accepted", "active", "on-hold")
_SENTENCE = re.compile(r"[.;\n!?]|\bbut\b", re.IGNORECASE)


def stated_preferences(coded: CodedChart, known: Preferences) -> tuple[StatedPreference, ...]:
    """Each preference once, with all who say so, in the order of the rules. A later statement that takes an earlier
    one back ("does not mind injections") ends it."""
    said: dict[str, list[str]] = {}
    goals = [(*goal, False) for goal in _goals(coded)]
    for source, codes, text, asked in (*goals, *((*answer, True) for answer in _observed(coded, known))):
        places = {r.key: place(text, r, known.unless, asked=asked) for r in known.rules}
        for rule in known.rules:
            if rule.key in codes or _leads(rule, places, known.rules):
                said.setdefault(rule.key, []).append(source)
            elif _takes_back(text, rule, known.unless):
                said.pop(rule.key, None)
    silent = {key for rule in known.rules if rule.key in said for key in rule.overrides}
    return tuple(
        StatedPreference(rule.key, rule.label, tuple(sorted(set(said[rule.key]))))
        for rule in known.rules
        if rule.key in said and rule.key not in silent
    )


def _leads(rule: PreferenceRule, places: dict[str, int | None], rules: tuple[PreferenceRule, ...]) -> bool:
    """Is it said, and before what it is weighed against ("quality over longevity" asks for quality)?"""
    mine = places[rule.key]
    against = rule.overrides | {r.key for r in rules if rule.key in r.overrides}
    return mine is not None and all((other := places[key]) is None or mine <= other for key in against)


def place(text: str, rule: PreferenceRule, unless: tuple[str, ...], *, asked: bool = False) -> int | None:
    """Where in `text` it is said: a sentence holds a word of every group, and none that turns it around; None when it
    is not. asked: the text answers the question what the patient prefers, so that fewer words are enough."""
    sets = (rule.words, rule.answers) if asked and rule.answers else (rule.words,)
    start = 0
    for sentence in _SENTENCE.split(text.lower().replace("\u2019", "'")):
        spaced = f" {' '.join(sentence.split())} "
        found = [_found(spaced, groups) for groups in sets]
        known = [at for at in found if at is not None]
        if known and not any(word in spaced for word in unless):
            return start + min(known)
        start += len(spaced)
    return None


def _found(sentence: str, groups: tuple[tuple[str, ...], ...]) -> int | None:
    """The first place of a word of the last group, when every group has one in the sentence."""
    if not all(any(word in sentence for word in group) for group in groups):
        return None
    return min(sentence.find(word) for word in groups[-1] if word in sentence)


def _takes_back(text: str, rule: PreferenceRule, unless: tuple[str, ...]) -> bool:
    lowered = text.lower().replace("\u2019", "'")
    turned = [part for part in _SENTENCE.split(lowered) if any(word in f" {part} " for word in unless)]
    return any(word in f" {part} " for part in turned for word in rule.words[-1])


def _observed(coded: CodedChart, known: Preferences) -> list[tuple[str, frozenset[str], str]]:
    found = []
    ordered = sorted((m.measurement for m in coded.measurements), key=_moment)
    for given in ordered:
        asked = set(given.concept.codes(LOINC))
        if given.panel is not None:
            asked |= set(given.panel.codes(LOINC))
        if asked & known.loinc:
            codes, words = _answer(given)
            found.append((given.source, codes, words))
    return found


def _moment(given: Measurement) -> tuple[float, str]:
    return (given.time.timestamp() if given.time else float("-inf"), given.source)


def _answer(given: Measurement) -> tuple[frozenset[str], str]:
    concept = given.coded or Concept()
    codes = frozenset(c.code for c in concept.codings)
    words = ". ".join(w for w in (concept.text, *(c.display for c in concept.codings), given.text or "") if w)
    return codes, words


def _goals(coded: CodedChart) -> list[tuple[str, frozenset[str], str]]:
    return [
        (goal.source, frozenset(c.code for c in goal.concept.codings), goal.concept.label)
        for goal in coded.chart.goals
        if goal.status in LIVE
    ]

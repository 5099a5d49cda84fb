"""What kind of order is it? By code where there is one, else by whole words of the order itself; yes, no or perhaps."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fhir_twin.model.order_rules import DraftOrder, OrderKind

LONGEST = 2000  # characters of an order's words that are looked at
_WITHOUT = re.compile(r"\bw/o\b")
_WORD = re.compile(r"[a-z0-9]{1,60}")
Phrase = tuple[str, ...]


def words_of(text: str) -> Phrase:
    """Lower-case words; "w/o" is one word, everything else that is no letter or digit parts words."""
    return tuple(_WORD.findall(_WITHOUT.sub("wo", text[:LONGEST].lower())))


def holds_phrase(words: Phrase, phrases: Iterable[Phrase]) -> bool:
    """Does any phrase stand in `words`, word for word?"""
    return any(
        words[i : i + len(phrase)] == phrase
        for phrase in phrases
        for i in range(len(words) - len(phrase) + 1)
    )


def fits(order: DraftOrder, kind: OrderKind) -> bool | None:
    """Is the order of this kind? None: it may be (it does not say with or without contrast)."""
    codes = {(c.system, c.code) for c in order.codings}
    if codes & kind.codes:
        return True
    if codes & kind.not_codes:
        return False
    verdicts = [_by_words(words_of(text), kind) for text in order.texts]
    if True in verdicts:
        return True
    # One text may name the study and another the contrast: what is said together counts too.
    together = _by_words(tuple(w for text in order.texts for w in words_of(text)), kind)
    return together if together is not False or None not in verdicts else False


def is_about(order: DraftOrder, kind: OrderKind) -> bool:
    """The kind has something to say of this order, be it "certainly not with contrast"."""
    codes = {(c.system, c.code) for c in order.codings}
    if codes & (kind.codes | kind.not_codes):
        return True
    return any(
        holds_phrase(words, kind.words) and not holds_phrase(words, kind.unless)
        for words in map(words_of, order.texts)
    )


def _by_words(words: Phrase, kind: OrderKind) -> bool | None:
    if not holds_phrase(words, kind.words) or holds_phrase(words, kind.unless):
        return False
    if not kind.also and not kind.excluded:
        return True
    if holds_phrase(words, kind.also):
        return True
    if holds_phrase(words, kind.excluded):
        return False
    return None if kind.unsaid else not kind.also

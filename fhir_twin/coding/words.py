"""Free text as comparable words: for looking names up, not for understanding sentences."""

from __future__ import annotations

import re

_NOT_IN_WORDS = re.compile(r"[^a-z0-9.%+#]+")
_LONE_DOT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_SUFFIX = re.compile(
    r"\s*\((disorder|finding|situation|procedure|event|substance|product|observable entity)\)\s*$"
)
_NEGATED = re.compile(
    r"\b(no|not|denies|denied|without|negative|never|family|father|mother|fhx|ruled|rule|r/o)\b"
)


def tokens(text: str) -> tuple[str, ...]:
    """Lower-case words; hyphens and slashes part words, apostrophes vanish, "2.5" stays whole."""
    plain = text.lower().replace("'", "").replace("’", "")
    return tuple(_LONE_DOT.sub(" ", _NOT_IN_WORDS.sub(" ", plain)).split())


def key(text: str) -> str:
    """The text's words with one space between: equal keys, same name."""
    return " ".join(tokens(text))


def without_tag(display: str) -> str:
    """A SNOMED CT display without its semantic tag: "Asthma (disorder)" -> "Asthma"."""
    return _SUFFIX.sub("", display)


def says(text: str, phrase: str) -> bool:
    """`phrase` stands in `text` and no word before it in the same clause denies it or gives it to a relative."""
    lowered = text.lower()
    at = lowered.find(phrase)
    if at < 0:
        return False
    clause = re.split(r"[.;,\n]", lowered[:at])[-1]
    return _NEGATED.search(clause) is None

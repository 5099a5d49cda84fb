"""Free text as comparable words: for looking names up, not for understanding sentences."""

from __future__ import annotations

import re

_NOT_IN_WORDS = re.compile(r"[^a-z0-9.%+#]+")
_LONE_DOT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_TAGS = (
    "disorder",
    "finding",
    "situation",
    "procedure",
    "event",
    "substance",
    "product",
    "observable entity",
)
_NEGATED = re.compile(
    r"\b(no|not|denies|denied|without|negative|never|family|father|mother|brother|sister|fhx|ruled|rule|r/o|risk"
    r"|screening|screen|possible|probable|suspected|suspect|concern|question|maybe)\b|\?"
)
_DENIED_AFTER = re.compile(
    r"\s*(?:(?:was|is|has been)\s+)?(?:ruled out|excluded|unlikely|negative|absent|\?)"
)
_CLAUSE = re.compile(r"[.;,\n]")
_HISTORY = re.compile(
    r"^\s*(?:(?:personal |past )?(?:medical )?(?:history|hx) of|h/o|hx|history|prior|previous|past|remote|old|s/p"
    r"|status post)\b[\s:]*",
    re.IGNORECASE,
)
_FAMILY = re.compile(r"(?:(?:family (?:history|hx)|fhx)(?: of|:)?|fh of) (?:a |an )?", re.IGNORECASE)
_DATED = re.compile(r"[\s(]\(?(?:(?:since|in|from|dx|diagnosed) )?(?:19|20)\d\d\b\)?")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")


def tokens(text: str) -> tuple[str, ...]:
    """Lower-case words; hyphens and slashes part words, apostrophes vanish, "2.5" stays whole."""
    plain = text.lower().replace("'", "").replace("’", "")
    return tuple(_LONE_DOT.sub(" ", _NOT_IN_WORDS.sub(" ", plain)).split())


def key(text: str) -> str:
    """The text's words with one space between: equal keys, same name."""
    return " ".join(tokens(text))


def without_tag(display: str) -> str:
    """A SNOMED CT display without its semantic tag: "Asthma (disorder)" -> "Asthma"."""
    head, _, tag = display.rstrip().rpartition("(")
    return head.rstrip() if head and tag.endswith(")") and tag[:-1] in _TAGS else display


def after_history(text: str) -> str:
    """What follows "history of", "h/o", "s/p" ...; "" when `text` does not begin so."""
    found = _HISTORY.match(text)
    return text[found.end() :].strip() if found else ""


def after_family(text: str) -> str:
    """What follows "family history of", "FHx" ...; "" when `text` does not begin so."""
    plain = text.strip()
    found = _FAMILY.match(plain)
    return plain[found.end() :].strip() if found else ""


def without_year(text: str) -> str:
    """ "gout since 2010" -> "gout"."""
    return _DATED.sub(" ", text).strip()


def last_year_in(text: str) -> int | None:
    """The latest year named in `text`, None without one."""
    years = [int(y) for y in _YEAR.findall(text)]
    return max(years) if years else None


def says(text: str, phrase: str) -> bool:
    """`phrase` stands in `text` as whole words, and nothing in the same clause denies it, doubts it or gives it to a
    relative."""
    lowered = text.lower()
    if phrase not in lowered:
        return False
    for found in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", lowered):
        before = _CLAUSE.split(lowered[: found.start()])[-1]
        if not _NEGATED.search(before) and not _DENIED_AFTER.match(lowered[found.end() :]):
            return True
    return False

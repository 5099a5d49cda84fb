"""From what was typed to plain lower-case text of the same length, and from that to raw tokens with offsets.

Folding keeps one output character for one input character wherever it can, so that spans still point into the original.
Zero-width characters are dropped (they would split words); for that the offsets are returned.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from terminology.text.patterns import ENTITY, PIECE, RAW, SEPARATOR, SIGN, TAG

MAX_PHRASE = 1_000  # characters; a problem-list entry is far shorter
MAX_NOTE = 100_000  # characters; about forty pages

# Letters of other scripts that look like Latin ones. Source: Unicode confusables (the Cyrillic and Greek part).
_LOOK_ALIKE = str.maketrans(
    "аАвВсСеЕнНіІјЈкКмМоОрРѕЅтТуУхХԁԛԝһɡοΟνρΡτΤυΥχΧιΙκΚΑΒΕΗΜΝΖ‐‑‒–—−’‘ʼ′“”⁄∕",
    "aabbcceehhiijjkkmmooppssttuuxxdqwhgoovppttuuxxiikkabehmnz------''''\"\"//",
)
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "µ": "u", "μ": "u"}


def fold(text: str) -> tuple[str, tuple[int, ...] | None]:
    """Lower-case ASCII-like text and, where its length differs, the index in `text` of every character."""
    if "<" in text or "&" in text:
        text = _strip_markup(text)
    if "(-)" in text or "(+)" in text:
        text = SIGN.sub(_signed, text)
    if text.isascii():
        return text.lower(), None
    letters: list[str] = []
    offsets: list[int] = []
    for index, letter in enumerate(text):
        for plain in _plain(letter):
            letters.append(plain)
            offsets.append(index)
    return "".join(letters), tuple(offsets)


def _signed(found: re.Match[str]) -> str:
    """ "(-) fever" is "no fever", "fever (-)" is "fever neg"; "(+)" says nothing new. Three letters for three."""
    if found[2] == "+":
        return found[1] + "   "
    return found[1] + ("no " if not found[1] or found[1][0] in ",:;.\n" else "neg")


def original_span(span: tuple[int, int], offsets: tuple[int, ...] | None) -> tuple[int, int]:
    if offsets is None or span[0] == span[1]:
        return span
    return offsets[span[0]], offsets[span[1] - 1] + 1


@lru_cache(maxsize=4096)
def _plain(letter: str) -> str:
    if letter in _GREEK:
        return _GREEK[letter]
    letter = letter.translate(_LOOK_ALIKE)
    category = unicodedata.category(letter)
    if category in ("Cf", "Mn", "Cs", "Co", "Cn"):
        return ""
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return "\n" if letter in "\n\r\u2028\u2029" else " "
    plain = unicodedata.normalize("NFKD", letter)
    return "".join(c for c in plain if not unicodedata.combining(c)).lower().translate(_LOOK_ALIKE)


def _strip_markup(text: str) -> str:
    """Tags and entities become blanks (or their letter) of the same length."""
    text = TAG.sub(lambda m: " " * len(m.group()), text)
    return ENTITY.sub(lambda m: html.unescape(m.group())[:1].ljust(len(m.group())), text)


def raw_tokens(folded: str) -> list[tuple[str, int, int]]:
    """(token, start, end) with boundary marks (, ; : ( ) newline) as tokens of their own."""
    return [(m.group(), m.start(), m.end()) for m in RAW.finditer(folded)]


def pieces(token: str) -> list[str]:
    """Split a raw token that nobody knows as a whole: at punctuation, and letters from digits ("ckd3b" -> ckd 3b)."""
    found: list[str] = []
    for part in SEPARATOR.split(token.rstrip("%+")):
        if part == "s" and found:  # possessive
            continue
        if part.isalpha() or part.isdigit():
            found.append(part)
        else:
            found.extend(PIECE.findall(part))
    return found

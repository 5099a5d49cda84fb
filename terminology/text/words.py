"""Canonical tokens: one spelling for plurals, British forms, Latin adjectives, Roman numbers and fixed phrases.

The same function runs over the code system's text and over what was typed, so that they meet.
"without X" becomes the token "~X": a stated absence is a fact of its own and never matches X.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from terminology.text.lexicon import Lexicon
from terminology.text.normalise import pieces, raw_tokens

BOUNDARIES = frozenset(",;:()[]\n")
_STOP = frozenset(
    [
        "of",
        "the",
        "a",
        "an",
        "and",
        "or",
        "in",
        "on",
        "to",
        "for",
        "at",
        "by",
        "from",
        "with",
        "as",
        "is",
        "are",
        "was",
        "be",
        "been",
        "this",
        "that",
        "his",
        "her",
        "their",
        "patient",
        "pt",
        "has",
        "have",
        "had",
        "having",
        "w",
        "+",
        "&",
        "@",
        "/",
        "which",
        "it",
        "its",
        "also",
        "but",
        "into",
        "other-than",
    ]
)
_WITHOUT = frozenset(("without", "no", "not", "sans", "w/o", "wo"))
_ENDS_WITHOUT = frozenset(("with", "but", "due", "on", "in", "of", "at"))
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8"}
_ROMAN_SHORT = {"i": "1", "v": "5", "x": "10"}
_NUMBERED = frozenset(
    [
        "type",
        "stage",
        "class",
        "grade",
        "nyha",
        "phase",
        "degree",
        "killip",
        "factor",
        "ckd",
        "category",
        "level",
    ]
)
_REACH = 4  # how many tokens "without" reaches


class Canon:
    """Canonical tokens of a lexicon. Pure after construction but for its memo of words."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._forms = lexicon.words
        self._memo: dict[str, str] = {}
        self._phrases: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
        for phrase, replacement in lexicon.phrases:
            source = tuple(self._mapped(split(phrase)))
            target = tuple(self._mapped(split(replacement)))
            if source and source != target:
                self._phrases.setdefault(source[0], []).append((source, target))
        for options in self._phrases.values():
            options.sort(key=lambda o: (-len(o[0]), o))

    def word(self, word: str) -> str:
        found = self._memo.get(word)
        if found is None:
            if len(self._memo) > 200_000:
                self._memo.clear()
            found = self._memo[word] = self._canonical(word)
        return found

    def is_form(self, word: str) -> bool:
        """True when the lexicon knows the word itself (so it is no misspelling)."""
        return word in self._forms or singular(word) in self._forms or word in _STOP or word in _WITHOUT

    def tokens(self, words: Iterable[str]) -> list[str]:
        """Canonical content tokens of a split text (see `split`); function words and boundaries dropped."""
        return _drop(self._rewritten(self._mapped(words)))

    def placed(self, words: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """As `tokens`, for running text: every canonical token with the range of raw tokens that it stands for.

        A stated absence is left to the cues of assertion here, so there are no "~X" tokens.
        """
        mapped: list[tuple[str, int, int]] = []
        for word, first, last in words:
            if word in BOUNDARIES:
                mapped.append((word, first, last))
            elif word in _ROMAN_SHORT and mapped and mapped[-1][0] in _NUMBERED:
                mapped.append((_ROMAN_SHORT[word], first, last))
            else:
                form = self.word(word)
                mapped.extend((part, first, last) for part in (form.split() if " " in form else (form,)))
        return [p for p in self._rewritten_places(mapped) if p[0] not in _STOP]

    def _rewritten_places(self, tokens: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        index = 0
        while index < len(tokens):
            options = self._phrases.get(tokens[index][0])
            for source, target in options or ():
                width = len(source)
                if tuple(t for t, _, _ in tokens[index : index + width]) == source:
                    first, last = tokens[index][1], tokens[index + width - 1][2]
                    found.extend((t, first, last) for t in target)
                    index += width
                    break
            else:
                found.append(tokens[index])
                index += 1
        return found

    def of(self, text: str) -> list[str]:
        """Canonical tokens of folded text."""
        return self.tokens(split(text))

    def _mapped(self, words: Iterable[str]) -> list[str]:
        found: list[str] = []
        for word in words:
            if word in _ROMAN_SHORT and found and found[-1] in _NUMBERED:
                found.append(_ROMAN_SHORT[word])
                continue
            form = self.word(word)
            if " " in form:
                found.extend(form.split())
            else:
                found.append(form)
        return found

    def _canonical(self, word: str) -> str:
        if word in self._forms:
            return self._forms[word]
        if word in _ROMAN:
            return _ROMAN[word]
        single = singular(word)
        return self._forms.get(single, single)

    def _rewritten(self, tokens: list[str]) -> list[str]:
        if not any(token in self._phrases for token in tokens):
            return tokens
        found: list[str] = []
        index = 0
        while index < len(tokens):
            for source, target in self._phrases.get(tokens[index], ()):
                if tuple(tokens[index : index + len(source)]) == source:
                    found.extend(target)
                    index += len(source)
                    break
            else:
                found.append(tokens[index])
                index += 1
        return found


def split(text: str) -> list[str]:
    """Pieces and boundary marks of folded text, in order."""
    found: list[str] = []
    for token, _, _ in raw_tokens(text):
        if token in BOUNDARIES or token.isalpha() or token in ("w/o",):
            found.append(token)
        else:
            found.extend(pieces(token))
    return joined(found)


def joined(words: list[str]) -> list[str]:
    """ "non sustained" and "non-sustained" are the one word "nonsustained"."""
    if "non" not in words:
        return words
    found: list[str] = []
    for word in words:
        if found and found[-1] == "non" and word.isalpha():
            found[-1] = "non" + word
        else:
            found.append(word)
    return found


def singular(word: str) -> str:
    """A crude English and Latin singular; what matters is only that both sides of a match meet."""
    if word.endswith(("itides", "omata")) and len(word) > 7:  # meningitides, papillomata
        return word[:-4] + "is" if word.endswith("des") else word[:-2]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("oses", "yses", "ases", "eses")) and len(word) > 7 and not word.endswith("eases"):
        return word[:-2] + "is"
    if word.endswith(("xes", "ches", "shes", "sses", "zes")):
        return word[:-2]
    return word[:-1]


def _drop(tokens: Sequence[str]) -> list[str]:
    found: list[str] = []
    reach, last = 0, ""
    for token in tokens:
        if token in _WITHOUT:
            reach = _REACH
        elif token in BOUNDARIES or (token in _ENDS_WITHOUT and last not in ("mention", "evidence")):
            reach = 0
        elif token not in _STOP:
            found.append("~" + token if reach else token)
            reach = max(0, reach - 1)
        last = token
    return list(dict.fromkeys(found))

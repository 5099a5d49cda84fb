"""Languages of displays: a weighted list as in Accept-Language, and which display of a concept answers it.

BCP 47 lookup (RFC 4647 3.4): "de-CH" is answered by "de-CH", then by "de"; "de" also by "de-CH". Without "*; q=0"
whatever there is follows behind the languages asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terminology.fhir.concept import Entry

Json = dict[str, Any]
_DISPLAY_USES = {
    ("http://terminology.hl7.org/CodeSystem/designation-usage", "display"),
    ("http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra", "preferredForLanguage"),
    ("http://snomed.info/sct", "900000000000013009"),
}
# What the display of the code system itself is called among designations (CodeSystem hl7TermMaintInfra of HL7).
OWN_USE = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
}
NOT_DISPLAY = {("http://snomed.info/sct", "900000000000003001")}


@dataclass(frozen=True, slots=True)
class Languages:
    """Tags in the order of preference; `strict`: nothing but these (a wildcard of weight 0)."""

    tags: tuple[str, ...] = ()
    strict: bool = False
    written: str = ""

    def rank(self, language: str) -> int | None:
        """0 is best; None when the language was not asked for."""
        for place, tag in enumerate(self.tags):
            if same(language, tag):
                return place
        return None


def parse(header: str) -> Languages:
    """Of "de, en; q=0.5, *; q=0". Never raises; a malformed weight counts as 1."""
    weighted: list[tuple[float, int, str]] = []
    strict = False
    for place, part in enumerate(header[:1000].split(",")[:50]):
        tag, _, rest = part.strip().partition(";")
        weight = _weight(rest)
        if tag.strip() == "*":
            strict = weight == 0
        elif tag.strip() and weight > 0:
            weighted.append((-weight, place, tag.strip()))
    return Languages(tuple(tag for _, _, tag in sorted(weighted)), strict, header.strip())


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    try:
        return float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        return 1.0


def same(language: str, tag: str) -> bool:
    """Whether a text in `language` answers a wish for `tag`."""
    a, b = language.lower(), tag.lower()
    return bool(a) and (a == b or a.startswith(f"{b}-") or b.startswith(f"{a}-"))


def display(entry: Entry, system_language: str, wanted: Languages, more: Sequence[Json] = ()) -> str:
    """The display in the best language asked for; the system's own where none is there ("" when strict)."""
    return chosen(entry, system_language, wanted, more)[0]


def chosen(
    entry: Entry, system_language: str, wanted: Languages, more: Sequence[Json] = ()
) -> tuple[str, Json | None]:
    """The same, and the designation that it is (None: it is the concept's own display, or there is none)."""
    if not wanted.tags:
        return entry.display, None
    best: tuple[int, int, str, Json | None] | None = None
    for place, (language, text, source) in enumerate(_named(entry, system_language, more)):
        rank = wanted.rank(language)
        if rank is not None and (best is None or (rank, place) < best[:2]):
            best = (rank, place, text, source)
    if best is not None:
        return best[2], best[3]
    return ("" if wanted.strict else entry.display), None


def valid_displays(entry: Entry, system_language: str, wanted: Languages) -> list[tuple[str, str]]:
    """(language, text) of every name that may stand as display: of the languages asked for, or all when none was."""
    named = [(language, text) for language, text in _all_named(entry, system_language) if text]
    if not wanted.tags:
        return named
    return [(language, text) for language, text in named if not language or wanted.rank(language) is not None]


def _named(entry: Entry, system_language: str, more: Sequence[Json]) -> list[tuple[str, str, Json | None]]:
    first: list[tuple[str, str, Json | None]] = (
        [(system_language, entry.display, None)] if entry.display else []
    )
    second: list[tuple[str, str, Json | None]] = []
    for designation in (*more, *entry.designations):
        use = designation.get("use") or {}
        key = (use.get("system"), use.get("code"))
        if not use or key in _DISPLAY_USES:
            second.append(
                (str(designation.get("language", "")), str(designation.get("value", "")), designation)
            )
    return first + second


def _all_named(entry: Entry, system_language: str) -> list[tuple[str, str]]:
    found = [(system_language, entry.display)]
    for designation in entry.designations:
        found.append((str(designation.get("language", "")), str(designation.get("value", ""))))
    return found

"""One concept of one code system, and the protocol that every code system is asked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(slots=True)
class Entry:
    """`designations` and `properties` are FHIR elements of CodeSystem.concept; parents and children are codes."""

    code: str
    display: str = ""
    definition: str = ""
    inactive: bool = False
    abstract: bool = False
    status: str = ""
    designations: Sequence[Json] = ()
    properties: Sequence[Json] = ()
    parents: Sequence[str] = ()
    children: Sequence[str] = ()
    extensions: Sequence[Json] = ()

    def values(self, name: str) -> list[Any]:
        return [value_of(p) for p in self.properties if p.get("code") == name]


@dataclass(frozen=True, slots=True)
class Filter:
    """One ValueSet.compose.include.filter."""

    property: str
    op: str
    value: str


@dataclass(slots=True)
class Page:
    """A part of a selection. `total` counts the whole selection; None when there are too many to count."""

    total: int | None
    entries: list[Entry] = field(default_factory=list)


class CodeSystem(Protocol):
    """A code system of one version. `head` holds the metadata elements of its CodeSystem resource."""

    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def head(self) -> Json: ...
    @property
    def case_sensitive(self) -> bool: ...
    @property
    def language(self) -> str: ...
    @property
    def supplements(self) -> Sequence[str]:
        """Canonicals of the supplements that were laid over it."""
        ...

    def find(self, code: str) -> Entry | None:
        """The concept of a code (in a case-insensitive system: of any spelling of it)."""
        ...

    def relation(self, a: str, b: str) -> str:
        """equivalent, subsumes (a is above b), subsumed-by or not-subsumed; both codes exist."""
        ...

    def page(
        self,
        filters: Sequence[Filter],
        text: str = "",
        *,
        active_only: bool = False,
        count: int | None = None,
        offset: int = 0,
    ) -> Page:
        """What fits every filter and the text. Raises TxError for a filter that cannot be used here."""
        ...  # fmt: skip

    def each(self, filters: Sequence[Filter], text: str = "") -> Iterator[Entry]:
        """The same one by one, in the order of the code system."""
        ...

    def codes(self, filters: Sequence[Filter]) -> Iterator[str]:
        """The codes alone, in any order."""
        ...

    def has(self, code: str, filters: Sequence[Filter]) -> bool:
        """Whether an existing code fits every filter."""
        ...


def value_of(element: Json) -> Any:
    """The value[x] of a property, parameter or extension."""
    return next((v for k, v in element.items() if k.startswith("value") and not k.startswith("_")), None)


STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"


def standards_status(element: Json) -> str:
    """HL7's standards status of a concept, a designation or a resource; "" when it says none."""
    given = element.get("extension")
    found = [e for e in given if isinstance(e, dict)] if isinstance(given, list) else []
    return next((str(value_of(e)) for e in found if e.get("url") == STANDARDS_STATUS), "")


def text_of(value: Any) -> str:
    """As it is compared in a filter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return "" if value is None else str(value)


def words_match(text: str, names: Sequence[str]) -> bool:
    """Whether every word of `text` begins a word of one name ("hear fail" finds "Heart failure")."""
    wanted = [w.casefold() for w in split_words(text)]
    if not wanted:
        return not text.strip()
    for name in names:
        have = [w.casefold() for w in split_words(name)]
        if all(any(h.startswith(w) for h in have) for w in wanted):
            return True
    return False


def split_words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text[:500]).split()

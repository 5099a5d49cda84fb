"""What a terminology answers plain questions with, and how it says that it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from terminology.mapping import Match

Outcome = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]
Translation = Match


class UnknownSystem(LookupError):
    """No release of the code system (or of that version) is loaded."""


class UnknownCode(LookupError):
    """The release has no such code."""


class TooCostly(ValueError):
    """An expansion larger than MAX_EXPANSION was asked for in one piece."""


@dataclass(frozen=True, slots=True)
class Concept:
    """`designations` are (kind, text); `properties` (name, value); `parents` and `children` codes."""

    system: str
    version: str
    name: str
    code: str
    display: str
    active: bool
    designations: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    code: str
    display: str
    matched: str = ""
    active: bool = True
    designations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    total: int
    offset: int
    contains: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Validation:
    result: bool
    message: str = ""
    display: str = ""

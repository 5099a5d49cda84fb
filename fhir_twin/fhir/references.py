"""References inside a resource: find them, and give them other targets. Everything is copied, nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
# A Reference (or None: take it out).
Swap = Callable[[Json], Json | None]


def is_reference(element: Json) -> bool:
    """A literal Reference. (DetectedIssue itself has a `reference`, which is a guideline's address.)"""
    return isinstance(element.get("reference"), str) and "resourceType" not in element


def references_in(value: Any) -> Iterator[Json]:
    """Every Reference object with a literal `reference`, at any depth."""
    if isinstance(value, dict):
        if is_reference(value):
            yield value
        for member in value.values():
            yield from references_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from references_in(member)


def swap_references(value: Any, swap: Swap) -> Any:
    """A copy with each literal Reference replaced by `swap` of it; what becomes empty by that is left out."""
    if isinstance(value, dict):
        if is_reference(value):
            return swap(value)
        members = {k: swap_references(v, swap) for k, v in value.items()}
        kept = {k: v for k, v in members.items() if v is not None and v != {} and v != []}
        # An extension or an activity that only carried the reference means nothing without it.
        return kept if kept and not (set(kept) == {"url"} and set(value) > {"url"}) else None
    if isinstance(value, list):
        return [v for v in (swap_references(v, swap) for v in value) if v is not None]
    return value

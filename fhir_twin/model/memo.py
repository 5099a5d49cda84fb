"""What a value has worked out about itself, kept beside it: asked many times, computed once.

Values stay frozen and equal as before: the memory takes no part in comparing, printing or the plain form, and a copy
with `replace` begins with an empty one.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def memo() -> Any:
    """A dataclass field with an empty dict of its own."""
    return field(default_factory=dict, init=False, repr=False, compare=False, metadata={"plain": False})


class ById(Generic[T]):
    """Hashable by identity, for caches keyed by knowledge, which is loaded once and never changes."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.value is self.value

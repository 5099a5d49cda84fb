"""What a value has worked out about itself, kept beside it: asked many times, computed once.

    _memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN)

Such a value stays frozen and equal as before: the memory takes no part in comparing, printing or the plain form, and a
copy with `replace` begins with an empty one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Generic, TypeVar

T = TypeVar("T")
HIDDEN = MappingProxyType({"plain": False})  # metadata of such a field: never part of the plain form


class ById(Generic[T]):
    """Hashable by identity, for caches keyed by knowledge, which is loaded once and never changes."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.value is self.value

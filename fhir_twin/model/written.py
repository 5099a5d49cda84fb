"""What became of a plan on the server: one action per resource, and how it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_twin.errors import Issue

Action = Literal["create", "update", "unchanged", "cancel", "left-to-clinician", "dropped"]
Mode = Literal["transaction", "single", "document", "none"]


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """One resource. key: our identifier's value (a hash, no PHI). reference: "CarePlan/12/_history/1", "" when
    nothing is on the server (dry run, dropped). note: why, in plain words, without patient values."""

    type: str
    key: str
    action: Action
    reference: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """mode: "none" when nothing had to be sent (or a dry run). dry_run: `items` says what would be done."""

    items: tuple[WrittenItem, ...]
    issues: tuple[Issue, ...] = ()
    mode: Mode = "none"
    dry_run: bool = False

    def count(self, action: Action) -> int:
        return sum(item.action == action for item in self.items)

    @property
    def changed(self) -> bool:
        """True when the server was (or, in a dry run, would be) changed."""
        return any(item.action in ("create", "update", "cancel") for item in self.items)

    def references(self, type_: str) -> tuple[str, ...]:
        return tuple(item.reference for item in self.items if item.type == type_ and item.reference)

"""What a server says has changed: in a notification, in a poll, in a history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

NoticeKind = Literal[
    "handshake", "heartbeat", "event-notification", "query-status", "query-event", "resource", "empty"
]


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A resource that was created, updated or deleted. version "" when not told. resource: as sent, None when only its
    id was (or it is gone). number: of the event in its subscription, 0 without numbers."""

    type: str
    id: str
    version: str = ""
    deleted: bool = False
    resource: Mapping[str, Any] | None = None
    number: int = 0

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True, repr=False)
class Notice:
    """A notification. subscription: its id on the server, "" when not told. status: of the subscription ("active",
    "error", "off"), "" when not told. events: how many since it began, None when not told. numbers: of the events in
    it, also of those that name nothing (then everything has to be looked at)."""

    kind: NoticeKind
    subscription: str = ""
    status: str = ""
    events: int | None = None
    numbers: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()
    errors: int = 0

    @property
    def says_something_changed_but_not_what(self) -> bool:
        if self.kind == "empty":
            return True
        return self.kind in ("event-notification", "query-event") and len(self.changes) < len(self.numbers)

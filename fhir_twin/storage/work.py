"""The nouns of a queue: what is handed in, what is handed out, what a row looks like to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["queued", "running", "done", "dead", "skipped"]
STATES: tuple[State, ...] = ("queued", "running", "done", "dead", "skipped")


@dataclass(frozen=True, slots=True, repr=False)
class NewWork:
    """Work to accept.

    kind: who handles it ("hl7v2", "notification", "plan"). lane: what keeps its order, usually the patient; "" when
    order does not matter. key: what the sender knows it by (MSH-10 and sender, event number, content hash); the same
    key twice is one effect; "" for the content's own hash. body: kept byte for byte. blocks: whether a dead letter of
    this kind holds up its lane until somebody replays or skips it (else a later one makes up for it). meta: short
    words for a person who looks ("ADT^A08"), no patient data. parent: the work that led to this one."""

    kind: str
    lane: str
    body: bytes
    key: str = ""
    blocks: bool = True
    meta: Mapping[str, str] = field(default_factory=dict)
    parent: int | None = None
    trust_key: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is on disk. duplicate: it was there before, with the same content, and is not done again."""

    id: int
    duplicate: bool


@dataclass(frozen=True, slots=True, repr=False)
class Work:
    """Work in hand. fence: proves that we are still the ones who may finish it. attempts: this one included."""

    id: int
    kind: str
    lane: str
    key: str
    body: bytes
    meta: Mapping[str, str]
    attempts: int
    waited: float
    fence: int
    parent: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """A row as `fhir-twin queue show` shows it. waited: seconds of backoff so far. head: first of its lane.
    signed: who skipped or replayed it, and when it came to that."""

    id: int
    kind: str
    lane: str
    key: str
    state: State
    head: bool
    blocks: bool
    attempts: int
    crashes: int
    waited: float
    due: datetime
    accepted: datetime
    finished: datetime | None
    reason: str
    signed: str
    parent: int | None
    meta: Mapping[str, str]
    size: int
    body: bytes = b""
    request: bytes = b""
    reply: bytes = b""


@dataclass(frozen=True, slots=True)
class Limits:
    """depth: most undone rows before new work is refused. free_bytes: room to leave on the disk. max_body: bytes of
    one piece of work. crashes: how often a piece of work may end its worker before it is put aside."""

    depth: int = 100_000
    free_bytes: int = 256_000_000
    max_body: int = 64_000_000
    crashes: int = 3

"""Our subscriptions: what we asked for, how they are, and which events came."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fhir_twin.errors import NotFound
from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import SUBSCRIPTION

_MAX_ABOVE = 1000


@dataclass(frozen=True, slots=True)
class Subscribed:
    """One subscription. id: ours, in its endpoint; server_id: the server's. form: classic | topic. state: requested |
    active | error | off | gone. ends, heard: Unix time. heartbeat: seconds, 0 = none. event: every event up to this
    number came; above: those beyond it that came, too; told: how many there were, by the server's word."""

    id: str
    server_id: str
    form: str
    criteria: str
    secret: str
    state: str
    note: str
    ends: float
    heartbeat: float
    heard: float
    event: int
    created: float
    above: tuple[int, ...] = ()
    told: int = 0

    @property
    def missing(self) -> tuple[int, int] | None:
        """(first, last) event numbers between which some are missing."""
        return (self.event + 1, self.told) if self.told > self.event else None

    def knows(self, secret: str) -> bool:
        """Whether this is the secret that we gave the server (compared in constant time)."""
        return hmac.compare_digest(hash_of(secret), self.secret)


def hash_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class SubscriptionBook:
    """The subscriptions of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def add(self, new: Subscribed) -> None:
        with self._database.write() as tx:
            tx.execute(sa.insert(SUBSCRIPTION).values(tenant=self._tenant, **_values(new)))

    def all(self) -> list[Subscribed]:
        """By age."""
        wanted = sa.select(SUBSCRIPTION).where(SUBSCRIPTION.c.tenant == self._tenant)
        with self._database.read() as tx:
            rows = tx.execute(wanted.order_by(SUBSCRIPTION.c.created, SUBSCRIPTION.c.id)).mappings()
            return [_subscribed(r) for r in rows]

    def get(self, id_: str) -> Subscribed:
        """Raises NotFound."""
        with self._database.read() as tx:
            row = tx.execute(sa.select(SUBSCRIPTION).where(*self._mine(id_))).mappings().first()
        if row is None:
            raise NotFound("there is no such subscription")
        return _subscribed(row)

    def change(self, id_: str, **values: object) -> None:
        """Columns by name (server_id, state, note, ends, secret ...)."""
        with self._database.write() as tx:
            tx.execute(sa.update(SUBSCRIPTION).where(*self._mine(id_)).values(**values))

    def asked(self, id_: str, secret: str, ends: float) -> None:
        """It is asked for (again): a new secret, a new end, and events counted from the beginning."""
        values = {"secret": hash_of(secret), "ends": ends, "state": "requested", **_mark(0, set(), 0)}
        self.change(id_, heard=self._database.clock(), **values)

    def remove(self, id_: str) -> None:
        with self._database.write() as tx:
            tx.execute(sa.delete(SUBSCRIPTION).where(*self._mine(id_)))

    def hear(
        self, id_: str, numbers: Iterable[int], events: int | None, tx: Connection, *, state: str = ""
    ) -> Subscribed:
        """A notification came: its event numbers, and how many events the server says there were. With `tx`, so that
        an event only counts as received once its work is on disk."""
        lock = sa.select(SUBSCRIPTION).where(*self._mine(id_)).with_for_update()
        row = tx.execute(lock).mappings().first()
        if row is None:
            raise NotFound("there is no such subscription")
        held = _subscribed(row)
        values = _mark(held.event, {*held.above, *numbers}, max(held.told, events or 0))
        values["heard"] = self._database.clock()
        if state:
            values |= {"state": state, "note": ""}
        tx.execute(sa.update(SUBSCRIPTION).where(*self._mine(id_)).values(**values))
        return _subscribed({**row, **values})

    def caught_up(self, id_: str, to: int) -> None:
        """Everything up to event `to` was seen in another way (a poll, `$events`)."""
        with self._database.write() as tx:
            row = (
                tx.execute(sa.select(SUBSCRIPTION).where(*self._mine(id_)).with_for_update())
                .mappings()
                .first()
            )
            if row is not None:
                held = _subscribed(row)
                mark = _mark(max(held.event, to), set(held.above), held.told)
                tx.execute(sa.update(SUBSCRIPTION).where(*self._mine(id_)).values(**mark))

    def _mine(self, id_: str) -> tuple[sa.ColumnElement[bool], ...]:
        return SUBSCRIPTION.c.tenant == self._tenant, SUBSCRIPTION.c.id == id_


def _mark(event: int, got: set[int], told: int) -> dict[str, object]:
    """The columns that say which events came."""
    while event + 1 in got:
        event += 1
    above = sorted(n for n in got if n > event)[-_MAX_ABOVE:]
    return {"event": event, "above": json.dumps({"told": max([told, event, *above]), "above": above})}


def _values(s: Subscribed) -> dict[str, object]:
    names = (
        "id",
        "server_id",
        "form",
        "criteria",
        "secret",
        "state",
        "note",
        "ends",
        "heartbeat",
        "heard",
        "created",
    )
    return {**{n: getattr(s, n) for n in names}, **_mark(s.event, set(s.above), s.told)}


def _subscribed(row: Any) -> Subscribed:
    values = {k: v for k, v in dict(row).items() if k != "tenant"}
    marks = json.loads(values["above"])
    return Subscribed(**{**values, "above": tuple(marks["above"]), "told": marks["told"]})

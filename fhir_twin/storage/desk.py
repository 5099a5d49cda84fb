"""What a person does with a queue: look, count, replay, skip, tidy up. `fhir-twin queue` and the metrics use it.

Replay sends the same bytes again. Skip gives up on one piece of work, with a name and a reason; its lane goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fhir_twin.errors import Conflict, InvalidInput, NotFound
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.schema import READY
from fhir_twin.storage.work import Row

_LOOK = (
    "id", "kind", "lane", "key", "state", "head", "blocks", "attempts", "crashes", "waited", "due", "accepted",
    "finished", "reason", "signed", "parent", "meta",
)  # fmt: skip
_BYTES = ("body", "request", "reply")


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by state; blocked: undone rows behind a dead head; oldest: seconds that the oldest undone row is waiting."""

    states: dict[str, int]
    blocked: int
    oldest: float


class Desk:
    """Looks at one queue and mends it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._database = queue.database
        self._table = queue.table

    def rows(
        self, states: Sequence[str] = (), *, lane: str = "", kind: str = "", after: int = 0, limit: int = 50
    ) -> list[Row]:
        """In order of acceptance, without their bodies; `after` an id."""
        t = self._table
        wanted = sa.select(*(t.c[name] for name in _LOOK), sa.func.length(t.c.body).label("size"))
        wanted = wanted.where(t.c.tenant == self.queue.tenant, t.c.id > after)
        if states:
            wanted = wanted.where(t.c.state.in_(states))
        if lane:
            wanted = wanted.where(t.c.lane == lane)
        if kind:
            wanted = wanted.where(t.c.kind == kind)
        with self._database.read() as tx:
            return [_row(r) for r in tx.execute(wanted.order_by(t.c.id).limit(limit)).mappings()]

    def row(self, id_: int) -> Row:
        """One row with its body, and the last request and reply. Raises NotFound."""
        t = self._table
        with self._database.read() as tx:
            found = (
                tx.execute(sa.select(t).where(t.c.tenant == self.queue.tenant, t.c.id == id_))
                .mappings()
                .first()
            )
        if found is None:
            raise NotFound(f"there is no entry {id_} in this queue")
        return _row(found)

    def counts(self) -> Counts:
        """For `queue list`, the metrics and readiness."""
        t = self._table
        mine = t.c.tenant == self.queue.tenant
        dead = t.alias("dead")
        held = sa.select(dead.c.lane).where(
            dead.c.tenant == self.queue.tenant, dead.c.state == "dead", dead.c.blocks, dead.c.head
        )
        with self._database.read() as tx:
            states = tx.execute(sa.select(t.c.state, sa.func.count()).where(mine).group_by(t.c.state)).all()
            blocked = tx.execute(
                sa.select(sa.func.count())
                .select_from(t)
                .where(mine, t.c.state == "queued", t.c.lane.in_(held))
            ).scalar()
            oldest = tx.execute(
                sa.select(sa.func.min(t.c.accepted)).where(mine, t.c.state == "queued")
            ).scalar()
        age = 0.0 if oldest is None else max(0.0, self._database.clock() - float(oldest))
        return Counts({str(s): int(n) for s, n in states}, int(blocked or 0), age)

    def replay(self, id_: int, who: str, *, force: bool = False) -> int:
        """Do it again, byte for byte. A dead or skipped row goes back to its place in its lane; of a done row a copy is
        accepted (only with `force`: it had its effect). The id of what will be done.

        Raises Conflict when a later one of the same lane and kind is done already (an old plan would overwrite a newer
        one), unless forced, and when it is still queued or running."""
        _check_name(who)
        row = self.row(id_)
        if row.state in ("queued", "running"):
            raise Conflict(f"entry {id_} is {row.state}; there is nothing to replay")
        if not force and row.state == "done":
            raise Conflict(f"entry {id_} is done; replaying it would do it twice (say force if you mean it)")
        if not force and not row.blocks and self._later_done(row):
            raise Conflict(
                f"a later one of the same lane is done; entry {id_} is out of date (force overrides)"
            )
        signed = _signed("replayed", who, self._database.clock())
        with self._database.write() as tx:
            self.queue.hold(tx, {row.lane})
            if row.state == "done":
                return self._copy(tx, row, signed)
            t = self._table
            anew = {
                "state": "queued",
                "attempts": 0,
                "crashes": 0,
                "waited": 0.0,
                "finished": None,
                "pause": 0.0,
            }
            now = self._database.clock()
            mine = sa.and_(t.c.id == id_, t.c.state == row.state)
            values = {**anew, "due": now, "head": not row.lane or row.head, "signed": signed}
            if tx.execute(sa.update(t).where(mine).values(**values)).rowcount != 1:
                raise Conflict(f"entry {id_} has just changed; look again")
            self.queue.promote(tx, row.lane)
        return id_

    def skip(self, id_: int, who: str, reason: str) -> None:
        """Give up on a queued or dead row; its lane goes on without it."""
        _check_name(who)
        if not reason.strip():
            raise InvalidInput("skipping needs a reason: it stays in the record")
        row = self.row(id_)
        if row.state not in ("queued", "dead"):
            raise Conflict(f"entry {id_} is {row.state}; only what is queued or dead can be skipped")
        t = self._table
        now = self._database.clock()
        with self._database.write() as tx:
            self.queue.hold(tx, {row.lane})
            values = {"state": "skipped", "head": False, "finished": now, "reason": reason.strip()[:2000]}
            mine = sa.and_(t.c.id == id_, t.c.state == row.state)
            signed = _signed("skipped", who, now)
            if tx.execute(sa.update(t).where(mine).values(**values, signed=signed)).rowcount != 1:
                raise Conflict(f"entry {id_} has just changed; look again")
            self.queue.promote(tx, row.lane)

    def purge(self, older_than: float) -> int:
        """Delete rows that were done or skipped more than that many seconds ago; their keys are then forgotten, so a
        repetition later than that is done again. Dead rows stay until somebody decides. How many."""
        t = self._table
        old = sa.and_(
            t.c.tenant == self.queue.tenant,
            t.c.state.in_(("done", "skipped")),
            t.c.finished < self._database.clock() - older_than,
        )
        with self._database.write() as tx:
            return int(tx.execute(sa.delete(t).where(old)).rowcount)

    def erase(self, lane: str, tx: Connection | None = None) -> int:
        """Delete everything of a lane, whatever its state (erasure of a patient). How many rows."""
        t = self._table
        with self._database.write(tx) as connection:
            self.queue.hold(connection, {lane})
            mine = sa.and_(t.c.tenant == self.queue.tenant, t.c.lane == lane)
            return int(connection.execute(sa.delete(t).where(mine)).rowcount)

    def erase_mentions(self, patient: str, tx: Connection) -> int:
        """Finished notifications whose body speaks of this patient (they stand in the lane of their subscription)."""
        t = self._table
        done = sa.and_(
            t.c.tenant == self.queue.tenant, t.c.kind == "notice", t.c.state.in_(("done", "dead", "skipped"))
        )
        word = f'"Patient/{patient}"'.encode(), f'/Patient/{patient}"'.encode()
        rows = tx.execute(sa.select(t.c.id, t.c.body).where(done))
        ids = [int(r.id) for r in rows if any(w in bytes(r.body) for w in word)]
        for i in range(0, len(ids), 500):
            tx.execute(sa.delete(t).where(t.c.id.in_(ids[i : i + 500])))
        return len(ids)

    def idle(self) -> bool:
        """Nothing is ready or running (what waits for its time, or is blocked, does not count)."""
        t = self._table
        ready = sa.and_(sa.text(READY), self.queue.ripe())
        undone = sa.select(t.c.id).where(
            t.c.tenant == self.queue.tenant, sa.or_(ready, t.c.state == "running")
        )
        with self._database.read() as tx:
            return tx.execute(undone.limit(1)).first() is None

    def _later_done(self, row: Row) -> bool:
        t = self._table
        later = sa.select(t.c.id).where(
            *(t.c.tenant == self.queue.tenant, t.c.lane == row.lane, t.c.kind == row.kind),
            *(t.c.state == "done", t.c.id > row.id),
        )
        with self._database.read() as tx:
            return bool(row.lane) and tx.execute(later.limit(1)).first() is not None

    def _copy(self, tx: Connection, row: Row, signed: str) -> int:
        t = self._table
        again = sa.select(sa.func.count()).select_from(t).where(t.c.parent == row.id, t.c.signed != "")
        turn = int(tx.execute(again).scalar() or 0) + 1
        new = self.queue.copy_of(row, key=f"{row.key[:230]}#again-{turn}")
        id_ = self.queue.accept(new, tx).id
        tx.execute(sa.update(t).where(t.c.id == id_).values(signed=signed))
        return id_


def _check_name(who: str) -> None:
    if not who.strip() or len(who) > 80:
        raise InvalidInput("say who you are (at most 80 characters): it stays in the record")


def _signed(what: str, who: str, now: float) -> str:
    return f"{what} by {who.strip()} {datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"[:128]


def _row(found: sa.RowMapping) -> Row:
    values: dict[str, Any] = {name: found[name] for name in _LOOK}
    for name in ("due", "accepted", "finished"):
        values[name] = None if found[name] is None else datetime.fromtimestamp(found[name], UTC)
    values["meta"] = json.loads(found["meta"]) if found["meta"] else {}
    values |= {name: bytes(found[name]) for name in _BYTES if name in found}
    return Row(**values, size=int(found["size"] if "size" in found else len(found["body"])))

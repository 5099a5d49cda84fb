"""A durable queue: accepted means on disk, done at least once, one effect, order within a lane.

    queue.accept(NewWork("hl7v2", lane="MRN|123", key="ACME|MSG001", body=message))   # durable when it returns
    work = queue.claim("worker-1", ("hl7v2",))
    queue.done(work)            # or retry(work, ...), dead(work, ...), release(work)

Every method takes `tx`, a transaction of `Database.write`, to be part of something larger: a handler's results, the
work that follows from them and the end of its own work are one commit. Why our own table: decision 0090.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fhir_twin.errors import Conflict, InvalidInput
from fhir_twin.storage.database import Database
from fhir_twin.storage.lease import LeaseWatch
from fhir_twin.storage.pressure import Pressure
from fhir_twin.storage.schema import RUNNING
from fhir_twin.storage.statements import Statements, ripe
from fhir_twin.storage.work import Accepted, Limits, NewWork, Row, Work

_RUNNING = sa.text(RUNNING)
_MAX_REQUEST = 4_000_000


class LeaseLost(Conflict):
    """Somebody else has taken this work over meanwhile; what we did is not to be recorded."""


class Queue:
    """One table (`schema.JOB` or `schema.OUTBOX`) for one tenant. lease: seconds after which silent work is taken
    over. Thread-safe."""

    def __init__(
        self,
        database: Database,
        table: sa.Table,
        tenant: str,
        *,
        lease: float = 60.0,
        limits: Limits | None = None,
    ) -> None:
        self.database = database
        self.table = table
        self.tenant = tenant
        self.limits = limits or Limits()
        self.watch = LeaseWatch(lease)
        self._pressure = Pressure(database, table, tenant, self.limits)
        self._say = Statements(table, tenant, is_sqlite=database.is_sqlite)

    # --- in ------------------------------------------------------------------------------------------

    def accept(self, new: NewWork, tx: Connection | None = None) -> Accepted:
        """Durable when it returns (with `tx`: when that commits).

        Raises Busy (full, or the disk is; nothing was taken), Conflict (this key is known with other content) and
        InvalidInput (too large). Work that follows from work in hand (`tx`) is never refused for want of room."""
        return self.accept_many((new,), tx)[0]

    def accept_many(self, work: Sequence[NewWork], tx: Connection | None = None) -> list[Accepted]:
        """All or none, in one commit; the order within a lane is the order given."""
        for new in work:
            self._check(new)
        if tx is None:
            self._pressure.check(len(work))
        with self.database.write(tx) as connection:
            self.hold(connection, {new.lane for new in work})
            return [self._put(connection, new) for new in work]

    def make_room(self, more: int) -> None:
        """Raises Busy when there is no room for `more`; for who accepts within a transaction of its own."""
        self._pressure.check(more)

    def _check(self, new: NewWork) -> None:
        if not new.kind or len(new.kind) > 64 or len(new.lane) > 255 or len(new.key) > 255:
            raise InvalidInput("work needs a kind, and a lane and key of at most 255 characters")
        if len(new.body) > self.limits.max_body:
            raise InvalidInput(f"a message is larger than {self.limits.max_body} bytes")

    def _put(self, connection: Connection, new: NewWork) -> Accepted:
        now = self.database.clock()
        digest = hashlib.sha256(new.body).hexdigest()
        key = new.key or f"{new.lane}#{digest}"[-255:]
        values = {
            **{name: getattr(new, name) for name in ("kind", "lane", "body", "blocks", "parent")},
            "key": key,
            "digest": digest,
            "due": now,
            "accepted": now,
            "meta": json.dumps(dict(new.meta)) if new.meta else "",
        }
        id_ = connection.execute(self._say.insert, values).scalar()
        if id_ is not None:
            return Accepted(int(id_), False)
        held = connection.execute(self._say.known, {"kind": new.kind, "key": key}).one()
        if held.digest != digest and not new.trust_key:
            raise Conflict("a message with this identification but other content was accepted before")
        return Accepted(int(held.id), True)

    # --- out -----------------------------------------------------------------------------------------

    def claim(self, owner: str, kinds: Sequence[str] = ()) -> Work | None:
        """The oldest work that may be done now, for `owner`; None when there is none. kinds: only these (() = all)."""
        if self.watch.due():
            self.reclaim()
        values: dict[str, object] = {"now": self.database.clock(), "as_owner": owner}
        with self.database.write() as connection:
            if kinds:
                found = connection.execute(self._say.claim_kinds, {**values, "kinds": list(kinds)})
            else:
                found = connection.execute(self._say.claim, values)
            row = found.mappings().first()
        return None if row is None else _work(row)

    def ripe(self) -> sa.ColumnElement[bool]:
        """Rows whose pause is over."""
        return ripe(self.table, self.database.clock())

    def beat(self, work: Work) -> bool:
        """Still at it. False when the work was taken over."""
        return self._held(work, None, beat=self.table.c.beat + 1)

    def done(
        self, work: Work, *, request: bytes = b"", reply: bytes = b"", tx: Connection | None = None
    ) -> None:
        """Raises LeaseLost, which must undo the whole of `tx`."""
        now = self.database.clock()
        self._leave(work, tx, state="done", finished=now, reason="", **_exchange(request, reply))

    def dead(
        self,
        work: Work,
        reason: str,
        *,
        request: bytes = b"",
        reply: bytes = b"",
        tx: Connection | None = None,
    ) -> None:
        """Put aside for a person, with the reason (no patient data), what was sent and what came back."""
        now = self.database.clock()
        self._leave(work, tx, state="dead", finished=now, reason=reason[:2000], **_exchange(request, reply))

    def retry(
        self, work: Work, reason: str, wait: float, *, request: bytes = b"", reply: bytes = b""
    ) -> None:
        """Again, not before `wait` seconds from now. It keeps its place: its lane waits with it."""
        now, waited = self.database.clock(), self.table.c.waited + wait
        again = {
            "state": "queued",
            "due": now + wait,
            "pause": wait,
            "waited": waited,
            "reason": reason[:2000],
        }
        if not self._held(work, None, owner="", **again, **_exchange(request, reply)):
            raise LeaseLost("this work was taken over by another worker")

    def release(self, work: Work) -> None:
        """Give it back untouched (a worker that stops)."""
        self._held(work, None, state="queued", owner="", attempts=self.table.c.attempts - 1)

    def reclaim(self) -> int:
        """Take work from workers that fell silent; work that ended its worker too often is put aside. How many."""
        t = self.table
        with self.database.read() as connection:
            running = sa.select(t.c.id, t.c.fence, t.c.beat).where(t.c.tenant == self.tenant, _RUNNING)
            rows = [(int(r[0]), int(r[1]), int(r[2])) for r in connection.execute(running)]
        gone = self.watch.abandoned(rows)
        for id_, fence in gone:
            self._take_back(id_, fence)
        return len(gone)

    def _take_back(self, id_: int, fence: int) -> None:
        t = self.table
        one = sa.and_(t.c.id == id_, t.c.fence == fence, _RUNNING)
        with self.database.write() as connection:
            lane = connection.execute(sa.select(t.c.lane, t.c.crashes).where(one)).first()
            if lane is None:
                return
            self.hold(connection, {lane.lane})
            poison = lane.crashes + 1 >= self.limits.crashes
            values: dict[str, object] = {"state": "queued", "crashes": t.c.crashes + 1, "owner": ""}
            if poison:
                reason = f"its worker ended {lane.crashes + 1} times while at it"
                values |= {"state": "dead", "reason": reason, "finished": self.database.clock()}
            values["fence"] = t.c.fence + 1  # whoever still holds it can no longer finish it
            changed = connection.execute(sa.update(t).where(one).values(**values)).rowcount
            if changed and poison:
                self.promote(connection, lane.lane)

    def copy_of(self, row: Row, key: str) -> NewWork:
        """The same work under another key."""
        return NewWork(row.kind, row.lane, row.body, key, row.blocks, row.meta, row.id)

    # --- order ---------------------------------------------------------------------------------------

    def promote(self, connection: Connection, lane: str) -> None:
        """Make the first active row of a lane its head, unless its head is at work. Hold the lane before."""
        if not lane:
            return
        t, first = self.table, self._say.first(lane)
        here = sa.and_(t.c.tenant == self.tenant, t.c.lane == lane, t.c.head)
        if connection.execute(sa.select(t.c.id).where(here, _RUNNING)).first() is not None:
            return
        connection.execute(sa.update(t).where(here, t.c.id != first).values(head=False))
        connection.execute(sa.update(t).where(t.c.id == first).values(head=True))

    def _leave(self, work: Work, tx: Connection | None, **values: object) -> None:
        with self.database.write(tx) as connection:
            self.hold(connection, {work.lane})
            blocks = False
            if values["state"] == "dead" and work.lane:
                blocks = bool(
                    connection.execute(
                        sa.select(self.table.c.blocks).where(self.table.c.id == work.id)
                    ).scalar()
                )
            given = {f"to_{name}": value for name, value in values.items()}
            mine = {"work": work.id, "held": work.fence, "to_head": blocks}
            if connection.execute(self._say.leave, {**given, **mine}).rowcount != 1:
                raise LeaseLost("this work was taken over by another worker")
            if work.lane and not blocks:
                connection.execute(self._say.next, {"of_lane": work.lane})

    def _held(self, work: Work, tx: Connection | None, **values: object) -> bool:
        t = self.table
        mine = sa.and_(t.c.id == work.id, t.c.fence == work.fence, _RUNNING)
        with self.database.write(tx) as connection:
            return connection.execute(sa.update(t).where(mine).values(**values)).rowcount == 1

    def hold(self, connection: Connection, lanes: Iterable[str]) -> None:
        """For the rest of this transaction. PostgreSQL: who adds to or leaves a lane does so alone, else numbers
        become visible out of order. Sorted, so that two who want the same lanes cannot lock each other out. SQLite
        has one writer anyway."""
        if self.database.is_sqlite:
            return
        for lane in sorted(lane for lane in lanes if lane):
            connection.execute(self._say.lock, {"number": self._number(lane)})

    def _number(self, lane: str) -> int:
        text = f"{self.table.name}\0{self.tenant}\0{lane}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def _exchange(request: bytes, reply: bytes) -> dict[str, object]:
    return {"request": request[:_MAX_REQUEST], "reply": reply[:_MAX_REQUEST]}


def _work(row: sa.RowMapping) -> Work:
    meta = json.loads(row["meta"]) if row["meta"] else {}
    names = ("id", "kind", "lane", "key", "body", "attempts", "waited", "fence", "parent")
    return Work(meta=meta, **{name: row[name] for name in names})

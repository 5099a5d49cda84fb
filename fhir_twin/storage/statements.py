"""The statements of a queue's hot path, built once: making them anew would cost more than SQLite's own work."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from fhir_twin.storage.schema import ACTIVE, READY, RUNNING

_GIVEN = ("kind", "lane", "key", "digest", "body", "meta", "blocks", "parent", "due", "accepted")
_FRESH: dict[str, object] = {
    **dict.fromkeys(("attempts", "crashes", "fence", "beat"), 0),
    **dict.fromkeys(("waited", "pause"), 0.0),
    **dict.fromkeys(("owner", "reason", "signed"), ""),
    **dict.fromkeys(("request", "reply"), b""),
    "state": "queued",
}


class Statements:
    """For one table and tenant. Parameters are named in each docstring."""

    def __init__(self, table: sa.Table, tenant: str, *, is_sqlite: bool) -> None:
        self._table = table
        self._tenant = tenant
        self._row = table.alias("lane_row")
        self._is_sqlite = is_sqlite
        self.insert = self._insert()
        self.known = self._known()
        self.claim = self._claim(of_kinds=False)
        self.claim_kinds = self._claim(of_kinds=True)
        self.leave = self._leave()
        self.next = self._next()
        self.lock = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("number", type_=sa.BigInteger)))

    def _insert(self) -> Any:
        """kind, lane, key, digest, body, meta, blocks, parent, due, accepted. Gives the id; nothing when known."""
        t, row = self._table, self._row
        lane = sa.bindparam("lane", type_=t.c.lane.type)
        other = sa.exists().where(row.c.tenant == self._tenant, row.c.lane == lane, sa.text(ACTIVE))
        given = {name: sa.bindparam(name, type_=t.c[name].type) for name in _GIVEN}
        values = {**_FRESH, **given, "tenant": self._tenant, "head": sa.or_(lane == "", ~other)}
        insert = (sqlite.insert if self._is_sqlite else postgresql.insert)(t).values(**values)
        return insert.on_conflict_do_nothing(index_elements=["tenant", "kind", "key"]).returning(t.c.id)

    def _known(self) -> Any:
        """kind, key."""
        t = self._table
        same = (t.c.kind == sa.bindparam("kind"), t.c.key == sa.bindparam("key"))
        return sa.select(t.c.id, t.c.digest).where(t.c.tenant == self._tenant, *same)

    def _claim(self, *, of_kinds: bool) -> Any:
        """now, as_owner, and kinds (a list)."""
        t = self._table
        ready = sa.select(t.c.id).where(
            t.c.tenant == self._tenant, sa.text(READY), ripe(t, sa.bindparam("now"))
        )
        if of_kinds:
            ready = ready.where(t.c.kind.in_(sa.bindparam("kinds", expanding=True)))
        ready = ready.order_by(t.c.id).limit(1)
        if not self._is_sqlite:
            ready = ready.with_for_update(skip_locked=True)
        taken = {"state": "running", "beat": 0, "owner": sa.bindparam("as_owner", type_=t.c.owner.type)}
        counted = {"fence": t.c.fence + 1, "attempts": t.c.attempts + 1}
        return sa.update(t).where(t.c.id == ready.scalar_subquery()).values(**taken, **counted).returning(t)

    def _leave(self) -> Any:
        """work, held (its fence), and to_NAME for state, finished, reason, request, reply, head."""
        t = self._table
        mine = (t.c.id == sa.bindparam("work"), t.c.fence == sa.bindparam("held"), sa.text(RUNNING))
        names = ("state", "finished", "reason", "request", "reply", "head")
        values = {name: sa.bindparam(f"to_{name}", type_=t.c[name].type) for name in names}
        return sa.update(t).where(*mine).values(**values, owner="")

    def _next(self) -> Any:
        """of_lane: its first active row becomes its head."""
        first = self.first(sa.bindparam("of_lane", type_=self._table.c.lane.type))
        return sa.update(self._table).where(self._table.c.id == first).values(head=True)

    def first(self, lane: Any) -> sa.ScalarSelect[int]:
        """The id of the first active row of a lane."""
        row = self._row
        here = sa.and_(row.c.tenant == self._tenant, row.c.lane == lane, sa.text(ACTIVE))
        return sa.select(sa.func.min(row.c.id)).where(here).scalar_subquery()


def ripe(table: sa.Table, now: Any) -> sa.ColumnElement[bool]:
    """Rows whose pause is over. A clock that was set back must not hold work up: a moment before the pause began
    counts as after it."""
    return sa.or_(table.c.due <= now, table.c.due - table.c.pause > now)

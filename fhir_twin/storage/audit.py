"""The audit: append-only (the database refuses changes), each row's hash covers the one before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from fhir_twin.storage.database import Database
from fhir_twin.storage.schema import AUDIT


@dataclass(frozen=True, slots=True, repr=False)
class AuditRow:
    """body: the AuditEvent as JSON text. chain: SHA-256 over the row before and this one."""

    id: int
    recorded: datetime
    patient: str
    what: str
    outcome: str
    who: str
    body: str
    chain: str


class AuditTrail:
    """The audit of one tenant."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def add(
        self, body: str, *, patient: str, what: str, outcome: str, who: str, tx: Connection | None = None
    ) -> int:
        """Durable when it returns (with `tx`: when that commits). Its id."""
        with self._database.write(tx) as connection:
            if not self._database.is_sqlite:  # one chain: writers take turns
                key = int.from_bytes(
                    hashlib.blake2b(self._tenant.encode(), digest_size=8).digest(), "big", signed=True
                )
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key ^ 0x61756469)))
            last = sa.select(AUDIT.c.chain).where(AUDIT.c.tenant == self._tenant)
            before = connection.execute(last.order_by(AUDIT.c.id.desc()).limit(1)).scalar() or ""
            chain = _link(str(before), body)
            values = {
                "tenant": self._tenant,
                "recorded": self._database.clock(),
                "patient": patient,
                "what": what,
                "outcome": outcome,
                "who": who[:128],
                "body": body,
                "chain": chain,
            }
            done = connection.execute(sa.insert(AUDIT).values(**values).returning(AUDIT.c.id))
            return int(done.scalar_one())

    def rows(self, *, patient: str = "", after: int = 0, limit: int = 1000) -> Iterator[AuditRow]:
        """In order; of one patient: the access log, accounting of disclosures."""
        wanted = sa.select(AUDIT).where(AUDIT.c.tenant == self._tenant, AUDIT.c.id > after)
        if patient:
            wanted = wanted.where(AUDIT.c.patient == patient)
        with self._database.read() as tx:
            for row in tx.execute(wanted.order_by(AUDIT.c.id).limit(limit)).mappings():
                values = {k: v for k, v in row.items() if k != "tenant"}
                yield AuditRow(**{**values, "recorded": datetime.fromtimestamp(row["recorded"], UTC)})

    def broken(self) -> int | None:
        """The id of the first row that does not follow from the one before it; None when the chain is whole."""
        before, after = "", 0
        while True:
            rows = list(self.rows(after=after))
            if not rows:
                return None
            for row in rows:
                if row.chain != _link(before, row.body):
                    return row.id
                before, after = row.chain, row.id


def _link(before: str, body: str) -> str:
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()

"""Short-lived secrets of the web faces: launches under way, sessions, links from cards, ids of used JWTs.

One table of sealed values that expire. Nothing in it can be read without the key (security.md 5.2), and every
question is one statement, so that several processes may share it: `take` gives a value to one asker only, `replace`
fails when somebody else was faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from fhir_twin import log
from fhir_twin.errors import Busy, StoreError
from fhir_twin.storage.group_commit import GroupCommit
from fhir_twin.storage.sealing import Sealer

METADATA = MetaData()
_ATTEMPTS = 8
RECORDS = Table(
    "web_record",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Index("web_record_expires", "expires"),
)


@contextmanager
def telling(opened: AbstractContextManager[Connection]) -> Iterator[Connection]:
    """What the database refuses, as Busy: its own texts may quote a row."""
    try:
        with opened as connection:
            yield connection
    except SQLAlchemyError as error:
        log.failure("store.web", error)
        raise Busy("the store of the web faces is busy or cannot be reached; try again") from None


def create_tables(engine: Engine) -> None:
    """What is missing. Several processes begin at once: who finds the table made meanwhile, or the file locked, looks
    again. Raises StoreError."""
    for attempt in range(_ATTEMPTS):
        try:
            METADATA.create_all(engine)
            return
        except (OperationalError, ProgrammingError, IntegrityError):
            time.sleep(0.1 * (attempt + 1))
    raise StoreError("the tables of the web faces cannot be made; is the database reachable and writable?")


@dataclass(frozen=True, slots=True, repr=False)
class Kept:
    """A value that was put: seen and expires in Unix seconds; version grows with each replace."""

    value: dict[str, Any]
    version: int
    seen: int
    expires: int


class WebState:
    """Values by (kind, key). `now` is Unix seconds and always an argument. Thread-safe."""

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self._writer = GroupCommit(engine)
        create_tables(engine)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def sealer(self) -> Sealer:
        return self._sealer

    def put(self, kind: str, key: str, value: dict[str, Any], *, now: float, expires: float) -> bool:
        """False when there is such a value already (which is then left alone)."""
        return self.put_many(kind, ((key, value),), now=now, expires=expires)

    def put_many(
        self,
        kind: str,
        items: Iterable[tuple[str, dict[str, Any]]],
        *,
        now: float,
        expires: float,
        wait: bool = True,
    ) -> bool:
        """All or none; False when one of them is there already. wait=False: written soon, and not told of."""
        rows = tuple(
            {
                "kind": kind,
                "name": self._sealer.name(key),
                "version": 1,
                "seen": int(now),
                "expires": int(expires),
                "value": self._sealer.seal(orjson.dumps(value)),
            }
            for key, value in items
        )
        return self._writer.insert(RECORDS, rows, wait=wait) if rows else True

    def get(self, kind: str, key: str, *, now: float) -> Kept | None:
        """None when there is none or it has expired."""
        query = select(RECORDS).where(*self._at(kind, key), RECORDS.c.expires > int(now))
        with telling(self._engine.connect()) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Kept(orjson.loads(self._sealer.open(row.value)), row.version, row.seen, row.expires)

    def take(self, kind: str, key: str, *, now: float) -> dict[str, Any] | None:
        """The value, once: of several askers one gets it, the others None."""
        kept = self.get(kind, key, now=now)
        if kept is None:
            return None
        with telling(self._engine.begin()) as connection:
            gone = connection.execute(
                delete(RECORDS).where(*self._at(kind, key), RECORDS.c.version == kept.version)
            )
        return kept.value if gone.rowcount == 1 else None

    def replace(
        self, kind: str, key: str, value: dict[str, Any], *, version: int, now: float, expires: float
    ) -> bool:
        """Put a new value where `version` still stands; False when somebody else was faster."""
        sealed = self._sealer.seal(orjson.dumps(value))
        with telling(self._engine.begin()) as connection:
            done = connection.execute(
                update(RECORDS)
                .where(*self._at(kind, key), RECORDS.c.version == version)
                .values(version=version + 1, seen=int(now), expires=int(expires), value=sealed)
            )
        return done.rowcount == 1

    def touch(self, kind: str, key: str, *, now: float, expires: float) -> None:
        """It was used: keep it until `expires`."""
        with telling(self._engine.begin()) as connection:
            connection.execute(
                update(RECORDS).where(*self._at(kind, key)).values(seen=int(now), expires=int(expires))
            )

    def drop(self, kind: str, key: str) -> None:
        with telling(self._engine.begin()) as connection:
            connection.execute(delete(RECORDS).where(*self._at(kind, key)))

    def sweep(self, *, now: float) -> int:
        """Delete what has expired; how many."""
        with telling(self._engine.begin()) as connection:
            return connection.execute(delete(RECORDS).where(RECORDS.c.expires <= int(now))).rowcount

    def _at(self, kind: str, key: str) -> tuple[Any, Any]:
        return RECORDS.c.kind == kind, RECORDS.c.name.in_(self._sealer.names(key))

"""One database: opened, its tables brought up to date, its transactions.

    with database.write() as tx:      # all of it or nothing, on disk when the block has ended
        ...

SQLite: WAL, synchronous FULL (NORMAL may lose the last commits when the power fails), one writer at a time by
BEGIN IMMEDIATE, a local disk. PostgreSQL: psycopg, synchronous_commit on. Whatever the database refuses is told as
`Busy` (try again later) or `StoreError`; neither text quotes a row.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine, make_url

from fhir_twin import log
from fhir_twin.errors import Busy, InvalidInput, StoreError
from fhir_twin.storage.migrations import upgrade

_FULL = ("disk is full", "no space left", "disk i/o error", "53100")
_READ = "fhir_twin_read"


class Database:
    """clock: Unix time, for stamps and retry times only (never for leases). busy_timeout: seconds that a transaction
    waits for another one's lock before it gives up with `Busy`. Thread-safe; a forked child opens its own
    connections."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout: float = 10.0,
        pool: int = 20,
    ) -> None:
        self.url = _url(url)
        self.clock = clock
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._busy_timeout = busy_timeout
        self._pool = pool
        self._process = os.getpid()
        self._engine = self._make()

    def open(self) -> Database:
        """Create or upgrade the tables and look at how safe the database is. Raises StoreError and Busy."""
        if self.is_sqlite:
            self._make_file()
        with self._telling():
            upgrade(self._engine)
        self._look_at_safety()
        return self

    @property
    def engine(self) -> Engine:
        """The engine of this process (a child of a fork must not use its parent's connections)."""
        if self._process != os.getpid():
            self._engine.dispose(close=False)
            self._process, self._engine = os.getpid(), self._make()
        return self._engine

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def write(self, tx: Connection | None = None) -> Iterator[Connection]:
        """A transaction that may write; durable when the block ends. Inside another (`tx`) it is part of that."""
        if tx is not None:
            yield tx
            return
        with self._telling(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; waits for nobody."""
        with self._telling(), self.engine.connect() as connection:
            connection.execution_options(**{_READ: True})
            with connection.begin():
                yield connection

    def free_bytes(self) -> int | None:
        """Room on the disk of a SQLite file; None where we cannot know."""
        return None if self.path is None else shutil.disk_usage(self.path.parent).free

    def close(self) -> None:
        self.engine.dispose()

    def _make(self) -> Engine:
        if self.is_sqlite:
            engine = sa.create_engine(
                self.url, connect_args={"timeout": self._busy_timeout}, pool_size=self._pool
            )
            event.listen(engine, "connect", _sqlite_connect)
            event.listen(engine, "begin", _sqlite_begin)
            return engine
        options = f"-c synchronous_commit=on -c lock_timeout={int(self._busy_timeout * 1000)}"
        return sa.create_engine(
            self.url,
            connect_args={"options": options, "connect_timeout": 10},
            pool_pre_ping=True,
            pool_size=self._pool,
            pool_timeout=self._busy_timeout,
        )

    def _make_file(self) -> None:
        """The file is for its owner only: it holds patient data."""
        path = self.path
        if path is None or str(path) == ":memory:":
            raise InvalidInput("the store must be a file or a PostgreSQL database: memory is lost at a crash")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"the store {path} cannot be written to: {error.strerror}") from None

    def _look_at_safety(self) -> None:
        """PostgreSQL without fsync keeps no promise of ours; that is said, not hidden."""
        if self.is_sqlite:
            return
        with self.read() as tx:
            if tx.execute(sa.text("SHOW fsync")).scalar() != "on":
                log.warning("store.unsafe", code="fsync-off")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except exc.TimeoutError:
            raise Busy("the store has no free connection; try again") from None
        except (exc.OperationalError, exc.InternalError, exc.InterfaceError) as error:
            raise _told(error) from None
        except exc.DBAPIError as error:
            if error.connection_invalidated:
                raise Busy("the connection to the store broke off; try again") from None
            raise StoreError(f"the store refused a statement ({type(error.orig).__name__})") from error


def _told(error: exc.DBAPIError) -> Busy | StoreError:
    """By the kind of trouble; the driver's text can quote values, so it goes no further."""
    text = f"{error.orig} {getattr(error.orig, 'sqlstate', '')}".lower()
    if any(word in text for word in _FULL):
        return Busy("the disk of the store is full; nothing was accepted", retry_after=60)
    if "malformed" in text or "not a database" in text:
        return StoreError("the store is damaged; restore it from a backup (docs/operations.md)")
    return Busy("the store cannot be written to just now (locked, or not reachable); try again")


def _url(text: str) -> sa.URL:
    """A SQLAlchemy URL, or the path of a SQLite file."""
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        url = make_url(text)
    except exc.ArgumentError:
        raise InvalidInput("the store is a file's path or a database URL (postgresql://...)") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidInput("the store can be SQLite or PostgreSQL")
    return url


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

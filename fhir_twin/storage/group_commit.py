"""Small writes of many threads in few transactions: one writer a process, so that a call does not wait for others'.

SQLite has one writer at a time and lets the others sleep for growing times; a thread that collects what is to be
written for a moment and commits it together is many times faster under load.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from fhir_twin import log
from fhir_twin.errors import StoreError

MOST = 500


@dataclass(frozen=True, slots=True)
class _Job:
    table: Table
    rows: tuple[dict[str, Any], ...]
    done: Future[bool] = field(default_factory=Future)


class GroupCommit:
    """insert: all rows of a job or none of them; False when one of them is there already. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def insert(self, table: Table, rows: tuple[dict[str, Any], ...], *, wait: bool = True) -> bool:
        """wait=False: True at once; for what may be lost with the process. Raises StoreError when it cannot be
        written."""
        job = _Job(table, rows)
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()
            self._jobs.put(job)
        return job.done.result() if wait else True

    def _run(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < MOST and not self._jobs.empty():
                jobs.append(self._jobs.get())
            try:
                with self._engine.begin() as connection:
                    answers = [_insert(connection, job) for job in jobs]
            except SQLAlchemyError as error:  # its text may quote a row
                log.failure("store.write", error)
                for job in jobs:
                    job.done.set_exception(StoreError("the store of the web faces cannot be written"))
                continue
            for job, answer in zip(jobs, answers, strict=True):
                job.done.set_result(answer)


def _insert(connection: Connection, job: _Job) -> bool:
    """Within the batch each job stands alone: what is refused is taken back to its beginning."""
    made: Any = {"sqlite": sqlite, "postgresql": postgresql}[connection.dialect.name].insert(job.table)
    step = connection.begin_nested()
    own = next(iter(job.table.primary_key.columns))
    for row in job.rows:  # what comes back was inserted; row counts are not told by every driver
        if connection.execute(made.on_conflict_do_nothing().returning(own), row).first() is None:
            step.rollback()
            return False
    step.commit()
    return True

"""The durable queue against its floor: raw SQLite with synchronous=FULL, same machine, same run (mark: at most 3x).

    python benchmarks/bench_queue.py [--rows 400]

The floor does what a queue cannot do without: one commit to accept, one to claim, one to finish. Ours adds order per
patient, deduplication, leases, back-pressure, and SQLAlchemy. With PostgreSQL's programs installed the same is timed
there (no floor: its commit is what costs). Body 4 kB; medians of three runs.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import PostgresServer, binaries

from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork

BODY = b"x" * 4096


def floor(folder: Path, rows: int) -> tuple[float, float]:
    """(accept, claim + finish) in microseconds a row."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE q (id INTEGER PRIMARY KEY, state TEXT, body BLOB)")
    connection.execute("CREATE INDEX i ON q (state, id)")
    start = time.perf_counter()
    for _ in range(rows):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO q (state, body) VALUES ('queued', ?)", (BODY,))
        connection.execute("COMMIT")
    middle = time.perf_counter()
    for _ in range(rows):
        connection.execute("BEGIN IMMEDIATE")
        row = connection.execute(
            "SELECT id, body FROM q WHERE state = 'queued' ORDER BY id LIMIT 1"
        ).fetchone()
        connection.execute("UPDATE q SET state = 'running' WHERE id = ?", (row[0],))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE q SET state = 'done' WHERE id = ?", (row[0],))
        connection.execute("COMMIT")
    end = time.perf_counter()
    connection.close()
    return (middle - start) / rows * 1e6, (end - middle) / rows * 1e6


def ours(url: str, rows: int) -> tuple[float, float]:
    """The same through `Queue`, 20 patients."""
    store = open_store(url)
    start = time.perf_counter()
    for i in range(rows):
        store.jobs.accept(NewWork("bench", f"Patient/{i % 20}", BODY, str(i)))
    middle = time.perf_counter()
    while (work := store.jobs.claim("bench")) is not None:
        store.jobs.done(work)
    end = time.perf_counter()
    store.close()
    return (middle - start) / rows * 1e6, (end - middle) / rows * 1e6


def medians(run: Callable[[Path], tuple[float, float]]) -> tuple[float, float]:
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            found.append(run(Path(folder)))
    return statistics.median(f[0] for f in found), statistics.median(f[1] for f in found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=400)
    rows = parser.parse_args().rows
    put, take = medians(lambda folder: floor(folder, rows))
    rate = 1e6 / (put + take)
    print(f"floor, raw SQLite FULL:  accept {put:7.0f} us   claim + finish {take:7.0f} us   {rate:6.0f}/s")
    own_put, own_take = medians(lambda folder: ours(str(folder / "s.db"), rows))
    ratio = (own_put + own_take) / (put + take)
    print(f"ours, SQLite FULL:       accept {own_put:7.0f} us   claim + finish {own_take:7.0f} us   "
          f"{1e6 / (own_put + own_take):6.0f}/s")  # fmt: skip
    print(f"ratio {ratio:.2f} (mark: at most 3)")
    if binaries() is not None:
        server = PostgresServer()
        try:
            put, take = ours(server.new_database(), rows)
        finally:
            server.remove()
        rate = 1e6 / (put + take)
        print(
            f"ours, PostgreSQL:        accept {put:7.0f} us   claim + finish {take:7.0f} us   {rate:6.0f}/s"
        )
    if ratio > 3:
        sys.exit(1)


if __name__ == "__main__":
    main()

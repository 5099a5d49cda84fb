"""What may happen to the store and to us (performance.md 4.6): disk, locks, restarts, clocks, poison, upgrades."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from postgres_server import PostgresServer

from fhir_twin.errors import Busy, StoreError
from fhir_twin.storage.database import Database
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.lease import LeaseWatch
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.schema import JOB
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import Limits, NewWork
from fhir_twin.worker.loop import Bench, Finish, Worker


def new(key: str, lane: str = "p", size: int = 10) -> NewWork:
    return NewWork("test", lane, key.encode() + b"x" * size, key)


def integrity(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_a_full_disk_refuses_new_work_and_corrupts_nothing(tmp_path: Path) -> None:
    """Row "disk full" by PRAGMA max_page_count: refused, what was accepted is there, it resumes when there is room."""
    path = tmp_path / "s.db"
    store = open_store(str(path), limits=Limits(free_bytes=0))
    pages: list[int] = []

    @sa.event.listens_for(store.database.engine, "begin")
    def limit(connection: sa.Connection) -> None:
        if pages:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages[0]}")

    with store.database.read() as tx:
        used = int(tx.execute(sa.text("PRAGMA page_count")).scalar() or 0)
    pages.append(used + 20)
    accepted = []
    with pytest.raises(Busy) as refused:
        for i in range(200):
            accepted.append(store.jobs.accept(new(f"k{i}", size=2000)).id)
    assert 1 < len(accepted) < 199
    assert "full" in refused.value.message
    assert integrity(path) == "ok"
    pages[0] = used + 10_000
    assert store.jobs.accept(new("later")).id > accepted[-1]
    assert len(Desk(store.jobs).rows(limit=1000)) == len(accepted) + 1
    store.close()


def test_a_file_size_limit_refuses_new_work_and_corrupts_nothing(tmp_path: Path) -> None:
    """The same by RLIMIT_FSIZE, in a process of its own."""
    script = textwrap.dedent("""
        import resource, signal, sys
        from fhir_twin.errors import Busy, StoreError
        from fhir_twin.storage.store import open_store
        from fhir_twin.storage.work import NewWork, Limits
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = open_store(sys.argv[1], limits=Limits(free_bytes=0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        done = 0
        try:
            for i in range(2000):
                store.jobs.accept(NewWork("t", "p", b"x" * 4000, f"k{i}"))
                done += 1
        except (Busy, StoreError) as error:
            print(done, type(error).__name__)
    """)
    path = tmp_path / "s.db"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    count, kind = done.stdout.split()
    assert kind == "Busy"
    store = open_store(str(path))
    assert len(Desk(store.jobs).rows(limit=5000)) == int(count) > 0
    assert integrity(path) == "ok"
    store.jobs.accept(new("later"))
    store.close()


def test_a_locked_database_is_waited_for_or_refused_and_then_goes_on(tmp_path: Path) -> None:
    """Row "database locked": shorter than the patience waits, longer is Busy (503), and nothing is taken by halves."""
    path = tmp_path / "s.db"
    store = open_store(str(path), busy_timeout=1.0)
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        store.jobs.accept(new("a"))
    with pytest.raises(Busy):
        store.jobs.claim("w")
    threading.Timer(0.4, lambda: lock.execute("ROLLBACK")).start()
    assert not store.jobs.accept(new("a")).duplicate  # waited for
    assert store.jobs.claim("w") is not None
    lock.close()
    store.close()


def test_a_worker_lives_through_a_locked_store(tmp_path: Path, until: Callable[..., None]) -> None:
    path = tmp_path / "s.db"
    store = open_store(str(path), busy_timeout=0.2)
    seen: list[str] = []
    worker = Worker(
        [Bench(store.jobs, {"test": lambda w: seen.append(w.key) or Finish()})], threads=1, poll=0.02
    )
    runner = threading.Thread(target=worker.run, daemon=True)
    runner.start()
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(0.8)
    lock.execute("ROLLBACK")
    store.jobs.accept(new("a"))
    until(lambda: Desk(store.jobs).counts().states == {"done": 1})
    worker.stop()
    runner.join()
    lock.close()
    store.close()


def test_postgresql_restarted_in_the_middle(postgres: PostgresServer, until: Callable[..., None]) -> None:
    """Row "PostgreSQL restarted" (restart -m immediate): 503 meanwhile, then all goes on, once, in order."""
    store = open_store(postgres.new_database(), lease=1.0)
    seen: list[str] = []

    def handler(work: Any) -> Finish:
        time.sleep(0.01)
        return Finish(save=lambda tx: seen.append(work.key))

    workers = [Worker([Bench(store.jobs, {"test": handler})], threads=1, poll=0.02) for _ in range(2)]
    crew = [threading.Thread(target=w.run, daemon=True) for w in workers]
    for thread in crew:
        thread.start()
    refused = 0
    for i in range(60):
        if i in (20, 40):
            threading.Thread(target=postgres.restart).start()
            time.sleep(0.05)
        while True:
            try:
                store.jobs.accept(new(f"{i:03}", f"p{i % 3}"))
                break
            except (Busy, StoreError):
                refused += 1
                time.sleep(0.05)
    until(lambda: _quiet(store), 60)
    for worker in workers:
        worker.stop()
    for thread in crew:
        thread.join()
    rows = Desk(store.jobs).rows(limit=100)
    assert [r.state for r in rows] == ["done"] * 60
    assert refused > 0
    for lane in ("p0", "p1", "p2"):
        ends = [r.finished for r in rows if r.lane == lane]
        assert ends == sorted(ends)  # type: ignore[type-var]
    store.close()


def _quiet(store: Any) -> bool:
    try:
        return Desk(store.jobs).counts().states == {"done": 60}
    except (Busy, StoreError):
        return False


def test_skip_locked_lets_two_postgresql_workers_claim_at_once(postgres: PostgresServer) -> None:
    """SKIP LOCKED works only inside a transaction: while one claim is open, another takes the next row at once."""
    a, b = (Queue(Database(url).open(), JOB, "main") for url in [postgres.new_database()] * 2)
    a.accept_many([new("1", "x"), new("2", "y")])
    taken = threading.Event()
    release = threading.Event()
    real = a.database.write

    def slow() -> None:
        import contextlib

        @contextlib.contextmanager
        def held(tx: Any = None) -> Any:
            with real(tx) as connection:
                yield connection
                taken.set()
                release.wait(5)

        a.database.write = held  # type: ignore[method-assign]
        assert a.claim("a").key == "1"  # type: ignore[union-attr]

    thread = threading.Thread(target=slow)
    thread.start()
    taken.wait(5)
    start = time.monotonic()
    work = b.claim("b")
    assert time.monotonic() - start < 2
    assert work is not None
    assert work.key == "2"
    release.set()
    thread.join()
    a.database.close()
    b.database.close()


def test_clock_jumps_in_process_lease_nothing_twice(tmp_path: Path) -> None:
    """Row "clock jumps": one hour forward and back, over the change of summer time too."""
    store = open_store(str(tmp_path / "s.db"), lease=30)
    other = Queue(store.database, JOB, "main", lease=30)
    store.jobs.accept_many([new("a", "1"), new("b", "2")])
    for moment in (
        "2026-10-25T00:59:59Z",
        "2026-10-25T02:00:00Z",
        "2026-10-24T23:00:00Z",
        "2016-12-31T23:59:59Z",
    ):
        with time_machine.travel(moment, tick=True):
            held = store.jobs.claim("w1") if moment.startswith("2026-10-25T00") else None
            if held is None:
                store.jobs.reclaim()
                assert other.reclaim() == 0
    assert [r.attempts for r in Desk(store.jobs).rows(("running",))] == [1]
    work = other.claim("w2")
    assert work is not None
    assert work.key == "b"
    other.retry(work, "down", 5)
    with time_machine.travel(time.time() - 3600, tick=True):
        assert other.claim("w2") is not None  # a retry is not put off by an hour
    store.close()


def test_clock_jumps_of_whole_processes(tmp_path: Path) -> None:
    """Three workers whose wall clocks differ by an hour each way do each thing once, and none waits an hour.

    (libfaketime 0.9.10 breaks sleeping on the monotonic clock, so each process shifts its own wall clock.)"""
    path = tmp_path / "s.db"
    store = open_store(str(path), lease=2.0)
    store.jobs.accept_many([new(f"{i:02}", f"p{i % 4}") for i in range(24)])
    script = textwrap.dedent("""
        import os, sys, time
        real, shift = time.time, float(sys.argv[3])
        time.time = lambda: real() + shift
        from fhir_twin.errors import UpstreamError
        from fhir_twin.storage.store import open_store
        from fhir_twin.worker.loop import Bench, Finish, Worker
        store = open_store(sys.argv[1], lease=2.0)
        out = os.open(sys.argv[2], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        def handler(work):
            if work.attempts == 1 and int(work.key) % 5 == 0:
                raise UpstreamError("once")
            os.write(out, (work.key + chr(10)).encode())
            time.sleep(0.03)
            return Finish()
        worker = Worker([Bench(store.jobs, {"test": handler})], threads=1, poll=0.02)
        end = time.monotonic() + 30
        from fhir_twin.storage.desk import Desk
        while time.monotonic() < end and Desk(store.jobs).counts().states != {"done": 24}:
            worker.step() or time.sleep(0.02)
    """)
    log = tmp_path / "log"
    crew = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(log), shift])
        for shift in ("0", "3600", "-3600")
    ]
    for process in crew:
        assert process.wait(60) == 0
    assert sorted(log.read_text().split()) == [f"{i:02}" for i in range(24)]
    assert Desk(store.jobs).counts().states == {"done": 24}
    store.close()


def test_poison_is_quarantined_and_the_rest_flows(tmp_path: Path) -> None:
    """Row "poison message": it kills its worker each time; after three it is set aside."""
    path = tmp_path / "s.db"
    store = open_store(str(path), lease=0.3)
    store.jobs.accept_many([new("poison", "a"), new("good", "b"), new("behind", "a"), new("other", "c")])
    script = textwrap.dedent("""
        import os, signal, sys
        from fhir_twin.storage.store import open_store
        from fhir_twin.worker.loop import Bench, Finish, Worker
        store = open_store(sys.argv[1], lease=0.3)
        def handler(work):
            if work.key == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            return Finish()
        Worker([Bench(store.jobs, {"test": handler})], threads=1, poll=0.02).run_until_idle(10)
    """)
    ends = [
        subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode for _ in range(4)
    ]
    assert ends[:3] == [-signal.SIGKILL] * 3
    assert ends[3] == 0
    states = {r.key: r.state for r in Desk(store.jobs).rows()}
    assert states == {"poison": "dead", "good": "done", "other": "done", "behind": "queued"}
    row = Desk(store.jobs).rows(("dead",))[0]
    assert "worker ended 3 times" in row.reason
    Desk(store.jobs).skip(row.id, "Ada Admin", "a test")
    assert store.jobs.claim("w").key == "behind"  # type: ignore[union-attr]
    store.close()


def test_every_acceptance_is_preceded_by_a_sync(tmp_path: Path) -> None:
    """Row "power loss": strace shows that the answer leaves only after fdatasync (or fsync) of the log."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    script = textwrap.dedent("""
        import os, sys
        from fhir_twin.storage.store import open_store
        from fhir_twin.storage.work import NewWork
        store = open_store(sys.argv[1])
        for i in range(10):
            store.jobs.accept(NewWork("t", f"p{i}", b"x" * 500, f"k{i}"))
            os.write(1, b"ACK %d\\n" % i)
    """)
    log = tmp_path / "trace"
    command = [strace, "-f", "-e", "trace=fsync,fdatasync,write,pwrite64", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-c", script, str(tmp_path / "s.db")], capture_output=True, check=False
    )
    if done.returncode != 0 and b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.stdout.count(b"ACK") == 10
    unsynced = False
    acks = 0
    for line in log.read_text(errors="replace").splitlines():
        if "pwrite64(" in line:
            unsynced = True
        elif "fdatasync(" in line or "fsync(" in line:
            unsynced = False
        elif '"ACK ' in line:
            acks += 1
            assert not unsynced, "an acceptance left before its row was synced"
    assert acks == 10


def test_old_and_new_programs_side_by_side(tmp_path: Path) -> None:
    """Row "two instances; upgrade with messages queued": an old worker leaves kinds and columns it does not know."""
    path = tmp_path / "s.db"
    store = open_store(str(path))
    store.jobs.accept(new("old"))
    with store.database.write() as tx:  # what version N+1 will do: a column with a default, a kind of its own
        tx.execute(sa.text("ALTER TABLE job ADD COLUMN later TEXT DEFAULT 'x' NOT NULL"))
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    again = open_store(str(path))
    again.jobs.accept(new("new", "q"))
    again.jobs.accept(NewWork("kind-of-n-plus-1", "r", b"x", "z"))
    done: list[str] = []
    workers = [
        Worker([Bench(s.jobs, {"test": lambda w: done.append(w.key) or Finish()})], threads=1)
        for s in (store, again)
    ]
    while any(w.step() for w in workers):
        pass
    assert sorted(done) == ["new", "old"]
    assert [r.kind for r in Desk(again.jobs).rows(("queued",))] == ["kind-of-n-plus-1"]
    store.close()
    again.close()


def test_a_kill_between_commit_and_send_and_between_send_and_mark(line: Any) -> None:
    """The two moments that matter, exactly: the worker vanishes before it sends, and after it sent."""
    id_ = line.plan()
    box = line.store.outbox
    box.watch = LeaseWatch(0.0)
    assert box.claim("dies before it sends") is not None
    box.reclaim()
    work = box.claim("dies after it sent")
    assert work is not None
    line.handler(work)
    once = line.held()
    assert once["CarePlan"] == 1
    box.reclaim()
    while line.worker.step():
        pass
    row = line.row(id_)
    assert (row.state, row.attempts, row.crashes) == ("done", 3, 2)
    assert line.held() == once


def test_stopping_finishes_what_is_in_hand(tmp_path: Path) -> None:
    """Graceful stop: nothing new is claimed, nothing in hand is cut off."""
    store = open_store(str(tmp_path / "s.db"))
    store.jobs.accept_many([new("a", "1"), new("b", "2")])
    begun = threading.Event()

    def slow(work: Any) -> Finish:
        begun.set()
        time.sleep(0.4)
        return Finish()

    worker = Worker([Bench(store.jobs, {"test": slow})], threads=1)
    runner = threading.Thread(target=worker.run)
    runner.start()
    begun.wait(5)
    worker.stop()
    runner.join(5)
    assert [r.state for r in Desk(store.jobs).rows()] == ["done", "queued"]
    store.close()

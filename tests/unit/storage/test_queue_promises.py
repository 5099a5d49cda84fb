"""The promises of a queue (performance.md 4.5), each on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from fhir_twin.errors import Busy, Conflict, InvalidInput
from fhir_twin.storage.database import Database
from fhir_twin.storage.lease import LeaseWatch
from fhir_twin.storage.queue import LeaseLost, Queue
from fhir_twin.storage.schema import JOB, METADATA, OUTBOX
from fhir_twin.storage.work import Limits, NewWork, Work


def queue(database: Database, **options: object) -> Queue:
    return Queue(database, JOB, "main", **options)  # type: ignore[arg-type]


def new(key: str, lane: str = "p1", body: bytes = b"x", kind: str = "test", **more: object) -> NewWork:
    return NewWork(kind, lane, body, key, **more)  # type: ignore[arg-type]


def claimed(q: Queue, owner: str = "w") -> Work:
    work = q.claim(owner)
    assert work is not None
    return work


def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    with database.write() as tx:
        assert compare_metadata(MigrationContext.configure(tx), METADATA) == []


def test_accepted_is_there_for_another_process(opened: Callable[..., Database]) -> None:
    body = bytes(range(256))
    accepted = queue(opened()).accept(new("a", body=body, meta={"event": "ADT^A08"}))
    work = claimed(queue(opened()))
    assert (work.id, work.body, work.meta, work.attempts) == (accepted.id, body, {"event": "ADT^A08"}, 1)


def test_the_same_twice_is_one_and_another_under_its_key_is_a_conflict(database: Database) -> None:
    q = queue(database)
    first = q.accept(new("a", body=b"one"))
    again = q.accept(new("a", body=b"one"))
    assert (again.id, again.duplicate, first.duplicate) == (first.id, True, False)
    with pytest.raises(Conflict):
        q.accept(new("a", body=b"two"))
    q.done(claimed(q))
    assert q.accept(new("a", body=b"one")).duplicate  # also when it is done already
    assert q.claim("w") is None


def test_without_a_key_the_content_is_the_key(database: Database) -> None:
    q = queue(database)
    assert not q.accept(new("", body=b"one")).duplicate
    assert q.accept(new("", body=b"one")).duplicate
    assert not q.accept(new("", lane="p2", body=b"one")).duplicate


def test_one_lane_is_in_order_and_holds_up_no_other(database: Database) -> None:
    q = queue(database)
    for key, lane in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("n1", ""), ("n2", "")):
        q.accept(new(key, lane))
    first = [claimed(q) for _ in range(4)]
    assert [w.key for w in first] == ["a1", "b1", "n1", "n2"]  # a2 waits for a1
    assert q.claim("w") is None
    q.retry(first[0], "the server is down", 3600)
    q.done(first[1])
    assert q.claim("w") is None  # a1 waits, and a2 behind it


def test_a_dead_letter_that_blocks_holds_its_lane_and_one_that_does_not_lets_it_go(
    database: Database,
) -> None:
    q = queue(database)
    for key, lane, blocks in (("a1", "a", True), ("a2", "a", True), ("b1", "b", False), ("b2", "b", False)):
        q.accept(new(key, lane, blocks=blocks))
    q.dead(claimed(q), "refused")
    q.dead(claimed(q), "refused")
    assert claimed(q).key == "b2"
    assert q.claim("w") is None


def test_what_follows_is_in_the_same_commit_as_the_end(database: Database) -> None:
    q, out = queue(database), Queue(database, OUTBOX, "main")
    q.accept(new("a"))
    work = claimed(q)
    with pytest.raises(RuntimeError), database.write() as tx:
        out.accept(new("plan", parent=work.id), tx)
        q.done(work, tx=tx)
        raise RuntimeError
    assert out.claim("w") is None
    with database.write() as tx:
        out.accept(new("plan", parent=work.id), tx)
        q.done(work, tx=tx)
    assert claimed(out).parent == work.id


def test_who_lost_the_lease_can_finish_nothing(opened: Callable[..., Database]) -> None:
    moment = [0.0]
    slow, quick = queue(opened()), queue(opened())
    quick.watch = LeaseWatch(10, lambda: moment[0])
    slow.accept(new("a"))
    work = claimed(slow, "slow")
    assert quick.claim("quick") is None
    moment[0] = 9.9
    assert quick.claim("quick") is None
    assert slow.beat(work)  # alive: the lease begins anew
    moment[0] = 19
    assert quick.claim("quick") is None
    moment[0] = 30
    taken = claimed(quick, "quick")
    assert (taken.id, taken.attempts) == (work.id, 2)
    assert not slow.beat(work)
    for end in (slow.done, lambda w: slow.dead(w, "x"), lambda w: slow.retry(w, "x", 1)):
        with pytest.raises(LeaseLost):
            end(work)
    quick.done(taken)


def test_work_that_ends_its_workers_is_put_aside_and_others_flow(database: Database) -> None:
    moment = [0.0]
    q = queue(database, limits=Limits(crashes=2))
    q.watch = LeaseWatch(1, lambda: moment[0])
    q.accept(new("poison", "a", blocks=False))
    q.accept(new("good", "b"))
    q.accept(new("next", "a"))
    assert [claimed(q).key, claimed(q).key] == ["poison", "good"]  # and then this worker dies
    q.reclaim()  # seen at work
    moment[0] = 2
    assert {claimed(q).key, claimed(q).key} == {"poison", "good"}
    q.reclaim()
    moment[0] = 4
    assert claimed(q).key == "next"


def test_full_means_no_and_nothing_was_taken(database: Database) -> None:
    q = queue(database, limits=Limits(depth=2, max_body=10))
    q.accept_many([new("a"), new("b")])
    with pytest.raises(Busy) as refused:
        q.accept(new("c"))
    assert refused.value.retry_after > 0
    with pytest.raises(InvalidInput):
        q.accept(new("d", body=b"x" * 11))
    q.done(claimed(q))
    assert not q.accept(new("c")).duplicate
    with database.write() as tx:  # what follows from work in hand is never refused
        q.accept(new("d"), tx)


def test_a_full_disk_means_no(tmp_path: object) -> None:
    database = Database(str(tmp_path / "s.db")).open()  # type: ignore[operator]
    q = queue(database, limits=Limits(free_bytes=1 << 60))
    with pytest.raises(Busy):
        q.accept(new("a"))
    database.close()


def test_tenants_do_not_see_each_other(database: Database) -> None:
    one, two = Queue(database, JOB, "one"), Queue(database, JOB, "two")
    one.accept(new("a"))
    assert two.claim("w") is None
    assert not two.accept(new("a")).duplicate


def test_a_clock_set_back_or_forward_holds_nothing_up(opened: Callable[..., Database]) -> None:
    wall = [1_000_000.0]
    q = queue(opened(clock=lambda: wall[0]))
    q.accept(new("a"))
    q.retry(claimed(q), "down", 30)
    assert q.claim("w") is None
    wall[0] -= 3600
    q.retry(claimed(q), "down", 30)
    wall[0] += 7200
    assert claimed(q).key == "a"


def test_two_who_add_to_one_lane_keep_its_order(opened: Callable[..., Database]) -> None:
    """PostgreSQL numbers rows before they are visible: without a lock per lane a later number is seen first."""
    a, b = opened(), opened()
    first, second, go = queue(a), queue(b), threading.Event()

    def late() -> None:
        go.wait()
        second.accept(new("second"))

    other = threading.Thread(target=late)
    other.start()
    with a.write() as tx:
        first.accept(new("first"), tx)
        go.set()
        other.join(0.3)  # it must wait for our commit
        assert other.is_alive()
        assert a.is_sqlite or queue(b).claim("w") is None
    other.join()
    work = claimed(first)
    assert work.key == "first"
    assert second.claim("w") is None
    first.done(work)
    assert claimed(second).key == "second"


def test_many_workers_claim_each_row_once_and_in_order(opened: Callable[..., Database]) -> None:
    q = queue(opened())
    q.accept_many([new(f"{i:03}", f"p{i % 5}") for i in range(60)])
    seen: list[tuple[str, str]] = []
    guard = threading.Lock()

    def work(name: str) -> None:
        mine = queue(opened())
        while got := mine.claim(name):
            with guard:
                seen.append((got.lane, got.key))
            mine.done(got)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    while got := q.claim("rest"):  # a worker may have seen only busy lanes and gone
        seen.append((got.lane, got.key))
        q.done(got)
    assert len(seen) == len(set(seen)) == 60
    for lane in {s[0] for s in seen}:
        keys = [k for found, k in seen if found == lane]
        assert keys == sorted(keys)


def test_the_store_is_synced_before_it_is_accepted(database: Database) -> None:
    with database.read() as tx:
        if database.is_sqlite:
            assert tx.execute(sa.text("PRAGMA synchronous")).scalar() == 2
            assert tx.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        else:
            assert tx.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"

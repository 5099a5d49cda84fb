"""Duplicates and reordering on intake, and line bombs under a memory limit (performance.md 4.6)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fhir_twin.errors import Conflict
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.lease import LeaseWatch
from fhir_twin.storage.queue import LeaseLost
from fhir_twin.storage.store import open_store
from fhir_twin.storage.work import NewWork, Work

KEYS = [f"{lane}{n}" for lane in "abc" for n in range(4)]


class Intake(RuleBasedStateMachine):
    """A sender that repeats and shuffles, workers that fail, vanish and come back late, an administrator who replays
    and skips: each message has its effect once, in the order of acceptance within its lane."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.moment = 0.0
        self.store = open_store(str(Path(self.folder.name) / "s.db"))
        self.store.jobs.watch = LeaseWatch(1.0, lambda: self.moment)
        self.accepted: dict[str, list[str]] = {}
        self.effects: dict[str, list[str]] = {}
        self.in_hand: list[Work] = []
        self.skipped: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(key=st.sampled_from(KEYS))
    def send(self, key: str) -> None:
        again = self.store.jobs.accept(NewWork("m", key[0], key.encode(), key)).duplicate
        known = key in self.accepted.get(key[0], [])
        assert again == known
        if not known:
            self.accepted.setdefault(key[0], []).append(key)

    @rule(key=st.sampled_from(KEYS))
    def send_other_content(self, key: str) -> None:
        if key in self.accepted.get(key[0], []):
            with pytest.raises(Conflict):
                self.store.jobs.accept(NewWork("m", key[0], b"other", key))

    @rule()
    def claim(self) -> None:
        work = self.store.jobs.claim("w")
        if work is not None:
            self.in_hand.append(work)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), end=st.sampled_from(["done", "retry", "dead", "release"]))
    def finish(self, data: st.DataObject, end: str) -> None:
        work = self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1)))
        try:
            if end == "done":
                with self.store.database.write() as tx:
                    self.store.jobs.done(work, tx=tx)
                self.effects.setdefault(work.lane, []).append(work.key)
            elif end == "retry":
                self.store.jobs.retry(work, "later", 0.0)
            elif end == "dead":
                self.store.jobs.dead(work, "refused")
            else:
                self.store.jobs.release(work)
        except LeaseLost:
            return  # somebody else has it: our effect was undone with the transaction

    @rule()
    def everybody_in_hand_falls_silent(self) -> None:
        """They are taken over; their late finish must then have no effect."""
        self.store.jobs.reclaim()
        self.moment += 2.0
        self.store.jobs.reclaim()

    @rule(force=st.booleans())
    def replay(self, force: bool) -> None:
        dead = Desk(self.store.jobs).rows(("dead",), limit=1)
        if dead:
            Desk(self.store.jobs).replay(dead[0].id, "Ada", force=force)

    @rule()
    def skip(self) -> None:
        dead = Desk(self.store.jobs).rows(("dead",), limit=1)
        if dead:
            Desk(self.store.jobs).skip(dead[0].id, "Ada", "no longer needed")
            self.skipped.add(dead[0].key)

    @invariant()
    def once_and_in_order(self) -> None:
        if not hasattr(self, "store"):
            return
        for lane, done in self.effects.items():
            order = [k for k in self.accepted[lane] if k not in self.skipped]
            assert done == order[: len(done)], "twice, or out of order"

    @invariant()
    def at_most_one_of_a_lane_is_at_work(self) -> None:
        if hasattr(self, "store"):
            running = [r.lane for r in Desk(self.store.jobs).rows(("running",), limit=100)]
            assert len(running) == len(set(running))


TestIntake = Intake.TestCase
TestIntake.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_line_bombs_of_a_bulk_run_stay_within_the_memory(tmp_path: Path) -> None:
    """Row "memory limit": RLIMIT_AS, a line of 300 MB among good ones: it is quarantined, the rest is read."""
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        from fhir_twin.transport.bulk_files import look
        from fhir_twin.transport.bulk_state import BulkState, KeptFile
        folder = Path(sys.argv[1])
        with (folder / "f.ndjson").open("wb") as out:
            out.write(b'{"resourceType":"Goal","id":"1"}\\n')
            out.write(b'{"resourceType":"Goal","x":"')
            for _ in range(300):
                out.write(b"x" * 1_000_000)
            out.write(b'"}\\n{"resourceType":"Goal","id":"2"}\\n')
        now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 250_000_000, now + 250_000_000))
        state = BulkState("downloaded", "x", "x", files=(KeptFile("output", "Goal", "f.ndjson", "x", 3, True, 1),))
        found = look(folder, state)
        print(found.rows["Goal"], found.bad, found.issues[0].code)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-400:]
    assert done.stdout.split() == ["2", "1", "too-long"]

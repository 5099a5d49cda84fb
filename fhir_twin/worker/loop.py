"""Worker: threads that claim work, hand it to its handler and commit what came of it, until told to stop.

    worker = Worker([Bench(store.outbox, {"plan": write_back}, circuit), Bench(store.jobs, {"refresh": refresh})])
    worker.run()          # until stop(); run_until_idle() for a single sweep

A handler takes Work and returns a Finish; what it has to save, the work that follows and the end of its own work are
one transaction. It may be called twice for the same work (after a crash): its effects elsewhere must bear that.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import random

from sqlalchemy.engine import Connection

from fhir_twin import log
from fhir_twin.errors import Busy, Conflict, StoreError, TwinError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.queue import LeaseLost, Queue
from fhir_twin.storage.work import NewWork, Work
from fhir_twin.worker.circuit import Circuit
from fhir_twin.worker.verdict import Patience, Verdict, judge


@dataclass(frozen=True, slots=True, repr=False)
class Finish:
    """What came of a piece of work. reply, request: kept with it for whoever looks. follow: (queue, work) to accept.
    save: further rows to write, in the same transaction."""

    reply: bytes = b""
    request: bytes = b""
    follow: tuple[tuple[Queue, NewWork], ...] = ()
    save: Callable[[Connection], None] | None = None


Handler = Callable[[Work], Finish]


@dataclass(frozen=True, slots=True)
class Bench:
    """A queue and who handles what of it. circuit: in front of the server that these handlers need, if any."""

    queue: Queue
    handlers: Mapping[str, Handler]
    circuit: Circuit | None = None


class Worker:
    """threads: pieces of work in hand at once. poll: seconds between looks when there was nothing; `wake()` ends such
    a pause at once. told: called with ("done" | "retry" | "dead" | "lost", queue name, kind, seconds)."""

    def __init__(
        self,
        benches: Iterable[Bench],
        *,
        threads: int = 2,
        poll: float = 0.25,
        patience: Patience | None = None,
        told: Callable[[str, str, str, float], None] | None = None,
    ) -> None:
        self.benches = tuple(benches)
        self.name = f"{socket.gethostname()[:30]}-{os.getpid()}-{secrets.token_hex(3)}"
        self._threads = threads
        self.poll = poll
        self._patience = patience or Patience()
        self._told = told or (lambda *_: None)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._in_hand: dict[tuple[str, int], tuple[Queue, Work]] = {}
        self._guard = threading.Lock()

    def wake(self) -> None:
        """There is new work."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished."""
        self._stopping.set()
        self._wake.set()

    def run(self, grace: float = 30.0) -> None:
        """Until stop(); then waits up to `grace` seconds for what is in hand (the rest is taken over later)."""
        crew = [
            threading.Thread(target=self._work, name=f"worker-{i}", daemon=True) for i in range(self._threads)
        ]
        beating = threading.Thread(target=self._beat, name="worker-beat", daemon=True)
        for thread in (beating, *crew):
            thread.start()
        self._stopping.wait()
        end = time.monotonic() + grace
        for thread in crew:
            thread.join(max(0.0, end - time.monotonic()))
        log.event("worker.stopped", left=sum(t.is_alive() for t in crew))

    def run_until_idle(self, patience: float = 60.0) -> None:
        """Work until nothing is ready or running, at most `patience` seconds."""
        runner = threading.Thread(target=self.run, daemon=True)
        runner.start()
        end = time.monotonic() + patience
        while time.monotonic() < end and not all(Desk(b.queue).idle() for b in self.benches):
            time.sleep(0.02)
        self.stop()
        runner.join()

    def step(self) -> bool:
        """Claim and handle one piece of work in this thread; False when there was none."""
        return any(self._one(bench) for bench in self.benches)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self.step()
            except (Busy, StoreError) as error:  # the store is locked, full or restarting: it comes back
                log.failure("worker.store", error)
                busy = False
                self._stopping.wait(min(getattr(error, "retry_after", 1.0), 1.0))
            if not busy and not self._stopping.is_set():
                self._wake.wait(self.poll)
                self._wake.clear()

    def _one(self, bench: Bench) -> bool:
        circuit = bench.circuit
        if circuit is not None and not circuit.admits():
            return False
        work = bench.queue.claim(self.name, tuple(bench.handlers))
        if work is None:
            if circuit is not None:
                circuit.untold()
            return False
        place = (bench.queue.table.name, work.id)
        with self._guard:
            self._in_hand[place] = (bench.queue, work)
        start = time.monotonic()
        try:
            what = self._handle(bench, work)
        except LeaseLost:
            what = "lost"
        finally:
            with self._guard:
                del self._in_hand[place]
        seconds = time.monotonic() - start
        log.event(f"work.{what}", job=str(work.id), type=work.kind, seconds=seconds, attempts=work.attempts)
        self._told(what, bench.queue.table.name, work.kind, seconds)
        return True

    def _handle(self, bench: Bench, work: Work) -> str:
        try:
            finish = bench.handlers[work.kind](work)
            self._commit(bench.queue, work, finish)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is judged, told and kept
            verdict = judge(error, work.attempts, work.waited, self._patience, random())
            self._after(bench, work, error, verdict)
            return "dead" if verdict.wait is None else "retry"
        if bench.circuit is not None:
            bench.circuit.worked()
        return "done"

    def _commit(self, queue: Queue, work: Work, finish: Finish) -> None:
        with queue.database.write() as tx:
            if finish.save is not None:
                finish.save(tx)
            for box, new in finish.follow:
                box.accept(new, tx)
            queue.done(work, request=finish.request, reply=finish.reply, tx=tx)
        if finish.follow:
            self._wake.set()

    def _after(self, bench: Bench, work: Work, error: Exception, verdict: Verdict) -> None:
        reason, reply = _told(error, work)
        if bench.circuit is not None:
            bench.circuit.failed(verdict.wait or 1.0) if verdict.down else bench.circuit.worked()
        if verdict.wait is None:
            bench.queue.dead(work, reason, request=work.body, reply=reply)
        else:
            bench.queue.retry(work, reason, verdict.wait, reply=reply)

    def _beat(self) -> None:
        pause = min((b.queue.watch.seconds for b in self.benches), default=60.0) / 4
        while not self._stopping.wait(pause) or self._in_hand:
            with self._guard:
                held = list(self._in_hand.values())
            for queue, work in held:
                try:
                    queue.beat(work)
                except TwinError as error:
                    log.failure("worker.beat", error)
            if self._stopping.is_set():
                time.sleep(min(pause, 0.2))


def _told(error: Exception, work: Work) -> tuple[str, bytes]:
    """The reason in a line, and the whole as an OperationOutcome; of a bug of ours only a number for the log."""
    if isinstance(error, TwinError):
        if isinstance(error, Conflict):
            log.failure("work.conflict", error, job=str(work.id))
        return error.message, dump_json(to_outcome(error.issues)) if error.issues else b""
    run_id = secrets.token_hex(6)
    log.failure("work.bug", error, job=str(work.id), run=run_id)
    return f"an error of ours stopped this (id {run_id}); please report it", b""

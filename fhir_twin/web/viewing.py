"""The run behind a page: read once per session, kept, and used for every view, what-if and review of it.

    look(session) -> Seen | Loading | Failed

A run is repeatable bit for bit from (Bundle, knowledge, as_of), so what the processes of a server share is the sealed
Bundle; each keeps the runs it has made in memory. Reading goes on in a thread, and the page tells how far it is.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from flask import Flask, current_app

from fhir_twin import log
from fhir_twin.errors import Issue, TwinError
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import Run, risks_at
from fhir_twin.service import Outcome
from fhir_twin.web.keeping import Keeper, pack, unpack
from fhir_twin.web.session import PageSession
from fhir_twin.web.site_lexicon import use_corrections
from fhir_twin.web.views.risks import Past
from fhir_twin.web.views.shown import Shown, shown

STAGES = ("fetch", "read", "code", "assimilate", "propose", "simulate", "recommend", "write", "trend")
WORDS = {
    "fetch": "Reading the record from the server",
    "read": "Sorting what was read",
    "code": "Coding what is only text",
    "assimilate": "Building the twin",
    "propose": "Looking for options, safety first",
    "simulate": "Simulating each option",
    "recommend": "Weighing options and writing reasons",
    "write": "Preparing the plan",
    "trend": "Looking back at earlier years",
}
STALE = 180.0  # seconds after which a reading whose process died is begun anew
FAILED_FOR = 5.0  # seconds for which a failure is told without trying again
KEPT_RUNS = 48  # per process
LOOK_BACK = (3, 2, 1)  # years


@dataclass(frozen=True, slots=True, repr=False)
class Seen:
    """What was read and computed. bundle: the record as received. pages: rendered pages, by what they depend on."""

    run: Run
    issues: tuple[Issue, ...]
    bundle: dict[str, Any]
    patient: str
    shown: Shown
    stamp: str = ""
    pages: dict[object, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loading:
    """stage: of STAGES; seconds since reading began."""

    stage: str
    seconds: float

    @property
    def words(self) -> str:
        return WORDS.get(self.stage, "Working")

    @property
    def percent(self) -> int:
        return round(100 * (STAGES.index(self.stage) + 0.5) / len(STAGES)) if self.stage in STAGES else 1


@dataclass(frozen=True, slots=True, repr=False)
class Failed:
    """Reading did not work: safe to show. status: of our answer."""

    code: str
    status: int
    message: str
    issues: tuple[Issue, ...] = ()


@dataclass(slots=True)
class _Memory:
    """This process's runs by session, and its readings under way."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    runs: OrderedDict[str, Seen] = field(default_factory=OrderedDict)
    threads: dict[str, threading.Thread] = field(default_factory=dict)


def look(session: PageSession, *, wait: float) -> Seen | Loading | Failed:
    """What there is of this session's patient; begins reading at the first call, and waits `wait` seconds for it."""
    keeper = Keeper(session)
    state = keeper.state()
    if state is None or _is_stale(state):
        _begin(session, keeper)
        state = keeper.state()
    thread = _memory().threads.get(session.tag)
    if state is not None and state["state"] == "loading" and thread is not None:
        thread.join(wait)
        state = keeper.state()
    if state is None or state["state"] == "loading":
        began = state["began"] if state else time.time()
        return Loading(state["stage"] if state else "fetch", max(0.0, time.time() - began))
    if state["state"] == "failed":
        issues = tuple(Issue(**i) for i in state["issues"])
        return Failed(state["code"], state["status"], state["message"], issues)
    keeper.touch()
    return _seen(session, keeper, state)


def _is_stale(state: dict[str, Any]) -> bool:
    """Its process died while reading, or it failed a while ago: whoever looks again wants it tried again."""
    now = time.time()
    if state["state"] == "loading":
        return bool(now - state["began"] > STALE)
    return bool(state["state"] == "failed" and now - state["at"] > FAILED_FOR)


def again(session: PageSession) -> None:
    """Forget what was read, so that the next look reads the record anew. Decisions stay."""
    Keeper(session).forget("view", "record")
    with _memory().guard:
        _memory().runs.pop(session.tag, None)


def _memory() -> _Memory:
    kept = current_app.extensions["fhir-twin"]
    with kept["guard"]:
        memory: _Memory = kept.setdefault("viewing", _Memory())
    return memory


def _begin(session: PageSession, keeper: Keeper) -> None:
    if not keeper.begin():
        return  # another request was faster
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    here = contextvars.copy_context()  # who acts, for the audit
    thread = threading.Thread(target=here.run, args=(_read, app, session), name="reading", daemon=True)
    memory = _memory()
    with memory.guard:
        memory.threads[session.tag] = thread
    thread.start()


def _read(app: Flask, session: PageSession) -> None:
    """In a thread of its own. Whatever happens is told to the page."""
    with app.app_context():
        keeper = Keeper(session)
        try:
            _read_and_keep(session, keeper)
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it: the page must learn of a bug
            run_id = secrets.token_hex(6)
            log.failure("page.bug", error, run=run_id)
            keeper.fail(
                "exception", 500, f"an error of ours stopped this; please report it (id {run_id})", ()
            )
        finally:
            with _memory().guard:
                _memory().threads.pop(session.tag, None)


def _read_and_keep(session: PageSession, keeper: Keeper) -> None:
    use_corrections(session.service)
    now = datetime.now(UTC)
    outcome = session.service.look(session.patient, now, tell=keeper.tell)
    if outcome.error is not None:
        error = outcome.error
        keeper.fail(error.code, error.status, error.message, error.issues)
        return
    seen = _from_outcome(session, outcome, keeper)
    with _memory().guard:
        _remember(_memory(), session.tag, seen)
    assert outcome.fetched is not None
    keeper.ready(seen.stamp, pack(outcome.fetched, now))


def _from_outcome(session: PageSession, outcome: Outcome, keeper: Keeper) -> Seen:
    assert outcome.run is not None
    assert outcome.fetched is not None
    keeper.tell("trend")
    bundle, patient = outcome.fetched.bundle, outcome.fetched.patient or session.patient
    run = _permitted(session, outcome.run)
    views = _views(run, bundle, patient, session.service.knowledge)
    return Seen(run, outcome.issues, bundle, patient, views, secrets.token_hex(8))


def _permitted(session: PageSession, run: Run) -> Run:
    """Without the types that a safe proposal needs there is no proposal at all, nor a forecast of one."""
    if session.may("plan"):
        return run
    reason = session.denied.get("plan") or "this session may not see proposals"
    plan = replace(
        run.plan,
        recommendations=(),
        goals=(),
        rejected=(),
        predictions=(),
        sequence=(),
        refused=run.plan.refused or reason,
    )
    return replace(run, plan=plan, trajectories=run.trajectories[:1], output={})


def _views(run: Run, bundle: dict[str, Any], patient: str, knowledge: Knowledge) -> Shown:
    return shown(run, knowledge, _trend(run, bundle, patient, knowledge))


def _trend(run: Run, bundle: dict[str, Any], patient: str, knowledge: Knowledge) -> Past:
    """Earlier risks; none when there is nothing now to compare with, or the past cannot be read."""
    if run.plan.refused or not run.plan.risks:
        return ()
    moments = [_years_before(run.chart.as_of, years) for years in LOOK_BACK]
    try:
        return risks_at(bundle, knowledge, moments, patient=patient)
    except TwinError as error:
        log.failure("page.trend", error, code=error.code)
        return ()


def _years_before(when: datetime, years: int) -> datetime:
    """The same day (29 February: the 28th)."""
    day = 28 if (when.month, when.day) == (2, 29) else when.day
    return when.replace(year=when.year - years, day=day)


def _seen(session: PageSession, keeper: Keeper, state: dict[str, Any]) -> Seen | Loading:
    memory = _memory()
    with memory.guard:
        found = memory.runs.get(session.tag)
        if found is not None and found.stamp == state["stamp"]:
            memory.runs.move_to_end(session.tag)
            return found
    packed = keeper.record()
    if packed is None:  # too large to share, or gone: read it again in this process
        again(session)
        _begin(session, keeper)
        return Loading("fetch", 0.0)
    seen = _rebuilt(session, unpack(packed), state["stamp"])
    with memory.guard:
        _remember(memory, session.tag, seen)
    return seen


def _rebuilt(session: PageSession, record: Any, stamp: str) -> Seen:
    """The same run in another process, from what was kept."""
    service = session.service
    run = _permitted(session, service.rerun_fetched(record.fetched, session.patient, record.as_of))
    patient = record.fetched.patient or session.patient
    issues = tuple(dict.fromkeys((*record.fetched.issues, *run.issues)))
    views = _views(run, record.fetched.bundle, patient, service.knowledge)
    return Seen(run, issues, record.fetched.bundle, patient, views, stamp)


def _remember(memory: _Memory, tag: str, seen: Seen) -> None:
    memory.runs[tag] = seen
    memory.runs.move_to_end(tag)
    while len(memory.runs) > KEPT_RUNS:
        memory.runs.popitem(last=False)

"""TwinService: fetch -> run -> write, for one patient or many. The one thing that faces call.

Where records come from (`Source`) and where plans go (`Sink`) are protocols: `wiring` picks the real ones, tests
put fakes. Time is an argument. One patient is never worked on twice at once (ID-8).
"""

from __future__ import annotations

import contextvars
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from fhir_twin import log
from fhir_twin.errors import Forbidden, Issue, TwinError
from fhir_twin.fhir.moments import moment_of as moment_of
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.audit import AuditNote, wrote
from fhir_twin.model.chart import Chart
from fhir_twin.model.decision import Change
from fhir_twin.model.directory import PatientRow
from fhir_twin.model.written import Written
from fhir_twin.pipeline import LABEL, Run, rerun, run
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.service_seams import Directory as Directory
from fhir_twin.service_seams import ReviewSink as ReviewSink
from fhir_twin.service_seams import Sink as Sink
from fhir_twin.service_seams import Source as Source
from fhir_twin.transport.patient_locks import PatientLocks

if TYPE_CHECKING:  # the reading machinery (requests) is loaded by wiring only
    from fhir_twin.transport.protocols import Resource
    from fhir_twin.transport.pull import Fetched


def _silent(_stage: str) -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """What became of one patient. state: written | unchanged | dry-run | not-written | refused | failed.
    `error` is safe to show. `seconds` by phase (wall clock): fetch, run, write."""

    patient: str
    state: str
    run: Run | None = None
    fetched: Fetched | None = None
    written: Written | None = None
    error: TwinError | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Every issue on the way, each once."""
        found: list[Issue] = list(self.fetched.issues) if self.fetched else []
        found += self.run.issues if self.run else ()
        found += self.written.issues if self.written else ()
        found += self.error.issues if self.error else ()
        return tuple(dict.fromkeys(found))

    @property
    def ok(self) -> bool:
        return self.state != "failed"


class TwinService:
    """Fetch, run and write with one Knowledge. Thread-safe."""

    def __init__(
        self,
        source: Source,
        sink: Sink | None,
        knowledge: Knowledge,
        *,
        label: str = LABEL,
        check: Callable[[], str] = lambda: "ready",
        audit: Callable[[AuditNote], None] = lambda _: None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.knowledge = knowledge
        self.check = check
        self.audit = audit
        self._label = label
        self._locks = PatientLocks()

    def use(self, knowledge: Knowledge) -> None:
        """From the next patient on."""
        self.knowledge = knowledge

    def run_one(self, patient: str, as_of: datetime, *, dry_run: bool = False) -> Outcome:
        """Never raises a TwinError: a failed patient is an Outcome with its error. A bug still raises."""
        seconds: dict[str, float] = {}
        fetched: Fetched | None = None
        done: Run | None = None
        with self._locks.holding(patient):
            try:
                with _timed(seconds, "fetch"):
                    fetched = self._fetch(patient)
                with _timed(seconds, "run"):
                    done = self._run(fetched, patient, as_of)
                with _timed(seconds, "write"):
                    written = self._write(fetched.patient or patient, done, as_of, dry_run)
            except TwinError as error:
                self.audit(
                    AuditNote("read" if fetched is None else "operation", patient, "8", detail=error.code)
                )
                log.failure("patient.failed", error, patient=log.opaque(patient), code=error.code)
                return Outcome(patient, "failed", done, fetched, None, error, seconds)
        state = _state(done, written, dry_run)
        if written is not None and written.changed and not dry_run:
            self.audit(wrote(fetched.patient or patient, written))
        log.event("patient.done", patient=log.opaque(patient), state=state, **seconds)
        return Outcome(patient, state, done, fetched, written, None, seconds)

    def look(self, patient: str, as_of: datetime, *, tell: Callable[[str], None] = _silent) -> Outcome:
        """Fetch and run, and ask nothing about writing: for somebody who looks first. Raises nothing, like `run_one`.

        tell: called with "fetch" and then the name of each stage of the pipeline as it begins."""
        seconds: dict[str, float] = {}
        fetched: Fetched | None = None
        try:
            tell("fetch")
            with _timed(seconds, "fetch"):
                fetched = self._fetch(patient)
            with _timed(seconds, "run"):
                done = self._run(fetched, patient, as_of, tell)
        except TwinError as error:
            self.audit(AuditNote("read" if fetched is None else "operation", patient, "8", detail=error.code))
            log.failure("patient.failed", error, patient=log.opaque(patient), code=error.code)
            return Outcome(patient, "failed", None, fetched, None, error, seconds)
        return Outcome(
            patient, "refused" if done.plan.refused else "dry-run", done, fetched, None, None, seconds
        )

    def rerun_fetched(self, fetched: Fetched, patient: str, as_of: datetime) -> Run:
        """The run of a record that was kept: bit for bit the one of `look`."""
        return self._run(fetched, patient, as_of)

    def replan(self, chart: Chart) -> Run:
        """The run again from `chart` on, in which an answer to a proposal was added."""
        return rerun(chart, self.knowledge, base=self.source.base, label=self._label)

    def write_run(self, patient: str, done: Run) -> Written | None:
        """Write a run that somebody looked at. None when there is nowhere to, or consent forbids it."""
        with self._locks.holding(patient):
            written = self._write(patient, done, done.chart.as_of, False)
        if written is not None and written.changed:
            self.audit(wrote(patient, written))
        return written

    def change(self, patient: str, changes: Sequence[Change], provenance: Resource | None) -> Written:
        """A person's changes of single resources. Raises Forbidden when the sink takes none, and what it raises."""
        sink = self.sink
        if sink is None or not isinstance(sink, ReviewSink):
            raise Forbidden("there is nowhere to write to")
        with self._locks.holding(patient):
            try:
                written = sink.change(patient, changes, provenance)
            except TwinError as error:
                self.audit(AuditNote("update", patient, "8", detail=error.code))
                raise
        if written.changed:
            self.audit(wrote(patient, written))
        return written

    def directory(self, words: str, *, most: int) -> tuple[tuple[PatientRow, ...], bool]:
        """Patients to choose from, and whether there are more; ids alone where the source cannot be searched."""
        self.audit(AuditNote("search", "", detail="patients"))
        if isinstance(self.source, Directory):
            return self.source.directory(words, most=most)
        ids = list(islice((i for i in self.source.patients() if words.casefold() in i.casefold()), most + 1))
        return tuple(PatientRow(i, "", "", "", "") for i in ids[:most]), len(ids) > most

    def _run(
        self,
        fetched: Fetched,
        patient: str,
        as_of: datetime,
        tell: Callable[[str], None] = _silent,
    ) -> Run:
        return run(
            fetched.bundle,
            self.knowledge,
            as_of,
            patient=fetched.patient or patient,
            completeness=fetched.completeness,
            base=self.source.base,
            label=self._label,
            tell=tell,
        )

    def run_many(
        self,
        patients: Iterable[str],
        as_of: datetime,
        *,
        dry_run: bool = False,
        workers: int = 2,
        progress: Callable[[Outcome], None] | None = None,
    ) -> Iterator[Outcome]:
        """Outcomes in the order of `patients`, a few patients at a time; `progress` is called as each one ends."""

        def work(patient: str) -> Outcome:
            outcome = self._run_or_say(patient, as_of, dry_run)
            if progress is not None:
                progress(outcome)
            return outcome

        here = contextvars.copy_context()  # who acts, for the audit
        with ThreadPoolExecutor(max_workers=workers) as pool:
            yield from pool.map(lambda patient: here.copy().run(work, patient), patients)

    def run_whole(self, patient: str, as_of: datetime) -> tuple[Run, Resource, str]:
        """The run, the record it was made from, and the id of the patient that was really read (another one when the
        Patient was replaced). Nothing is written. Raises what reading or running gives cause for."""
        with self._locks.holding(patient):
            fetched = self._fetch(patient)
            done = run(
                fetched.bundle,
                self.knowledge,
                as_of,
                patient=fetched.patient or patient,
                completeness=fetched.completeness,
                base=self.source.base,
                label=self._label,
            )
        return done, fetched.bundle, fetched.patient or patient

    def _fetch(self, patient: str) -> Fetched:
        fetched = self.source.fetch(patient)
        self.audit(AuditNote("read", fetched.patient or patient, detail="record"))
        return fetched

    def _run_or_say(self, patient: str, as_of: datetime, dry_run: bool) -> Outcome:
        """A bug of ours with one patient must not take the others' runs with it."""
        try:
            return self.run_one(patient, as_of, dry_run=dry_run)
        except Exception as error:  # noqa: BLE001 - one of many: it is told, the rest goes on
            run_id = secrets.token_hex(6)
            log.failure("patient.bug", error, patient=log.opaque(patient), run=run_id)
            told = TwinError(f"an error of ours stopped this patient's run (id {run_id}); please report it")
            return Outcome(patient, "failed", error=told)

    def _write(self, patient: str, done: Run, as_of: datetime, dry_run: bool) -> Written | None:
        """None when there is nowhere to write to, or the patient's consent forbids it (CN-4: asked again here)."""
        if self.sink is None:
            return None
        if consent_refusal(done.chart.consents, as_of):
            self.audit(AuditNote("consent", patient, "4", detail="withheld"))
            return None
        return self.sink.write(patient, done.output, dry_run=dry_run)


def _state(done: Run, written: Written | None, dry_run: bool) -> str:
    if done.plan.refused:
        return "refused"
    if dry_run:
        return "dry-run"
    if written is None:
        return "not-written"
    return "written" if written.changed else "unchanged"


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - start

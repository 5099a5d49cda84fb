"""The handler of "refresh": news about one patient -> the stored twin moved, a new plan where it matters.

    new Observation --> O(1) into the stored twin --> matters? --no--> twin kept
                             | cannot be appended         | yes
                             +----------------------------+--> whole record read, run, twin kept, plan to the outbox

The twin, the plan to be sent and the end of the work are one commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fhir_twin import log
from fhir_twin.assimilation.keep import dump_twin, load_twin
from fhir_twin.assimilation.observe import lookup
from fhir_twin.assimilation.update import append
from fhir_twin.coding import code_chart
from fhir_twin.errors import Conflict, InvalidInput, NotFound
from fhir_twin.fhir.changes import is_ours, joined, subject_of, time_of, version_of, versions, without
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.read import read_chart
from fhir_twin.model.change import Change
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Twin
from fhir_twin.pipeline import Run
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.service import TwinService
from fhir_twin.storage.queue import Queue
from fhir_twin.storage.store import Store
from fhir_twin.storage.twins import KeptTwin
from fhir_twin.storage.work import NewWork, Work
from fhir_twin.worker.loop import Finish
from fhir_twin.worker.matters import limits_of, reasons

KIND = "refresh"
AHEAD = timedelta(minutes=10)  # how far another clock may run before ours
Reader = Callable[[str, str], dict[str, Any] | None]


def refresh_work(
    patient: str, why: str, changes: tuple[Change, ...] = (), *, key: str, parent: int | None = None
) -> NewWork:
    """Work for the Refresher. why: "notice", "poll", "asked" ... changes: () reads the whole record."""
    rows = [
        {"type": c.type, "id": c.id, "version": c.version, "deleted": c.deleted, "resource": c.resource}
        for c in changes
    ]
    body = dump_json({"patient": patient, "why": why, "changes": rows})
    return NewWork(KIND, lane_of(patient), body, key, blocks=False, meta={"why": why}, parent=parent)


def lane_of(patient: str) -> str:
    """The lane that keeps one patient's work in order."""
    return f"Patient/{patient}"


@dataclass(frozen=True, slots=True, repr=False)
class _Moved:
    twin: Twin
    context: dict[str, Any]
    seen: dict[str, str]
    why: tuple[str, ...]


class Refresher:
    """read: one resource of the server by type and id, None when it is gone. clock: Unix time. oldest: a plan older
    than this is made again with the next result. write: whether plans go to the outbox."""

    def __init__(
        self,
        service: TwinService,
        store: Store,
        read: Reader,
        *,
        clock: Callable[[], float],
        oldest: timedelta = timedelta(days=30),
        write: bool = True,
    ) -> None:
        self._service = service
        self._store = store
        self._read = read
        self._clock = clock
        self._oldest = oldest
        self._write = write
        self._limits = limits_of(service.knowledge)

    def __call__(self, work: Work) -> Finish:
        """Raises what reading the server gives cause for; then the work is tried again or put aside."""
        asked = parse_json(work.body, what="work")
        patient = str(asked["patient"])
        changes = [Change(**row) for row in asked["changes"]]
        kept = self._store.twins.get(patient) if changes else None
        moved = self._move(kept, changes) if kept is not None else ("no stored twin" if changes else "asked")
        if isinstance(moved, str):
            return self._anew(work, patient, moved)
        if moved is None:
            return Finish(reply=_reply("nothing new", ()))
        if moved.why:
            return self._anew(work, patient, ", ".join(moved.why))
        return self._keep_moved(patient, kept, moved)  # type: ignore[arg-type]

    # --- O(1) ----------------------------------------------------------------------------------------

    def _move(self, kept: KeptTwin, changes: list[Change]) -> _Moved | str | None:
        """The twin with what is new; the reason when the whole record has to be read; None when nothing is new."""
        fresh = []
        for change in changes:
            if change.deleted:
                return "deleted"
            held = self._store.twins.version(kept.patient, change.reference)
            if held is not None and held == change.version:
                continue
            if held is not None:
                return "amended"
            if change.type != "Observation":
                resource = change.resource or self._read(change.type, change.id)
                if resource is not None and is_ours(resource):
                    continue
                return "record"
            resource = change.resource or self._read(change.type, change.id)
            if resource is None:
                return "deleted"
            if not subject_of(resource).endswith(f"Patient/{kept.patient}"):
                raise InvalidInput("a changed resource is about another patient than its work says")
            if not is_ours(resource):
                fresh.append(dict(resource))
        return self._append(kept, fresh) if fresh else None

    def _append(self, kept: KeptTwin, fresh: list[dict[str, Any]]) -> _Moved | str:
        knowledge = self._service.knowledge
        try:
            before = load_twin(kept.twin, knowledge.biomarkers)
        except (Conflict, InvalidInput):
            return "knowledge"
        context = parse_json(kept.context, what="stored record")
        arrived = self._chart(joined(context, fresh), kept.patient, self._now(fresh))
        if any(
            m.measurement.value is None
            for m in arrived.measurements
            if _is_one_of(m.measurement.source, fresh)
        ):
            return "facts"
        after = append(before, arrived, knowledge.biomarkers)
        if after is None:
            return "replay"
        why = reasons(before, after, self._limits, kept.planned, self._oldest)
        taken = self._measured(arrived, fresh)
        rest = [r for r in fresh if f"Observation/{r['id']}" not in taken]
        seen = {f"Observation/{r['id']}": version_of(r) for r in fresh}
        return _Moved(after, joined(context, rest) if rest else context, seen, why)

    def _chart(self, bundle: dict[str, Any], patient: str, as_of: datetime) -> CodedChart:
        chart = read_chart(bundle, as_of, patient=patient)
        return code_chart(chart, self._service.knowledge.coder, self._service.knowledge.concept_maps)

    def _measured(self, coded: CodedChart, among: list[dict[str, Any]] | None = None) -> frozenset[str]:
        """References of Observations whose values are the twin's: it carries them, the context need not."""
        known = self._service.knowledge.biomarkers
        found = {
            m.measurement.source.split("/_history/")[0]
            for m in coded.measurements
            if m.measurement.value is not None and lookup(m, known) is not None
        }
        wanted = None if among is None else {f"Observation/{r['id']}" for r in among}
        return frozenset(found if wanted is None else found & wanted)

    def _keep_moved(self, patient: str, kept: KeptTwin, moved: _Moved) -> Finish:
        new = KeptTwin(
            patient,
            dump_twin(moved.twin),
            dump_json(moved.context),
            moved.twin.as_of,
            kept.planned,
            moved.seen,
        )
        log.event("twin.moved", patient=log.opaque(patient), values=len(moved.seen))
        return Finish(
            reply=_reply("twin moved, plan stands", ()),
            save=lambda tx: self._store.twins.keep(new, tx, anew=False),
        )

    # --- the whole record ----------------------------------------------------------------------------

    def _anew(self, work: Work, patient: str, why: str) -> Finish:
        as_of = self._now(_given(work))
        try:
            run, record, found = self._service.run_whole(patient, as_of)
        except NotFound:
            # What the server does not hold any more, we have no reason to keep.
            return Finish(
                reply=_reply("the server has no such patient; nothing of it is kept", ()),
                save=lambda tx: self._store.forget_twin(patient, tx),
            )
        follow: tuple[tuple[Queue, NewWork], ...] = ()
        if found != patient:  # replaced by another Patient: that one's work, in that one's order
            other = refresh_work(found, "merged", key=f"merged/{work.id}", parent=work.id)
            return Finish(
                reply=_reply("replaced by another patient", ("merged",)),
                follow=((self._store.jobs, other),),
                save=lambda tx: self._store.forget_twin(patient, tx),
            )
        if self._write and not consent_refusal(run.chart.consents, as_of):
            plan = NewWork(
                "plan", work.lane, dump_json(run.output), f"plan/{work.id}", blocks=False, parent=work.id
            )
            follow = ((self._store.outbox, plan),)
        log.event("twin.planned", patient=log.opaque(patient), seconds=sum(s for _, s in run.seconds))
        return Finish(reply=_reply("planned", (why,)), follow=follow, save=self._saver(patient, run, record))

    def _saver(self, patient: str, run: Run, record: dict[str, Any]) -> Callable[[Any], None]:
        if consent_refusal(run.chart.consents, run.twin.as_of) or run.twin.memory is None:
            return lambda tx: self._store.forget_twin(patient, tx)
        context = without(record, self._measured(run.coded))
        when = run.twin.as_of
        kept = KeptTwin(patient, dump_twin(run.twin), dump_json(context), when, when, versions(record))
        return lambda tx: self._store.twins.keep(kept, tx, anew=True)

    def _now(self, fresh: list[dict[str, Any]]) -> datetime:
        """Now, or a little later when a new value comes from a clock that runs before ours."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        times = [t for t in (time_of(r, now) for r in fresh) if t is not None and now < t <= now + AHEAD]
        return max([now, *times])


def _given(work: Work) -> list[dict[str, Any]]:
    rows = parse_json(work.body, what="work")["changes"]
    return [row["resource"] for row in rows if row["resource"]]


def _is_one_of(source: str, fresh: list[dict[str, Any]]) -> bool:
    return source.split("/_history/")[0] in {f"Observation/{r['id']}" for r in fresh}


def _reply(state: str, why: tuple[str, ...]) -> bytes:
    return orjson.dumps({"state": state, "why": list(why)})

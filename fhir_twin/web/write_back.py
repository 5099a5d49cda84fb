"""Writing back what a clinician decided: first what it would be, then, when it is confirmed, the writing itself.

    our draft of the plan (without what was declined)      by PlanWriter, as every run does
    then the decisions                                     as a person's changes of the drafts, each on its version

The plan that is shown is hashed; when the server has moved on until it is confirmed, it is shown again, not written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fhir_twin import log
from fhir_twin.errors import Conflict, Forbidden, Issue, TwinError
from fhir_twin.fhir.decide import decided, decision_provenance, is_request_for, standalone
from fhir_twin.fhir.identity import identity_of
from fhir_twin.fhir.title import title_of
from fhir_twin.fhir.withdraw import is_withdrawn
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.model.chart import Proposal
from fhir_twin.model.decision import Change, Decision
from fhir_twin.model.plain import to_plain
from fhir_twin.model.written import Written
from fhir_twin.pipeline import Run
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.service import ReviewSink
from fhir_twin.web.session import PageSession
from fhir_twin.web.viewing import Seen

Json = dict[str, Any]
NO_CONSENT = "the patient's consent does not let us write; nothing can be written"


@dataclass(frozen=True, slots=True, repr=False)
class Review:
    """Everything that would be written. run: the plan without what was declined. token: hash of all of it."""

    run: Run
    changes: tuple[Change, ...]
    token: str


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """What was written: our plan, and the decisions on it. problem: why the decisions were not (the plan was);
    issues: of that."""

    plan: Written
    decisions: Written | None
    problem: str = ""
    issues: tuple[Issue, ...] = ()


def review(session: PageSession, seen: Seen, decisions: Mapping[str, Decision]) -> Review:
    """Raises Forbidden (not granted, no consent) and what reading the server raises."""
    sink = sink_of(session, seen.run)
    run = without_declined(session, seen.run, decisions)
    drafts = sink.preview(seen.patient, run.output)
    held = sink.held(seen.patient)
    mine = [_decision_change(d, drafts, held, seen.run, session.user) for d in decisions.values()]
    answered = {id(c) for _, c in mine if c is not None}
    changes = (*(c for c in drafts if id(c) not in answered), *(change for change, _ in mine))
    return Review(run, changes, _token(changes))


def sink_of(session: PageSession, run: Run) -> ReviewSink:
    session.require("plan")
    session.require("write")
    if consent_refusal(run.chart.consents, run.chart.as_of):
        raise Forbidden(NO_CONSENT)
    sink = session.service.sink
    if sink is None or not isinstance(sink, ReviewSink):
        raise Forbidden("there is nowhere to write to")
    return sink


def without_declined(session: PageSession, run: Run, decisions: Mapping[str, Decision]) -> Run:
    """The plan as the next run would make it after the answers: what was declined moves to "rejected", and what stood
    behind it may come forward."""
    declined = [d for d in decisions.values() if d.action == "reject"]
    if not declined:
        return run
    answers = tuple(
        Proposal(
            source=f"session/{d.item}",
            key="",
            type="",
            status="cancelled",
            fate="declined",
            item=d.item,
            reason=d.reason or d.note,
            when=run.chart.as_of,
        )
        for d in declined
    )
    chart = replace(run.chart, proposals=(*run.chart.proposals, *answers))
    return session.service.replan(chart)


def write(
    session: PageSession, seen: Seen, shown: Review, decisions: Mapping[str, Decision], token: str
) -> Outcome:
    """Write what was shown. Raises Conflict when it is not what would be written now."""
    if token != shown.token:
        raise Conflict("the server's record has changed since this was shown; look at it again")
    sink = sink_of(session, seen.run)
    before = sink.held(seen.patient)
    plan = session.service.write_run(seen.patient, shown.run)
    if plan is None:
        raise Forbidden(NO_CONSENT)
    if not decisions:
        return Outcome(plan, None)
    held = sink.held(seen.patient)
    changes = [_change(d, before, held, seen.run, session.user) for d in decisions.values()]
    provenance = decision_provenance(
        [], session.user, datetime.now(UTC), organization=WriteOptions().organization
    )
    try:
        return Outcome(plan, session.service.change(seen.patient, changes, provenance))
    except TwinError as error:  # the drafts are there already: that must be said, too
        log.failure("page.decisions", error, code=error.code)
        return Outcome(plan, None, error.message, error.issues)


def _decision_change(
    decision: Decision, drafts: Iterable[Change], held: Iterable[Json], run: Run, user: str
) -> tuple[Change, Change | None]:
    """What a decision will make of the draft, and the draft's own change that it takes the place of."""
    for draft in drafts:
        found = draft.after or draft.before
        if found is not None and is_request_for(found, decision.item):
            after = decided(
                draft.before if draft.action == "cancel" and draft.before else found, decision, user, _now()
            )
            return _titled(decision, draft.before, after), draft
    return _change(decision, (), held, run, user), None


def _change(decision: Decision, before: Iterable[Json], held: Iterable[Json], run: Run, user: str) -> Change:
    """On the server's newest request for the item; made from our own draft when there is none."""
    there = [r for r in held if is_request_for(r, decision.item)]
    if there:
        now = max(there, key=_generation)
        return _titled(decision, now, decided(_as_it_was(now, before), decision, user, _now()))
    drafts = [e["resource"] for e in run.output.get("entry", [])]
    draft = next((r for r in drafts if is_request_for(r, decision.item)), None)
    if draft is None:
        raise Conflict("the plan has no such proposal any more; read the record anew")
    return _titled(decision, None, decided(standalone(draft), decision, user, _now()))


def _as_it_was(now: Json, before: Iterable[Json]) -> Json:
    """What we withdrew a moment ago, because it was declined, as it was before: the answer is the clinician's, with his
    or her reason. Anything else as it is now: the draft that was just brought up to date is what was decided on."""
    old = next((r for r in before if r.get("id") == now.get("id")), now)
    return old if is_withdrawn(now) and not is_withdrawn(old) else now


def _generation(resource: Json) -> int:
    own = identity_of(resource)
    return own.generation if own else 0


def _titled(decision: Decision, before: Json | None, after: Json) -> Change:
    words = "edited" if decision.edited else ""
    return Change(str(after["resourceType"]), title_of(after), decision.action, before, after, words)


def _now() -> datetime:
    return datetime.now(UTC)


def _token(changes: Iterable[Change]) -> str:
    """What was shown: every resource with its version before and its content after, times left out."""
    shown = [(c.type, c.action, _version(c.before), _content(c.after)) for c in changes]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:32]


def _version(resource: Json | None) -> str:
    meta = (resource or {}).get("meta")
    return f"{(resource or {}).get('id', '')}/{meta.get('versionId', '')}" if isinstance(meta, dict) else ""


def _content(resource: Json | None) -> Any:
    if resource is None:
        return None
    kept = {k: v for k, v in resource.items() if k not in ("meta", "note")}
    return to_plain(kept)

"""Goals and preferences: shown as the change they will be, then written as the clinician's change of the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, redirect, request, url_for

from fhir_twin import log
from fhir_twin.errors import Conflict, InvalidInput, TwinError
from fhir_twin.fhir import decide as d
from fhir_twin.fhir.title import title_of
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.model.decision import Change
from fhir_twin.web.keeping import Keeper, as_text, from_text
from fhir_twin.web.page_state import ready
from fhir_twin.web.pages import blueprint, page
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.viewing import Seen, again
from fhir_twin.web.views.changes import change_row
from fhir_twin.web.views.goals import agreed, goal_wish
from fhir_twin.web.views.header import header
from fhir_twin.web.write_back import sink_of

Json = dict[str, Any]


@blueprint.post("/s/<tag>/goal")
@session_page("write")
def set_goal(session: PageSession) -> Response:
    """A goal of the record changed, or a new one: kept until it is confirmed."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    key = request.form.get("proposed", "")
    wish = agreed(seen.run, key) if key else goal_wish(request.form, session.service.knowledge)
    source = request.form.get("source", "")
    before = _held(seen.bundle, source) if source else None
    after = d.goal(
        before,
        patient=seen.patient,
        words=wish.words,
        status=wish.status,
        priority=wish.priority,
        targets=wish.targets,
        by=session.user,
        when=datetime.now(UTC),
    )
    return _kept(session, [(source, after)])


@blueprint.post("/s/<tag>/preferences")
@session_page("write")
def set_preferences(session: PageSession) -> Response:
    """What matters to the patient: a statement for each that is new, and one that takes back each that is gone."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    rules = session.service.knowledge.guidelines.preferences.rules
    wanted = set(request.form.getlist("preference"))
    stated = {p.key for p in seen.run.plan.preferences}
    if wanted - {r.key for r in rules}:
        raise InvalidInput("this is none of the preferences offered")
    changes = []
    for rule in rules:
        if (rule.key in wanted) == (rule.key in stated):
            continue
        gone = rule.key in stated
        label = rule.words[-1][0].strip() if gone else rule.label
        made = d.preference(
            rule.key, label, stated=not gone, patient=seen.patient, by=session.user, when=datetime.now(UTC)
        )
        changes.append(("", made))
    return _kept(session, changes)


def _kept(session: PageSession, changes: list[tuple[str, Json]]) -> Response:
    value = [{"source": source, "after": as_text(after)} for source, after in changes]
    Keeper(session).edit(lambda edits: {**edits, "record": value})
    return redirect(url_for("pages.review_goals"), 303)  # type: ignore[return-value]


@blueprint.get("/s/<tag>/goals/review")
@session_page("write")
def review_goals(session: PageSession) -> Response:
    """What will be written. Nothing is written by looking."""
    seen = ready(session)
    return _review_page(session, seen) if isinstance(seen, Seen) else seen


@blueprint.post("/s/<tag>/goals/write")
@session_page("write")
def write_goals(session: PageSession) -> Response:
    """Write it, forget it here, and read the record anew."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    changes = _changes(session, seen)
    if changes:
        provenance = d.decision_provenance(
            [], session.user, datetime.now(UTC), organization=WriteOptions().organization
        )
        try:
            sink_of(session, seen.run)  # may it be written at all
            session.service.change(seen.patient, changes, provenance)
        except TwinError as error:
            log.failure("page.goals", error, code=error.code)
            return _review_page(session, seen, f"Not written: {error.message}", error.status)
    Keeper(session).edit(lambda edits: {k: v for k, v in edits.items() if k != "record"})
    again(session)
    return redirect(url_for("pages.twin", _anchor="goals"), 303)  # type: ignore[return-value]


def _review_page(session: PageSession, seen: Seen, problem: str = "", status: int = 200) -> Response:
    rows = [change_row(c) for c in _changes(session, seen)]
    head = header(seen.run, seen.issues, session.withheld)
    return page("goal_review.html", status, s=session, h=head, plan=seen.run.plan, rows=rows, problem=problem)


def _changes(session: PageSession, seen: Seen) -> list[Change]:
    found = []
    for one in Keeper(session).edits().get("record", []):
        before = _held(seen.bundle, one["source"]) if one["source"] else None
        action = "update" if before is not None else "create"
        after = from_text(one["after"])
        found.append(Change(after["resourceType"], title_of(after), action, before, after))
    return found


def _held(bundle: Json, source: str) -> Json:
    """The resource of the record as it was read. Raises Conflict when it is not there (any more)."""
    type_, _, id_ = source.partition("/")
    for entry in bundle.get("entry", []):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == type_ and resource.get("id") == id_:
            if type_ != "Goal":
                break
            return resource
    raise Conflict("this goal is not in the record that was read; read it anew")

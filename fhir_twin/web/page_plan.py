"""Deciding on proposals, looking at what will be written, writing it."""

from __future__ import annotations

from flask import Response, redirect, request, url_for

from fhir_twin import log
from fhir_twin.errors import Conflict, TwinError
from fhir_twin.web.decisions import (
    decision_from,
    decisions_of,
    drop_decisions,
    keep_decision,
    recommendation_of,
)
from fhir_twin.web.page_state import ready
from fhir_twin.web.pages import blueprint, page
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.viewing import Seen, again
from fhir_twin.web.views.changes import ChangeRow, change_row
from fhir_twin.web.views.header import header
from fhir_twin.web.write_back import Outcome, Review, review, write


@blueprint.post("/s/<tag>/decide")
@session_page()
def decide(session: PageSession) -> Response:
    """Accept (perhaps edited), decline with a reason, or undo. Nothing is written yet."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    item = request.form.get("item", "")
    if request.form.get("action") == "undo":
        drop_decisions(session, item)
        return _back(item)
    rec = recommendation_of(seen.run, item)
    known = next((i for i in session.service.knowledge.interventions.items if i.key == item), None)
    doses = {d.key: d.text for d in known.doses if d.text} if known else {}
    keep_decision(session, decision_from(request.form, rec, doses))
    return _back(item)


def _back(item: str) -> Response:
    return redirect(url_for("pages.twin", _anchor=f"p-{item}"), 303)  # type: ignore[return-value]


@blueprint.get("/s/<tag>/review")
@session_page()
def show_review(session: PageSession) -> Response:
    """What will be written, as a diff. Nothing is written by looking."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    return _review_page(session, seen, review(session, seen, decisions_of(session)))


@blueprint.post("/s/<tag>/write")
@session_page("write")
def write_plan(session: PageSession) -> Response:
    """Write what was shown; when it is no longer what would be written, show it again."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    decisions = decisions_of(session)
    shown = review(session, seen, decisions)
    try:
        outcome = write(session, seen, shown, decisions, request.form.get("token", ""))
    except Conflict as error:
        return _review_page(session, seen, review(session, seen, decisions), error.message, 409)
    except TwinError as error:
        log.failure("page.write", error, code=error.code)
        return _review_page(session, seen, shown, f"Not written: {error.message}", error.status, error)
    if not outcome.problem:
        drop_decisions(session)
    again(session)  # the record is another one now
    log.event("page.written", accepted=_count(decisions, "accept"), declined=_count(decisions, "reject"))
    titles = [f"{r.title}: {r.action_words.removesuffix(' by you').lower()}" for r in mine(shown)]
    return _written_page(session, seen, outcome, titles)


def _count(decisions: object, action: str) -> int:
    return sum(d.action == action for d in decisions.values())  # type: ignore[attr-defined]


def _review_page(
    session: PageSession,
    seen: Seen,
    shown: Review,
    problem: str = "",
    status: int = 200,
    error: TwinError | None = None,
) -> Response:
    rows = [change_row(c) for c in shown.changes]
    return page(
        "review.html",
        status,
        s=session,
        h=header(seen.run, seen.issues, session.withheld),
        mine=[r for r in rows if r.by == "clinician"],
        ours=[r for r in rows if r.by == "twin" and r.sends],
        rest=[r for r in rows if r.by == "twin" and not r.sends],
        token=shown.token,
        problem=problem,
        issues=error.issues if error else (),
        plan=shown.run.plan,
    )


def mine(shown: Review) -> list[ChangeRow]:
    """The clinician's changes, in the order in which they are sent."""
    return [change_row(c) for c in shown.changes if c.by == "clinician"]


def _written_page(session: PageSession, seen: Seen, outcome: Outcome, titles: list[str]) -> Response:
    written = [i for i in outcome.plan.items if i.action not in ("unchanged", "left-to-clinician")]
    decided = outcome.decisions.items if outcome.decisions else ()
    told = outcome.decisions.issues if outcome.decisions else outcome.issues
    issues = (*outcome.plan.issues, *told)
    care_plan = next((i.reference for i in outcome.plan.items if i.type == "CarePlan" and i.reference), "")
    return page(
        "written.html",
        502 if outcome.problem else 200,
        problem=outcome.problem,
        s=session,
        h=header(seen.run, seen.issues, session.withheld),
        written=written,
        decided=decided,
        titles=titles,
        issues=issues,
        care_plan=care_plan,
        same=len(outcome.plan.items) - len(written),
    )

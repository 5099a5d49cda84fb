"""One patient's page: the twin and all that follows from it; what-if; how it was computed; the sheet to print."""

from __future__ import annotations

import time

from flask import Response, current_app, redirect, request, url_for

from fhir_twin import log
from fhir_twin.errors import InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.plan import Plan
from fhir_twin.web.answers import json_response
from fhir_twin.web.decisions import decisions_of
from fhir_twin.web.page_state import look_for, ready, state_page
from fhir_twin.web.pages import blueprint, page
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.viewing import Failed, Loading, Seen, again, look
from fhir_twin.web.views import choices
from fhir_twin.web.views import what_if as asked
from fhir_twin.web.views.header import header
from fhir_twin.web.views.methods import cards
from fhir_twin.web.views.plan import REASONS, open_questions
from fhir_twin.web.views.sheet import sheet
from fhir_twin.web.views.twin import standing

FRAGMENT = "X-Fragment"
KEPT_PAGES = 4


@blueprint.get("/s/<tag>/")
@session_page()
def twin(session: PageSession) -> Response:
    """The session's patient. Nothing is written by looking."""
    seen = look_for(session)
    return show(session, seen) if isinstance(seen, Seen) else state_page(session, seen)


@blueprint.get("/s/<tag>/progress")
@session_page()
def progress(session: PageSession) -> Response:
    """How far reading is: state, stage in words, per cent, seconds."""
    seen = look(session, wait=0.0)
    if isinstance(seen, Loading):
        told = {
            "state": "loading",
            "words": seen.words,
            "percent": seen.percent,
            "seconds": round(seen.seconds),
        }
        return json_response(told)
    return json_response({"state": "failed" if isinstance(seen, Failed) else "ready"})


@blueprint.post("/s/<tag>/reload")
@session_page()
def reload(session: PageSession) -> Response:
    """Read the record anew; decisions that were not written stay."""
    again(session)
    return redirect(url_for("pages.twin"), 303)  # type: ignore[return-value]


@blueprint.post("/s/<tag>/what-if")
@session_page()
def what_if(session: PageSession) -> Response:
    """The answer to a what-if: a piece of the page for scripts, the whole page without."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    began = time.perf_counter()
    wish, problem, found = choices.Wish({}), "", None
    try:
        wish = choices.wish_of(request.form)
        found = asked.answer(seen.run, _knowledge(session), wish, deep="deep" in request.form)
    except InvalidInput as error:
        problem = error.message
    log.event("page.what-if", seconds=time.perf_counter() - began)
    if request.headers.get(FRAGMENT):
        return page("_answer.html", 200 if found else 400, a=found, problem=problem, wish=wish)
    return show(session, seen, wish=wish, answer=found, problem=problem, status=200 if found else 400)


@blueprint.get("/s/<tag>/methods")
@session_page()
def methods(session: PageSession) -> Response:
    """Model cards, and which of them this patient's numbers rest on."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    overlay = current_app.extensions["fhir-twin"]["settings"].path("knowledge")
    head = header(seen.run, seen.issues, session.withheld)
    return page(
        "methods.html", s=session, h=head, plan=seen.run.plan, cards=cards(seen.run, overlay), run=seen.run
    )


@blueprint.get("/s/<tag>/sheet")
@session_page()
def patient_sheet(session: PageSession) -> Response:
    """For the patient, in plain words, to print."""
    seen = ready(session)
    if not isinstance(seen, Seen):
        return seen
    head = header(seen.run, seen.issues, session.withheld)
    return page(
        "sheet.html", s=session, h=head, plan=seen.run.plan, sheet=sheet(seen.run, decisions_of(session))
    )


def show(
    session: PageSession,
    seen: Seen,
    *,
    wish: choices.Wish | None = None,
    answer: asked.Answer | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    """The whole page. Without a what-if it is rendered once for each state of the decisions."""
    decisions = decisions_of(session)
    key = (
        str(session.app_context),
        session.csrf,
        session.granted,
        session.withheld,
        tuple(sorted(decisions.items())),
        can_correct(),
    )
    plain = answer is None and not problem
    if plain and (ready_made := seen.pages.get(key)) is not None:
        return Response(ready_made, status, mimetype="text/html")
    run, k, views = seen.run, _knowledge(session), seen.shown
    wish = wish or choices.Wish({})
    view = views.decided(decisions)
    made = page(
        "patient.html",
        status,
        s=session,
        h=header(run, seen.issues, session.withheld),
        run=run,
        plan=run.plan,
        cards=views.cards,
        standing=standing(views.cards),
        others=views.others,
        risks=views.risks,
        view=view,
        questions=open_questions(run.plan),
        from_card=from_card(session, run.plan),
        reasons=REASONS,
        decisions=decisions,
        record=views.record,
        coding=views.coding,
        mapped=views.mapped,
        may_correct=can_correct(),
        goals=views.goals,
        items=choices.items(run, k, wish) if not run.plan.refused and run.trajectories else (),
        wi=choices,
        wish=wish,
        a=answer,
        problem=problem,
        used=sum(p.used for p in run.twin.points),
        proposals={p.rec.key: p for _, found in view.groups for p in found},
        as_of=run.twin.as_of,
        as_of_seconds=run.twin.as_of.timestamp(),
    )
    if plain:
        if len(seen.pages) >= KEPT_PAGES:
            seen.pages.clear()
        seen.pages[key] = made.get_data(as_text=True)
    return made


def from_card(session: PageSession, plan: Plan) -> tuple[tuple[str, str], ...]:
    """(where on the page, words) of what the CDS Hooks card spoke of whose link led here (CR-5)."""
    topics = session.app_context.get("topics")
    named = {str(t) for t in topics} if isinstance(topics, list) else set()
    found = [(f"#p-{r.key}", r.title) for r in plan.recommendations if f"proposal:{r.key}" in named]
    found += [("#record", f.text) for f in plan.findings if f"finding:{f.key}" in named]
    return tuple(found)


def can_correct() -> bool:
    """Corrections of the coding need a folder of the site's own knowledge (option knowledge)."""
    return current_app.extensions["fhir-twin"]["settings"].path("knowledge") is not None


def _knowledge(session: PageSession) -> Knowledge:
    return session.service.knowledge

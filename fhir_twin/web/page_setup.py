"""What the pages need of the app: filters, words, and the routes of each part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask, Response, g
from markupsafe import Markup

from fhir_twin import __version__
from fhir_twin.fhir.decide import LIFECYCLE
from fhir_twin.fhir.write_words import outcome_words, unit_words
from fhir_twin.model.plan import Citation
from fhir_twin.web import page_coding, page_goals, page_plan, page_twin  # noqa: F401 - they add their routes
from fhir_twin.web.pages import blueprint
from fhir_twin.web.session import PageSession, session_page
from fhir_twin.web.site_lexicon import site_stamp
from fhir_twin.web.views.goals import COMPARATORS
from fhir_twin.web.views.methods import card_of, link
from fhir_twin.web.views.words import between, day, first_upper, number, place, points, share

# The names of SMART's style sheet -> our own custom properties.
_STYLE = {
    "color_background": "--paper",
    "color_text": "--ink",
    "color_highlight": "--accent",
    "color_error": "--bad",
    "color_success": "--good",
    "dim_border_radius": "--radius",
    "dim_font_size": "--size",
}


def install(app: Flask) -> None:
    """Before the blueprint is registered."""
    app.extensions["fhir-twin"]["lexicon"] = site_stamp(app.extensions["fhir-twin"]["settings"])
    env = app.jinja_env
    env.trim_blocks = env.lstrip_blocks = True
    env.globals.update(
        version=__version__,
        chip=chip,
        comparators=COMPARATORS,
        lifecycle=LIFECYCLE,
        year=timedelta(days=365.25),
    )
    env.filters.update(
        outcome=outcome_words,
        unit=unit_words,
        between=between,
        share=share,
        points=points,
        number=number,
        day=day,
        place=place,
        first_upper=first_upper,
        card_of=card_of,
        cite=_cite,
    )

    @app.context_processor
    def _page() -> dict[str, Any]:
        return {"can_logout": "smart.logout" in app.view_functions, "session_page": g.get("page_session")}


def chip(level: str, words: str) -> Markup:
    """A state with its sign, so that colour is not all that says it."""
    sign = {"ok": "\u2713", "unsure": "?", "bad": "!"}[level]
    return Markup('<span class="chip {}"><span class="sign" aria-hidden="true">{}</span>{}</span>').format(
        level, sign, words
    )


def _cite(citation: Citation) -> str:
    return link(citation.doi, citation.pmid, citation.url)


@blueprint.get("/s/<tag>/ehr.css")
@session_page()
def ehr_style(session: PageSession) -> Response:
    """The EHR's colours and sizes over ours; the values were checked when they were read."""
    rules = "".join(
        f"{ours}: {session.style[name]};" for name, ours in _STYLE.items() if name in session.style
    )
    return Response(f":root {{ {rules} }}\n", mimetype="text/css")

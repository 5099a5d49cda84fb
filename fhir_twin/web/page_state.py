"""The page when it is not (yet) the page: loading, not permitted, no such patient, the server down."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, request

from fhir_twin.web.pages import page
from fhir_twin.web.session import PageSession
from fhir_twin.web.viewing import STAGES, WORDS, Failed, Loading, Seen, look

SOON, AT_MOST = 0.6, 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Situation:
    """What happened and what one can do, in words. retry: trying again may help."""

    title: str
    words: str
    retry: bool
    kind: str


_SITUATIONS = {
    "login": Situation(
        "The login is over",
        "The FHIR server does not accept this session's login any more. Open the page from the patient's record again.",
        False,
        "permission",
    ),
    "forbidden": Situation(
        "Not permitted",
        "The FHIR server does not let this session read the patient. Nothing was read and nothing is shown. "
        "Ask for the access that the registration guide lists, or open a patient of yours.",
        False,
        "permission",
    ),
    "not-found": Situation(
        "No such patient",
        "The FHIR server does not hold this patient, or no longer.",
        False,
        "missing",
    ),
    "timeout": Situation(
        "The FHIR server did not answer in time",
        "The record could not be read, so nothing is shown: half a record would look like a healthy patient.",
        True,
        "down",
    ),
    "throttled": Situation(
        "The FHIR server is busy",
        "It asks us to come back later. Nothing was read.",
        True,
        "down",
    ),
    "exception": Situation(
        "The FHIR server cannot be reached",
        "The record could not be read, so nothing is shown: half a record would look like a healthy patient.",
        True,
        "down",
    ),
}
_OTHER = Situation("That did not work", "The record could not be turned into a page.", True, "down")


def ready(session: PageSession) -> Seen | Response:
    """What was read, or the page that says why there is nothing (yet)."""
    seen = look_for(session)
    return seen if isinstance(seen, Seen) else state_page(session, seen)


def look_for(session: PageSession) -> Seen | Loading | Failed:
    """A browser soon gets a page that tells how far reading is; whoever cannot show one waits for the answer."""
    return look(session, wait=SOON if request.headers.get("Sec-Fetch-Mode") else AT_MOST)


def state_page(session: PageSession, seen: Loading | Failed) -> Response:
    if isinstance(seen, Loading):
        steps = [(stage, WORDS[stage]) for stage in STAGES]
        done = STAGES.index(seen.stage) if seen.stage in STAGES else 0
        return page("loading.html", 200, s=session, seen=seen, steps=steps, done=done)
    situation = _SITUATIONS.get(seen.code, _OTHER)
    return page("state.html", seen.status, s=session, what=situation, seen=seen)

"""Feedback on cards, and what it is for: not to say again what a clinician has answered (CF-1, CR-6, D10)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import UnsupportedMediaType

from fhir_twin import log
from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.parse import parse_json
from fhir_twin.model.registered import CdsClient
from fhir_twin.storage.feedback import Feedback, FeedbackStore
from fhir_twin.web.cds_card import Card
from fhir_twin.web.cds_services import CdsService
from fhir_twin.web.session_store import web_state

CARD = "card"
DAYS_KEPT = 90
QUIET_DAYS = 90.0  # an overridden or accepted topic is not shown again for this long
QUIET_HOURS = 24.0  # remarks on orders: a new order is a new question
MOST = 200
_UUID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")


def feedback_store() -> FeedbackStore:
    kept = current_app.extensions["fhir-twin"]
    state = web_state()
    with kept["guard"]:
        if "feedback" not in kept:
            kept["feedback"] = FeedbackStore(state.engine, state.sealer)
        store: FeedbackStore = kept["feedback"]
        return store


def take_feedback(service: CdsService, client: CdsClient | None) -> dict[str, Any]:
    """Store the request's feedback; how much of it was new. Raises InvalidInput before anything is stored."""
    if request.mimetype not in ("application/json", "application/fhir+json"):
        raise UnsupportedMediaType
    body = parse_json(request.get_data(), what="request body")
    entries = body.get("feedback") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries or len(entries) > MOST:
        raise InvalidInput(f"feedback must be a list of 1 to {MOST} entries")
    read = [_read(e, service, client) for e in entries]
    now = time.time()
    new = sum(feedback_store().add(f, now=now) for f in read)
    log.event("cds.feedback", route=service.hook, entries=len(read), new=new)
    return {"received": len(read), "new": new}


def _read(entry: Any, service: CdsService, client: CdsClient | None) -> Feedback:
    if not isinstance(entry, dict):
        raise InvalidInput("a feedback entry must be an object")
    card, outcome, stamped = entry.get("card"), entry.get("outcome"), entry.get("outcomeTimestamp")
    if not isinstance(card, str) or not _UUID.match(card):
        raise InvalidInput("feedback.card must be the uuid of a card")
    if outcome not in ("accepted", "overridden"):
        raise InvalidInput("feedback.outcome is accepted or overridden")
    issuer = client.issuer if client else ""
    kept = web_state().get(CARD, card, now=time.time())
    known = kept.value if kept is not None and kept.value["issuer"] == issuer else None
    detail: dict[str, Any] = {}
    topics = [str(known["topic"])] if known else []
    if outcome == "accepted":
        chosen = _accepted(entry.get("acceptedSuggestions"))
        detail["accepted"] = chosen
        if known:
            topics = [known["suggestions"][c] for c in chosen if c in known["suggestions"]]
    reason = _reason(entry.get("overrideReason"), detail)
    return Feedback(
        card=card,
        outcome=outcome,
        stamped=_moment(stamped),
        client=issuer,
        service=service.id,
        subject=str(known["subject"]) if known else "",
        topics=tuple(dict.fromkeys(topics)),
        reason=reason,
        detail=detail,
    )


def _accepted(value: Any) -> list[str]:
    ids = [s.get("id") for s in value if isinstance(s, dict)] if isinstance(value, list) else []
    good = [i for i in ids if isinstance(i, str) and _UUID.match(i)]
    if not good:
        raise InvalidInput("accepted feedback needs acceptedSuggestions with an id each")
    return good


def _reason(value: Any, detail: dict[str, Any]) -> str:
    """The code; the user's own words go into the sealed detail."""
    if value is None:
        return ""
    if not isinstance(value, dict):
        raise InvalidInput("overrideReason must be an object")
    comment = value.get("userComment")
    if isinstance(comment, str) and comment:
        detail["comment"] = comment[:4000]
    reason = value.get("reason")
    code = reason.get("code") if isinstance(reason, dict) else None
    return code if isinstance(code, str) and re.fullmatch(r"[\w.-]{1,100}", code) else ""


def _moment(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 40:
        raise InvalidInput("outcomeTimestamp must be a time")
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidInput("outcomeTimestamp must be a time") from None
    return value


def unanswered(cards: Iterable[Card], base: str, patient: str) -> list[Card]:
    """Without the cards and suggestions that a clinician answered lately for this patient; each topic once."""
    now = time.time()
    answered = feedback_store().answered((base,), patient, since=now - 86_400 * QUIET_DAYS)

    def quiet(topic: str) -> bool:
        limit = 3600 * QUIET_HOURS if topic.startswith("order:") else 86_400 * QUIET_DAYS
        return topic in answered and now - answered[topic] < limit

    seen: set[str] = set()
    kept: list[Card] = []
    for card in cards:
        if card.overridable and (quiet(card.topic) or card.topic in seen):
            continue
        seen.add(card.topic)
        open_ones = tuple(s for s in card.suggestions if s.topic == card.topic or not quiet(s.topic))
        kept.append(card if len(open_ones) == len(card.suggestions) else replace(card, suggestions=open_ones))
    return kept

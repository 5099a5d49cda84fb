"""The clinician's decisions of a session, before they are written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fhir_twin.errors import InvalidInput
from fhir_twin.model.decision import Decision
from fhir_twin.model.plan import Recommendation
from fhir_twin.pipeline import Run
from fhir_twin.web.keeping import Keeper
from fhir_twin.web.session import PageSession

LONGEST = 500


def decisions_of(session: PageSession) -> dict[str, Decision]:
    """By proposal key."""
    found = Keeper(session).edits().get("decisions", {})
    return {key: Decision(**value) for key, value in found.items()}


def decision_from(form: Any, rec: Recommendation, doses: dict[str, str]) -> Decision:
    """What a proposal's form says. doses: dosage in words by key. Raises InvalidInput."""
    action = form.get("action", "")
    note = _text(form.get("note", ""))
    if action == "reject":
        reason = _text(form.get("reason", ""))
        if not reason and not note:
            raise InvalidInput("say why it is declined: later plans need the reason")
        return Decision(rec.key, "reject", reason, note=note)
    if action != "accept":
        raise InvalidInput("a proposal is accepted or declined")
    chosen = form.get("dose", "")
    if chosen and chosen not in doses:
        raise InvalidInput("this dose is none of those offered")
    words = _text(form.get("dose_text", "")) or doses.get(chosen, "")
    return Decision(rec.key, "accept", dose="" if words == rec.dose_text else words, note=note)


def keep_decision(session: PageSession, decision: Decision) -> None:
    def change(edits: dict[str, Any]) -> dict[str, Any]:
        return {**edits, "decisions": {**edits.get("decisions", {}), decision.item: asdict(decision)}}

    Keeper(session).edit(change)


def drop_decisions(session: PageSession, *items: str) -> None:
    """Take back the decisions on `items`; all of them when none is named."""

    def change(edits: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in edits.get("decisions", {}).items() if items and k not in items}
        return {**edits, "decisions": kept}

    Keeper(session).edit(change)


def recommendation_of(run: Run, item: str) -> Recommendation:
    """Raises InvalidInput when the plan has no such proposal (any more)."""
    for rec in run.plan.recommendations:
        if rec.key == item:
            return rec
    raise InvalidInput("the plan has no such proposal any more; read the record anew")


def _text(text: str) -> str:
    clean = " ".join(text.split())
    if len(clean) > LONGEST:
        raise InvalidInput(f"a note has at most {LONGEST} characters")
    return clean

"""patient-view: dangers first, then the draft plan as one card with a suggestion for each proposal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.fhir.drafts import as_suggestion
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.fhir.write_words import change_words, is_noticeable
from fhir_twin.model.chart import Completeness
from fhir_twin.model.plan import Finding, Plan, Recommendation
from fhir_twin.web.cds_card import (
    Card,
    Suggestion,
    bullets,
    create,
    escaped,
    paragraphs,
    section,
    source_words,
)
from fhir_twin.web.cds_extras import whole_plan
from fhir_twin.web.cds_services import ESSENTIAL

MOST_PROPOSALS = 5
MOST_DANGERS = 3
MOST_WHY = 4
REFUSED = "refused"


def plan_cards(plan: Plan, base: str, options: WriteOptions, *, whole: bool = False) -> tuple[Card, ...]:
    """The cards for a plan, the gravest first. whole: the plan card also offers the whole CarePlan at once."""
    if plan.refused:
        return (refused_card(plan, "No advice from the patient's twin"),)
    stops = [r for r in plan.recommendations if r.stop]
    cards = [_stop_card(r, plan, base, options) for r in stops[:MOST_DANGERS]]
    told = {s for r in stops for s in r.sources}
    high = [f for f in plan.findings if f.severity == "high" and not set(f.sources) <= told]
    cards += [_finding_card(f) for f in high[: MOST_DANGERS - len(cards)] if len(cards) < MOST_DANGERS]
    others = tuple(r for r in plan.recommendations if not r.stop)
    left_out = len(stops) + len(high) - len(cards)
    if others or plan.questions or left_out:
        card = _plan_card(plan, others, base, options, left_out)
        if whole and plan.recommendations:
            entire = whole_plan(plan, base, options, card.topic)
            card = replace(card, suggestions=(*card.suggestions, entire))
        cards.append(card)
    return tuple(cards)


def refused_card(plan: Plan, what: str) -> Card:
    """Why there is no advice: silence would look like "all is well"."""
    return Card(
        summary=f"{what}: {plan.refused}",
        indicator="info",
        detail=escaped(f"{what}: {plan.refused}. Nothing was checked."),
        topic=f"{REFUSED}:{_digest((plan.refused,))}",
        code=REFUSED,
        display="No advice",
        overridable=False,
        linked=False,
    )


def gaps_card(gaps: Iterable[Completeness]) -> Card | None:
    """What of the record could not be read; the other cards rest on the rest only."""
    rows = list(gaps)
    if not rows:
        return None
    names = ", ".join(r.type for r in rows)
    # What was never sent is the EHR's choice, and may be silenced; what failed or was cut may not.
    grave = any(r.type in ESSENTIAL or r.state != "not-asked" for r in rows)
    return Card(
        summary=f"Not all of the record could be read: {names}",
        indicator="warning" if grave else "info",
        detail=paragraphs(
            "The advice rests on what could be read. Missing or incomplete:",
            bullets(f"{r.type}: {r.note or r.state}" for r in rows),
        ),
        topic=f"gaps:{_digest(names.split(', '))}",
        code="incomplete-record",
        display="Incomplete record",
        overridable=not grave,
    )


def _stop_card(rec: Recommendation, plan: Plan, base: str, options: WriteOptions) -> Card:
    topic = f"proposal:{rec.key}"
    suggestion = Suggestion(
        f"Draft for review: {rec.title}", topic, (create(as_suggestion(rec, plan, base, options), rec.title),)
    )
    return Card(
        summary=rec.title,
        indicator="critical",
        detail=_rationale(rec),
        topic=topic,
        code="stop-drug",
        display="Drug to stop",
        suggestions=(suggestion,),
    )


def _finding_card(finding: Finding) -> Card:
    return Card(
        summary=finding.text,
        indicator="warning",
        detail=paragraphs(
            escaped(finding.text),
            section("What to do", escaped(finding.check)),
            source_words(finding.citation),
        ),
        topic=f"finding:{finding.key}",
        code="danger",
        display="Danger in what is there now",
    )


def _plan_card(
    plan: Plan, proposals: tuple[Recommendation, ...], base: str, options: WriteOptions, left_out: int
) -> Card:
    shown = proposals[:MOST_PROPOSALS]
    suggestions = tuple(
        Suggestion(
            r.title,
            f"proposal:{r.key}",
            (create(as_suggestion(r, plan, base, options), f"Draft: {r.title}"),),
            recommended=place == 0 and len(shown) > 1,
        )
        for place, r in enumerate(shown)
    )
    if shown:
        count = "1 proposal" if len(proposals) == 1 else f"{len(proposals)} proposals"
        summary = f"Draft plan for review: {count}. First: {shown[0].title}"
    else:
        summary = f"Before a plan can be made: {len(plan.questions)} open questions"
    more = [r.title for r in proposals[MOST_PROPOSALS:]]
    moderate = [f.text for f in plan.findings if f.severity != "high"][:MOST_PROPOSALS]
    return Card(
        summary=summary,
        indicator="info",
        detail=paragraphs(
            *(section(f"{r.rank}. {r.title}", _rationale(r)) for r in shown),
            section("Also in the plan", bullets(more)),
            section(
                "To be asked or measured first", bullets(q.text for q in plan.questions[:MOST_PROPOSALS])
            ),
            section("Also noticed", bullets(moderate)),
            f"{left_out} further dangers are on the page." if left_out > 0 else "",
            "Decision support; every proposal is a draft that a clinician must review.",
        ),
        topic=f"plan:{_digest(r.key for r in proposals)}",
        code="draft-plan",
        display="Draft care plan",
        suggestions=suggestions,
    )


def _rationale(rec: Recommendation) -> str:
    why = [r.text for r in rec.why[:MOST_WHY]]
    expected = [change_words(c) for c in rec.changes if is_noticeable(c)][:2]
    return paragraphs(
        bullets(why),
        section("Expected", bullets(expected)),
        section("Harms and cautions", bullets((*rec.harms[:3], *(c.text for c in rec.cautions[:3])))),
        source_words(rec.citations[0] if rec.citations else None),
    )


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:12]

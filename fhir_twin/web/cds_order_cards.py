"""order-select and order-sign: remarks on draft orders as cards."""

from __future__ import annotations

import hashlib
from itertools import groupby

from fhir_twin.fhir.drafts import as_suggestion
from fhir_twin.fhir.write_context import WriteOptions
from fhir_twin.model.orders import OrderRemark
from fhir_twin.model.plan import Plan
from fhir_twin.recommendation.nondrug_orders import NOT_JUDGED
from fhir_twin.web.cds_card import (
    Card,
    Suggestion,
    bullets,
    create,
    delete,
    escaped,
    paragraphs,
    section,
    source_words,
)

MOST_PER_ORDER = 4
_DISPLAY = {
    "contraindicated": "Contraindication",
    "allergy": "Allergy or intolerance",
    "interaction": "Interaction",
    "duplicate": "Duplicate",
    "dose": "Dose",
    "gene": "Gene and drug",
    "question": "Missing fact",
    "better": "Better alternative",
    "unknown": "Not checked",
    "repeat": "Done recently",
}


def order_cards(
    remarks: tuple[OrderRemark, ...], plan: Plan, base: str, options: WriteOptions, intent: str
) -> tuple[Card, ...]:
    """At most four cards an order, the gravest first; what is left goes into one more. Critical ones always stand
    alone and are never left out."""
    cards: list[Card] = []
    told: set[str] = set()
    silent = [r for r in remarks if r.kind == NOT_JUDGED]
    for _, group in groupby((r for r in remarks if r.kind != NOT_JUDGED), key=lambda r: r.order):
        fresh = [r for r in group if r.topic not in told or r.kind not in ("interaction", "duplicate")]
        told |= {r.topic for r in fresh}  # a pair of drafts is told once
        single = [r for i, r in enumerate(fresh) if i < MOST_PER_ORDER or r.weight == "critical"]
        cards += [_card(r, plan, base, options, intent, remarks) for r in single]
        rest = [r for r in fresh if r not in single]
        if rest:
            cards.append(_rest(rest))
    if silent:
        cards.append(_not_judged(silent))
    weights = {"critical": 0, "warning": 1, "info": 2}
    return tuple(sorted(cards, key=lambda c: weights[c.indicator]))


def _card(
    remark: OrderRemark,
    plan: Plan,
    base: str,
    options: WriteOptions,
    intent: str,
    remarks: tuple[OrderRemark, ...],
) -> Card:
    drafts = {r.order for r in remarks}
    beside = [s for s in remark.sources if s in drafts and s != remark.order]
    return Card(
        summary=remark.text,
        indicator=remark.weight,
        detail=paragraphs(
            escaped(remark.text),
            "The other drug is among these draft orders." if beside else "",
            section("What to do", escaped(remark.action)),
            source_words(remark.citation),
        ),
        topic=f"order:{remark.topic}",
        code=remark.kind,
        display=_DISPLAY.get(remark.kind, "Order check"),
        suggestions=_suggestions(remark, plan, base, options, intent),
        behaviour="at-most-one",
    )


def _suggestions(
    remark: OrderRemark, plan: Plan, base: str, options: WriteOptions, intent: str
) -> tuple[Suggestion, ...]:
    """Take the order out; or take it out and order what the plan proposes for the same aim instead."""
    topic = f"order:{remark.topic}"
    out = delete(remark.order, f"Take out the draft order of {remark.drug}")
    swaps = tuple(
        Suggestion(
            f"Instead: {rec.title}",
            topic,
            (out, create(as_suggestion(rec, plan, base, options, intent=intent), f"Draft: {rec.title}")),
            recommended=place == 0 and len(remark.instead) > 1,
        )
        for place, rec in enumerate(remark.instead[:2])
    )
    if remark.weight != "critical" and remark.kind != "repeat":
        return swaps
    return (*swaps, Suggestion(f"Take out the order of {remark.drug}", topic, (out,)))


def _not_judged(silent: list[OrderRemark]) -> Card:
    """One card for all orders that no knowledge here is about; a clinician may silence it for these orders."""
    names = list(dict.fromkeys(r.drug for r in silent))
    return Card(
        summary=f"Not judged: {', '.join(names)}",
        indicator="info",
        detail=paragraphs(
            "No rule of this service is about these orders; they were not checked against the record:",
            bullets(names),
        ),
        topic=f"order:{NOT_JUDGED}-{hashlib.sha256(chr(10).join(sorted(names)).encode()).hexdigest()[:12]}",
        code=NOT_JUDGED,
        display="Not judged",
        linked=False,
    )


def _rest(rest: list[OrderRemark]) -> Card:
    drug = rest[0].drug
    count = "1 further remark" if len(rest) == 1 else f"{len(rest)} further remarks"
    return Card(
        summary=f"{count} on {drug}",
        indicator="warning" if any(r.weight == "warning" for r in rest) else "info",
        detail=bullets(f"{r.text} {r.action}".strip() for r in rest),
        topic="order:" + "+".join(sorted(r.topic for r in rest))[:120],
        code="further-remarks",
        display="Further remarks",
    )

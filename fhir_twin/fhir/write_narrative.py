"""The CarePlan's narrative: clinically safe when it is all that a reader sees (CP-11, FD-1)."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_twin.fhir.narrative import (
    as_of,
    bullets,
    heading,
    narrative,
    paragraph,
    strong,
    table,
    text,
)
from fhir_twin.fhir.write_goal import cited
from fhir_twin.fhir.write_group import is_choice, ranked
from fhir_twin.fhir.write_guidance import question_words
from fhir_twin.fhir.write_words import estimate_words, expected_words, risk_words
from fhir_twin.model.plan import Finding, Plan, ProposedGoal, Reason, Recommendation
from fhir_twin.model.scenario import Rejection

DRAFT = "DRAFT – algorithm-generated, needs clinician approval"
BIAS = (
    "This is decision support for a clinician who can check its basis; it does not replace judgement. Do not "
    "accept a proposal only because software made it."
)


NO_HARMS = ("none listed in our knowledge base, which does not mean that there are none",)


def write_narrative(plan: Plan) -> dict[str, str]:
    """Patient, date, draft notice, dangers first, proposals with reasons and harms, contraindications, questions,
    rejected options, what it rests on, limits, versions."""
    return narrative(
        _head(plan),
        _section("Dangers and contradictions found", bullets(_finding(f) for f in plan.findings)),
        _section("Proposals, best first", _proposals(plan)),
        _section(
            "Questions that must be answered first", bullets(text(question_words(q)) for q in plan.questions)
        ),
        _section("Considered and rejected", bullets(_rejection(r) for r in plan.rejected)),
        _section("Targets", bullets(_goal(g) for g in plan.goals)),
        _section("Risk if nothing changes", bullets(text(risk_words(r)) for r in plan.risks)),
        _section(
            "What the twin assumes now",
            table(("What", "Estimate", "80 % interval", "Rests on"), map(estimate_words, plan.estimates)),
        ),
        _foot(plan),
    )


def _section(title: str, body: str) -> str:
    return heading(title, 4) + body if body else ""


def _head(plan: Plan) -> str:
    refused = f"No plan was made: {plan.refused}." if plan.refused else ""
    return "".join(
        (
            paragraph(strong(DRAFT)),
            heading("Care plan proposal"),
            paragraph(
                text("Patient: "),
                strong(plan.patient_label or "not named in the record"),
                text(". Data as of "),
                as_of(plan.as_of.date().isoformat()),
                text("."),
            ),
            paragraph(strong(refused)) if refused else "",
            paragraph(text(BIAS)),
        )
    )


def _proposals(plan: Plan) -> str:
    if not plan.recommendations:
        return (
            paragraph(text("None. The record gives no reason to propose a change."))
            if not plan.refused
            else ""
        )
    return bullets((_rank(group) for group in ranked(plan.recommendations)), ordered=True)


def _rank(group: Sequence[Recommendation]) -> str:
    if len(group) == 1:
        return _recommendation(group[0])
    words = "A choice between equals: " if is_choice(group) else "Of equal rank: "
    return text(words) + bullets(_recommendation(r) for r in group)


def _recommendation(rec: Recommendation) -> str:
    stop = rec.stop or rec.kind == "stop"
    title = f"STOP OR AVOID: {rec.title}" if stop else rec.title
    grade = f"Strength {rec.strength or 'not graded'}, certainty {rec.certainty or 'not graded'}"
    if rec.number_needed_to_treat is not None:
        grade += f"; number needed to treat {rec.number_needed_to_treat:.0f}"
    if rec.probability_best is not None:
        grade += f"; best option in {rec.probability_best * 100:.0f} % of simulations"
    if rec.probability_harm is not None:
        grade += f"; more events than without it in {rec.probability_harm * 100:.0f} % of simulations"
    facts = [
        _labelled("Dose", [rec.dose_text]),
        _reasons("Why", rec.why),
        _labelled("Expected", expected_words(rec)),
        _labelled("Harms", rec.harms or (NO_HARMS if rec.kind == "medication" and not stop else ())),
        _reasons("Caution, contraindications to check", rec.cautions),
        _labelled("Monitor", rec.monitoring),
        text(grade + "."),
        _labelled("Assumed", rec.assumptions),
        _labelled("Would change this", rec.what_would_change),
        _labelled("Other options", rec.alternatives),
        _labelled("Evidence", [cited(c) for c in rec.citations]),
    ]
    return strong(title) + bullets(facts)


def _labelled(label: str, words: Sequence[str]) -> str:
    kept = [w for w in words if w.strip()]
    return text(f"{label}: " + "; ".join(kept)) if kept else ""


def _reasons(label: str, reasons: Sequence[Reason]) -> str:
    return _labelled(label, [_with_sources(r.text, r.sources) for r in reasons])


def _with_sources(words: str, sources: Sequence[str]) -> str:
    """Sources by type and id, so that a reader can look them up; not more than three."""
    if not sources:
        return words
    shown = ", ".join(s.split("/_history/")[0] for s in sources[:3])
    more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
    return f"{words} [{shown}{more}]"


def _finding(finding: Finding) -> str:
    words = _with_sources(finding.text, finding.sources)
    check = f" Check: {finding.check}" if finding.check else ""
    return strong(finding.severity.upper()) + text(f": {words}{check}")


def _rejection(rejection: Rejection) -> str:
    words = _with_sources(rejection.reason, rejection.sources)
    cite = f" ({rejection.citation})" if rejection.citation else ""
    return strong(rejection.scenario.name) + text(f": {rejection.kind.replace('-', ' ')}: {words}{cite}")


def _goal(goal: ProposedGoal) -> str:
    due = f" by {goal.due.date().isoformat()}" if goal.due else ""
    existing = " (already a goal in the record)" if goal.existing else ""
    return text(goal.description) + as_of(due) * bool(due) + text(existing)


def _foot(plan: Plan) -> str:
    partial = [
        f"{c.type}: {c.state.replace('-', ' ')}" for c in plan.completeness if c.state not in ("complete", "")
    ]
    limits = [
        *plan.limits,
        *(["Not everything could be read (" + "; ".join(partial) + ")."] if partial else []),
    ]
    return "".join(
        (
            _section("Limits", bullets(text(x) for x in limits)),
            paragraph(
                text(
                    f"Model {plan.model_version or 'not stated'}; knowledge {plan.knowledge_version or 'not stated'}. "
                    "Simulated values are not observations. Every item is a draft or proposal, none is an order."
                )
            ),
        )
    )

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
from fhir_twin.fhir.write_group import choice_words, is_choice, ranked
from fhir_twin.fhir.write_guidance import question_words
from fhir_twin.fhir.write_words import (
    estimate_words,
    expected_words,
    prediction_words,
    risk_words,
    sentence,
    standing_words,
)
from fhir_twin.model.plan import Finding, Plan, ProposedGoal, Reason, Recommendation, StatedPreference
from fhir_twin.model.scenario import Rejection

DRAFT = "DRAFT – algorithm-generated, needs clinician approval"
BIAS = (
    "This is decision support for a clinician who can check its basis; it does not replace judgement. Do not "
    "accept a proposal only because software made it."
)


class Footnotes:
    """Sources by number, so that the text stays readable and every statement can still be traced."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def marks(self, sources: Sequence[str]) -> str:
        """ " [1, 2]" for `sources`; "" for none."""
        shorts = dict.fromkeys(s.split("/_history/")[0] for s in sources)
        numbers = [self._numbers.setdefault(short, len(self._numbers) + 1) for short in shorts]
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def legend(self) -> str:
        return "; ".join(f"[{n}] {source}" for source, n in self._numbers.items())


NO_HARMS = ("none listed in our knowledge base, which does not mean that there are none",)


def write_narrative(plan: Plan) -> dict[str, str]:
    """Patient, date, draft notice, dangers first, proposals with reasons and harms, contraindications, questions,
    rejected options, what it rests on, limits, versions, sources."""
    notes = Footnotes()
    return narrative(
        _head(plan),
        _section("Dangers and contradictions found", bullets(_finding(f, notes) for f in plan.findings)),
        _section("What the patient asks for", bullets(_preference(p, notes) for p in plan.preferences)),
        _section("Proposals, best first", _proposals(plan, notes)),
        _section("In this order", bullets((text(step) for step in plan.sequence), ordered=True)),
        _section(
            "Questions that must be answered first", bullets(text(question_words(q)) for q in plan.questions)
        ),
        _section(
            "Considered and rejected", bullets(_rejection(r, notes) for r in _gravest_first(plan.rejected))
        ),
        _section("Targets", bullets(_goal(g) for g in plan.goals)),
        _section("Risk if nothing changes", bullets(text(risk_words(r)) for r in plan.risks)),
        _section(
            "What may come, and what would lower it",
            bullets(text(prediction_words(p)) for p in plan.predictions),
        ),
        _section(
            "What the twin assumes now",
            table(("What", "Estimate", "80 % interval", "Rests on"), map(estimate_words, plan.estimates)),
        ),
        _foot(plan),
        _section("Sources in the record", paragraph(text(notes.legend()))),
    )


def _section(title: str, body: str) -> str:
    return heading(title, 4) + body if body and body != "<p></p>" else ""


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


def _proposals(plan: Plan, notes: Footnotes) -> str:
    if not plan.recommendations:
        return (
            paragraph(text("None. The record gives no reason to propose a change."))
            if not plan.refused
            else ""
        )
    return bullets((_rank(group, notes) for group in ranked(plan.recommendations)), ordered=True)


def _rank(group: Sequence[Recommendation], notes: Footnotes) -> str:
    if len(group) == 1:
        return _recommendation(group[0], notes)
    words = choice_words(group) if is_choice(group) else "Of equal rank:"
    return text(words) + bullets(_recommendation(r, notes) for r in group)


def _recommendation(rec: Recommendation, notes: Footnotes) -> str:
    stop = rec.stop or rec.kind == "stop"
    drug = rec.kind == "medication" and not stop
    facts = [
        _labelled("Dose", [rec.dose_text] if rec.dose_text != rec.title else []),
        _reasons("Why", rec.why, notes),
        _labelled("Expected", expected_words(rec)),
        _labelled("Harms", rec.harms or (NO_HARMS if drug else ())),
        _reasons("Caution, contraindications to check", rec.cautions, notes),
        _labelled("Monitor", rec.monitoring),
        text(_grade(rec)),
        _labelled("Assumed", rec.assumptions),
        _labelled("Would change this", rec.what_would_change),
        _labelled("Preference", rec.preference),
        _labelled("Other options", rec.alternatives),
        _labelled("Evidence", [cited(c) for c in rec.citations]),
    ]
    label = "CHANGE" if rec.key.startswith("replace-") else "STOP OR AVOID"
    return strong(f"{label}: {rec.title}" if stop else rec.title) + bullets(facts)


def _grade(rec: Recommendation) -> str:
    parts = [f"Strength {rec.strength or 'not graded'}, certainty {rec.certainty or 'not graded'}"]
    if rec.number_needed_to_treat is not None:
        parts.append(f"number needed to treat {rec.number_needed_to_treat:.0f}")
    return sentence([*parts, *standing_words(rec)])


def _labelled(label: str, words: Sequence[str]) -> str:
    said = sentence(words)
    return text(f"{label}: {said}") if said else ""


def _reasons(label: str, reasons: Sequence[Reason], notes: Footnotes) -> str:
    return _labelled(label, [r.text.rstrip(". ") + notes.marks(r.sources) for r in reasons])


def _preference(stated: StatedPreference, notes: Footnotes) -> str:
    return text(f"{stated.text[:1].upper()}{stated.text[1:]}{notes.marks(stated.sources)}")


def _finding(finding: Finding, notes: Footnotes) -> str:
    words = sentence([finding.text.rstrip(". ") + notes.marks(finding.sources)])
    check = f" Check: {sentence([finding.check])}" if finding.check else ""
    hangs = f" What it hangs on: {sentence(finding.sensitivity)}" if finding.sensitivity else ""
    return strong(finding.severity.upper()) + text(f": {words}{check}{hangs}")


_MILD = (
    "preference",
    "not-indicated",
    "already-taken",
    "already-ordered",
    "declined",
    "next-step",
    "lower-priority",
)


def _gravest_first(rejected: Sequence[Rejection]) -> list[Rejection]:
    """What would do harm before what is merely not indicated."""
    return sorted(rejected, key=lambda r: r.kind in _MILD)


def _rejection(rejection: Rejection, notes: Footnotes) -> str:
    kind = rejection.kind.replace("-", " ")
    reason = rejection.reason.strip()
    if reason.lower().startswith(f"{kind}: "):  # "Not indicated: X" means that it is for X
        kind = "not indicated; it is for" if rejection.kind == "not-indicated" else kind
        reason = reason.split(": ", 1)[1]
    said = reason if rejection.kind in ("declined", "already-ordered") else f"{kind}: {reason}"
    words = sentence([said.rstrip(": .") + notes.marks(rejection.sources)])
    cite = f" ({rejection.citation})" if rejection.citation else ""
    return strong(rejection.scenario.name) + text(f": {words}{cite}")


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
                text("Last written under "),
                as_of(
                    f"model {plan.model_version or 'not stated'} and knowledge "
                    f"{plan.knowledge_version or 'not stated'}"
                ),
                text(
                    ". Simulated values are not observations. Every item is a draft or proposal, none is an order."
                ),
            ),
        )
    )

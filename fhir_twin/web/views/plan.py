"""The plan on the page: proposals in their groups with what was decided, what was rejected, what must be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_twin.fhir.write_words import biomarker_words, is_noticeable, outcome_words
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.decision import Decision
from fhir_twin.model.plan import Citation, Finding, Plan, Recommendation
from fhir_twin.model.scenario import Rejection, RiskChange
from fhir_twin.pipeline import Run
from fhir_twin.recommendation.case import make_case
from fhir_twin.recommendation.due import not_due
from fhir_twin.web.views.words import first_upper, horizon, kind_name, place, points, share, true_minus

REASONS = (
    "Patient declines",
    "Not indicated for this patient",
    "Not tolerated or contraindicated",
    "Done already or being done elsewhere",
    "Other things come first now",
    "I do not agree with the estimate",
)
_GROUP = {
    "stop": "Act first",
    "medication": "Treatment and habits, best first",
    "lifestyle": "Treatment and habits, best first",
    "test": "Tests",
    "screening": "Screening and prevention",
    "referral": "Referral and education",
    "education": "Referral and education",
}
GROUPS = tuple(dict.fromkeys(_GROUP.values()))
_REJECTED = (
    ("Unsafe for this patient", ("contraindicated", "allergy", "interaction", "duplicate")),
    ("Answered earlier", ("declined", "already-ordered")),
    ("Taken already", ("already-taken",)),
    ("For a later step, or against what the patient wants", ("next-step", "preference")),
    ("Possible, but lower priority", ("lower-priority",)),
    ("Not indicated", ("not-indicated",)),
)


@dataclass(frozen=True, slots=True, repr=False)
class ChangeRow:
    outcome: str
    horizon: str
    difference: str
    interval: str
    better: str


@dataclass(frozen=True, slots=True, repr=False)
class Proposal:
    """A recommendation as it is shown. headline: the change that matters most, in one line. doses: (key, label) that
    it may be edited to. decision: what the clinician decided in this session."""

    rec: Recommendation
    kind: str
    headline: str
    changes: tuple[ChangeRow, ...]
    biomarkers: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    citations: tuple[Citation, ...]
    sources: tuple[str, ...]
    doses: tuple[tuple[str, str], ...]
    decision: Decision | None
    grade: str
    short_why: str
    short_harm: str


@dataclass(frozen=True, slots=True, repr=False)
class PlanView:
    """groups: (heading, proposals). rejected: (heading, rejections). due_later: screening that is not due and why."""

    groups: tuple[tuple[str, tuple[Proposal, ...]], ...]
    rejected: tuple[tuple[str, tuple[Rejection, ...]], ...]
    urgent: tuple[Finding, ...]
    other_findings: tuple[Finding, ...]
    due_later: tuple[str, ...]
    counts: Mapping[str, int]


def plan_view(run: Run, k: Knowledge) -> PlanView:
    """Nothing decided yet."""
    plan = run.plan
    proposals = [_proposal(r, k) for r in plan.recommendations]
    grouped: dict[str, list[Proposal]] = {name: [] for name in GROUPS}
    for proposal in proposals:
        grouped[_heading(proposal.rec)].append(proposal)
    return PlanView(
        groups=tuple((name, tuple(found)) for name, found in grouped.items() if found),
        rejected=_rejected(plan.rejected),
        urgent=tuple(f for f in plan.findings if f.severity == "high"),
        other_findings=tuple(f for f in plan.findings if f.severity != "high"),
        due_later=_due_later(run, k),
        counts={"accept": 0, "reject": 0, "open": len(proposals)},
    )


def _heading(rec: Recommendation) -> str:
    return "Act first" if rec.stop else _GROUP.get(rec.kind, GROUPS[-1])


def _proposal(rec: Recommendation, k: Knowledge) -> Proposal:
    shown = tuple(c for c in rec.changes if is_noticeable(c))
    return Proposal(
        rec=rec,
        kind=kind_name("stop" if rec.stop else rec.kind),
        headline=_headline(rec, shown),
        changes=tuple(map(_change, shown)),
        biomarkers=tuple(true_minus(first_upper(biomarker_words(b))) for b in rec.biomarker_changes),
        numbers=tuple(_numbers(rec)),
        citations=rec.citations,
        sources=tuple(dict.fromkeys(place(s) for s in rec.sources)),
        doses=_doses(rec, k),
        decision=None,
        grade=", ".join(
            x for x in (rec.strength, f"certainty {rec.certainty}" if rec.certainty else "") if x
        ),
        short_why=_short(w.text for w in rec.why if not w.text.startswith("Who may benefit")),
        short_harm=_short(rec.harms, 1),
    )


def _short(texts: Iterable[str], most: int = 2) -> str:
    """The first of them on one line; a long one is cut at a word."""
    said = "; ".join(t.rstrip(".") for t in list(texts)[:most])
    return said if len(said) <= 190 else f"{said[:190].rsplit(' ', 1)[0]} \u2026"


def _change(change: RiskChange) -> ChangeRow:
    return ChangeRow(
        first_upper(outcome_words(change.outcome)),
        horizon(change.horizon_years),
        points(change.difference),
        f"{points(change.low)} to {points(change.high)}",
        share(change.better),
    )


def _headline(rec: Recommendation, shown: tuple[RiskChange, ...]) -> str:
    """The largest change in absolute risk, else the first biomarker change, with its interval."""
    if shown:
        best = max(shown, key=lambda c: abs(c.difference))
        return (
            f"{first_upper(outcome_words(best.outcome))} within {horizon(best.horizon_years)}: "
            f"{points(best.difference)} points ({points(best.low)} to {points(best.high)})"
        )
    return first_upper(biomarker_words(rec.biomarker_changes[0])) if rec.biomarker_changes else ""


def _numbers(rec: Recommendation) -> Iterable[tuple[str, str]]:
    """How sure, how much, how good against the others: each with its name."""
    if rec.number_needed_to_treat:
        yield "Number needed to treat", f"{rec.number_needed_to_treat:.0f}"
    if rec.probability_best is not None:
        yield "Best of all options in", f"{share(rec.probability_best)} of simulations"
    if rec.probability_harm is not None:
        yield "More harm than good in", f"{share(rec.probability_harm)} of simulations"
    regret = getattr(rec, "regret", None)
    if regret is not None:
        yield "Expected regret", f"{1000 * regret:.1f} weighted events per 1,000 people in 10 years"


def _doses(rec: Recommendation, k: Knowledge) -> tuple[tuple[str, str], ...]:
    if rec.kind != "medication" or rec.stop:
        return ()
    found = next((i for i in k.interventions.items if i.key == rec.key), None)
    return tuple((d.key, d.label) for d in found.doses if d.text) if found else ()


def _rejected(rejected: tuple[Rejection, ...]) -> tuple[tuple[str, tuple[Rejection, ...]], ...]:
    known = {kind for _, kinds in _REJECTED for kind in kinds}
    groups = [(name, tuple(r for r in rejected if r.kind in kinds)) for name, kinds in _REJECTED]
    groups.append(("Other", tuple(r for r in rejected if r.kind not in known)))
    return tuple((name, found) for name, found in groups if found)


def _due_later(run: Run, k: Knowledge) -> tuple[str, ...]:
    if run.plan.refused:
        return ()
    case = make_case(
        run.coded, run.twin, run.proposals, run.trajectories, k.interventions, k.guidelines, k.safety
    )
    return not_due(k.guidelines.screening, case)


def open_questions(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """(question, why it matters, LOINC to measure)."""
    return tuple((q.text, q.reason, q.loinc) for q in plan.questions)

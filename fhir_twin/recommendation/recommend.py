"""recommend: from twin and trajectories to the plan. Pure; the order of the record's entries does not matter."""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.chart import PatientRecord
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.guidelines import Gate, Guidelines
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.plan import Plan, Recommendation
from fhir_twin.model.rules import SafetyRules
from fhir_twin.model.scenario import Proposals, Rejection, Trajectory
from fhir_twin.model.tumour import TumourModel
from fhir_twin.model.twin import Twin
from fhir_twin.recommendation.aims import first_and_later, safer_first
from fhir_twin.recommendation.case import Case, make_case
from fhir_twin.recommendation.disagree import disagreements
from fhir_twin.recommendation.discrepancies import discrepancies
from fhir_twin.recommendation.due import due
from fhir_twin.recommendation.earlier import answered, lapsed, reminded
from fhir_twin.recommendation.explain import citations, recommendation
from fhir_twin.recommendation.goals import Target, propose_goals
from fhir_twin.recommendation.joint import joint_words
from fhir_twin.recommendation.limits import limits
from fhir_twin.recommendation.option import Option
from fhir_twin.recommendation.pharmacogenomics import gene_conflicts
from fhir_twin.recommendation.predictions import predictions
from fhir_twin.recommendation.questions import merge, useful
from fhir_twin.recommendation.rank import best_of_families, compared, options, ranks, worth
from fhir_twin.recommendation.refuse import only_safety, refusal
from fhir_twin.recommendation.safety import review
from fhir_twin.recommendation.sequence import confirmed_first, sequence
from fhir_twin.recommendation.standing import Field, standing
from fhir_twin.recommendation.tumour import aspirates
from fhir_twin.recommendation.unmeasured import unmeasured
from fhir_twin.recommendation.unread import warned
from fhir_twin.recommendation.wishes import giving_way


def recommend(
    coded: CodedChart,
    twin: Twin,
    proposals: Proposals,
    trajectories: tuple[Trajectory, ...],
    interventions: Interventions,
    guidelines: Guidelines,
    safety: SafetyRules,
    *,
    version: str,
    tumour: TumourModel | None = None,
) -> Plan:
    """The plan. version: of the knowledge; tumour: the aspirate classifier, which adds findings and changes no
    proposal. A refused plan says why and proposes nothing; under consent denial it
    holds nothing of the record at all."""
    chart = coded.chart
    empty = Plan(
        subject=twin.subject or chart.patient.source,
        as_of=chart.as_of,
        patient_label=_label(chart.patient),
        knowledge_version=version,
        model_version=twin.model_version,
    )
    refused = refusal(coded, twin)
    if refused:
        return replace(empty, refused=refused, completeness=chart.completeness)
    case = make_case(coded, twin, proposals, trajectories, interventions, guidelines, safety)
    plan = replace(_plan(empty, case), terminology=coded.releases)
    return replace(plan, findings=(*plan.findings, *aspirates(coded, tumour)))


def _label(patient: PatientRecord) -> str:
    """Name, birth date as far as it is known, and sex: enough to notice that a plan lies in the wrong chart."""
    born = patient.birth_date
    if born is None:
        when = "birth date unknown"
    else:
        shown = {"year": f"{born:%Y}", "month": f"{born:%Y-%m}"}.get(
            patient.birth_precision, f"{born:%Y-%m-%d}"
        )
        when = f"born {shown}"
    return ", ".join(part for part in (patient.name, when, patient.sex) if part)


def _plan(empty: Plan, case: Case) -> Plan:
    reviewed = review(case)
    safety_only = only_safety(case.patient)
    goals, targets = ((), ()) if safety_only else propose_goals(case)
    questions = useful(merge(() if safety_only else case.proposals.questions, reviewed.questions), case)
    urgent = tuple(gap for gap in case.guidelines.gaps if gap.order < 0)
    first = (*reviewed.stops, *due(urgent, len(reviewed.stops) + 1, case))
    proposals = [reminded(r, case, danger=True) for r in first]
    chosen, rejected = ((), ()) if safety_only else _choose(case, targets, first=len(proposals) + 1)
    proposals += chosen
    rest = unmeasured(tuple(proposals), questions, bool(safety_only), case)
    proposals += rest.proposals
    proposals = list(warned(confirmed_first(proposals, case), case))
    differing = () if safety_only else disagreements(tuple(proposals), case)
    said = tuple(text for text in (rest.left_out, lapsed(proposals, case)) if text)
    return replace(
        empty,
        recommendations=tuple(proposals),
        goals=goals,
        rejected=_told((*case.proposals.rejected, *rejected, *rest.answered)),
        sequence=sequence(tuple(proposals), rejected, case),
        predictions=() if safety_only else predictions(tuple(proposals), case),
        questions=questions,
        risks=() if safety_only else case.risks,
        findings=(
            *reviewed.findings,
            *gene_conflicts(case),
            *discrepancies(case),
            *differing,
        ),
        estimates=tuple(case.twin.estimate(key) for key in case.twin.biomarkers),
        completeness=case.coded.chart.completeness,
        addresses=tuple(dict.fromkeys(s for r in proposals for s in r.addresses)),
        sources=tuple(sorted({s for r in proposals for s in r.sources})),
        limits=(*limits(case, safety_only), *said),
        preferences=case.preferences,
    )


def _told(rejected: tuple[Rejection, ...]) -> tuple[Rejection, ...]:
    """Each rejection once, by key; of combinations only what their members do to each other."""
    kept = {r for r in rejected if len(r.scenario.choices) < 2 or r.kind == "interaction"}
    return tuple(sorted(kept, key=lambda r: (r.scenario.key, r.rule, r.reason)))


def _choose(
    case: Case, targets: tuple[Target, ...], first: int
) -> tuple[tuple[Recommendation, ...], tuple[Rejection, ...]]:
    """The best option of each family that is worth it, ranked; the others are rejected with the reason."""
    ranking = case.guidelines.ranking
    scored = options(case, targets)
    rejected = [_unproven(o) for o in scored if not citations(o.intervention)]
    closed = {o.key: gate for o in scored for gate in case.guidelines.gates if _shut(gate, o, case)}
    rejected += [_gated(o, closed[o.key], case) for o in scored if o.key in closed]
    sound = tuple(o for o in scored if citations(o.intervention) and o.key not in closed)
    rejected += [_too_little(o) for o in sound if not worth(o, ranking)]
    open_options, silent = answered((o for o in sound if worth(o, ranking)), case)
    rejected += silent
    open_options, unwanted = giving_way(open_options, case)
    rejected += unwanted
    families = best_of_families(open_options)
    comparisons = compared(families)
    families, moved = safer_first(families, case)
    first_steps, later = first_and_later(families, case)
    rejected += later
    shown = first_steps[: ranking.most]
    rejected += [_lower(best) for best, _ in first_steps[ranking.most :]]
    places = ranks(tuple(best for best, _ in shown), first, ranking)
    together = joint_words(tuple(best for best, _ in shown), case)
    ranked = {best.intervention.key: rank for (best, _), rank in zip(shown, places, strict=True)}
    field = Field(comparisons, tuple(best for best, _ in families), ranked)
    made = [
        reminded(standing(recommendation(best, others, rank, case), best, field, case), case)
        for (best, others), rank in zip(shown, places, strict=True)
    ]
    chosen = tuple(
        replace(r, alternatives=(*_one(moved, r.key), *r.alternatives, *together.get(r.key, ())))
        for r in made
    )
    return chosen, tuple(rejected)


def _one(words: dict[str, str], key: str) -> tuple[str, ...]:
    return (words[key],) if key in words else ()


def _shut(gate: Gate, option: Option, case: Case) -> bool:
    return option.intervention.key in gate.interventions and not case.holds(gate.when)


def _gated(option: Option, gate: Gate, case: Case) -> Rejection:
    source = "; ".join(e.text for e in gate.evidence)
    unknown = "Whether the risk is high enough cannot be told: no risk equation applies here."
    reason = unknown if case.holds(gate.when) is None else gate.reason
    return Rejection(option.trajectory.scenario, "gate", "not-indicated", reason, (), source)


def _unproven(option: Option) -> Rejection:
    return Rejection(
        option.trajectory.scenario,
        "evidence",
        "not-indicated",
        "No source for its benefit has been verified.",
    )


def _too_little(option: Option) -> Rejection:
    if option.events is None:
        reason = "No risk equation applies, and it would bring no goal noticeably closer."
    elif abs(option.events) < 0.00005:
        reason = "No effect on the risks that can be computed here, and no unmet goal brought closer."
    elif option.events > 0:
        reason = f"It would cause about {1000 * option.events:.0f} more events per 1,000 people in 10 years."
    else:
        reason = (
            f"Expected benefit is small: about {1000 * -option.events:.1f} events avoided per 1,000 people in 10 years "
            "and no unmet goal brought closer."
        )
    return Rejection(option.trajectory.scenario, "benefit", "not-indicated", reason)


def _lower(option: Option) -> Rejection:
    return Rejection(
        option.trajectory.scenario,
        "most",
        "lower-priority",
        "Would help, but less than the options shown; a plan shows a limited number at a time.",
    )

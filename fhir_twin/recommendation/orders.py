"""Judge draft orders: each against the record, the other drafts and the plan. Pure (CDS Hooks order-select, -sign).

A draft is judged as if it were taken: pairs against all other drugs, taken or drafted; doses together with it. What
cannot be judged is a remark too, never silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.intervention import Intervention
from fhir_twin.model.orders import OrderRemark, Weight
from fhir_twin.model.plan import Citation, Plan, Recommendation
from fhir_twin.model.rules import Hit, SafetyRule, Severity
from fhir_twin.model.scenario import Question
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.safety import only_dose_missing
from fhir_twin.recommendation.sentence import capital
from fhir_twin.rules.genes import gene_hits
from fhir_twin.rules.predicates import evaluate
from fhir_twin.rules.safety import allergy_hits, asked_by, hit
from fhir_twin.rules.view import PatientView, view

ORDER: dict[str, int] = {"critical": 0, "warning": 1, "info": 2}
_CODES = {"DOSE": "dose", "DOSEH": "dose", "DOSEL": "dose", "DRG": "interaction", "DUPTHPY": "duplicate"}


def judge_orders(case: Case, drafts: tuple[CodedMedication, ...], plan: Plan) -> tuple[OrderRemark, ...]:
    """Remarks on each draft, the gravest first within an order, orders as given. plan: of the record without them."""
    remarks: list[OrderRemark] = []
    for draft in drafts:
        found = {r.topic: r for r in _judge(draft, drafts, case, plan)}
        remarks += sorted(found.values(), key=lambda r: (ORDER[r.weight], r.topic))
    return tuple(remarks)


def dangers(order: CodedMedication, case: Case) -> tuple[Hit, ...]:
    """What speaks strictly against an order that is planned but not taken yet."""
    names = order.classes | frozenset(order.ingredients)
    others, together = _views(order, (order,), case)
    found = _hits(order, names, others, together, case) if names else ()
    return tuple(hit for hit in found if hit.level == "stop")


def _judge(
    draft: CodedMedication, drafts: tuple[CodedMedication, ...], case: Case, plan: Plan
) -> Iterator[OrderRemark]:
    names = draft.classes | frozenset(draft.ingredients)
    name = _name(draft)
    if not names:
        yield not_read(draft.medication.source, name)
        return
    others, together = _views(draft, drafts, case)
    instead = _instead(draft, case, plan)
    for found in _hits(draft, names, others, together, case):
        yield _remark(draft, name, found, instead)
    yield from _already(draft, name, case)
    yield from _asked(draft, name, names, others, together, case)
    yield from _better(draft, name, instead, plan)


def not_read(order: str, name: str = "the drug") -> OrderRemark:
    """An order whose drug is not known was not checked, and that has to be said."""
    return OrderRemark(
        order,
        name,
        "unknown-drug",
        "unknown",
        "warning",
        "This drug was not recognised, so it was not checked against allergies, other drugs and the record.",
        "Check it by hand.",
    )


def _views(
    draft: CodedMedication, drafts: tuple[CodedMedication, ...], case: Case
) -> tuple[PatientView, PatientView]:
    """(the other drugs, all with the draft). What is taken of the same drug already is the draft's own past."""
    own = frozenset(draft.ingredients)
    known = [m for m in case.coded.medications if not own or frozenset(m.ingredients) != own]
    rest = (*known, *(d for d in drafts if d is not draft))
    coded = replace(case.coded, medications=rest)
    whole = replace(case.coded, medications=(*rest, draft))
    return view(coded, case.twin, case.risks), view(whole, case.twin, case.risks)


def _hits(
    draft: CodedMedication, names: frozenset[str], others: PatientView, together: PatientView, case: Case
) -> Iterator[Hit]:
    safety = case.safety
    ingredients = frozenset(draft.ingredients)
    yield from allergy_hits(others, names, ingredients, safety, "stop")
    yield from (
        replace(h, level="caution") for h in allergy_hits(others, names, ingredients, safety, "caution")
    )
    yield from gene_hits(others, names, safety)
    for rule in safety.rules_for(names):
        outcome = evaluate(rule.when, others if rule.partner in names else together, safety.words)
        if outcome.value:
            yield hit(rule, outcome)
        elif only_dose_missing(rule, outcome):
            grave: Severity = "moderate" if rule.partner or rule.severity == "high" else "low"
            yield replace(hit(rule, outcome), level="caution", severity=grave, reason=_dose_unknown(rule))


def _dose_unknown(rule: SafetyRule) -> str:
    return f"{rule.reason} The dose of the order cannot be read, so check it."


def _weight(found: Hit) -> Weight:
    if found.level == "stop":
        return "critical" if found.severity == "high" else "warning"
    return "info" if found.severity == "low" else "warning"


def _kind(found: Hit) -> str:
    if found.rule.startswith("gene-"):
        return "gene"
    if found.kind in ("allergy", "interaction", "duplicate"):
        return found.kind
    return _CODES.get(found.code, "contraindicated")


def _remark(
    draft: CodedMedication, name: str, found: Hit, instead: tuple[Recommendation, ...]
) -> OrderRemark:
    return OrderRemark(
        order=draft.medication.source,
        drug=name,
        topic=found.rule.split(":")[0],
        kind=_kind(found),
        weight=_weight(found),
        text=f"{capital(name)}: {found.reason}",
        action=found.action,
        citation=_citation(found),
        sources=found.sources,
        instead=instead if found.level == "stop" else (),
    )


def _citation(found: Hit) -> Citation | None:
    if found.evidence:
        best = next((e for e in found.evidence if e.verified), found.evidence[0])
        return best.citation(found.rule)
    return Citation(found.rule, found.citation) if found.citation else None


def _already(draft: CodedMedication, name: str, case: Case) -> Iterator[OrderRemark]:
    """The same drug is taken already. A renewal names the order it continues and is left in peace."""
    own = frozenset(draft.ingredients)
    same = [
        m for m in case.coded.medications if m.medication.current and own and frozenset(m.ingredients) == own
    ]
    if not same or "renewal" in draft.medication.flags:
        return
    yield OrderRemark(
        order=draft.medication.source,
        drug=name,
        topic=f"already-taken-{'-'.join(sorted(own))}",
        kind="duplicate",
        weight="warning",
        text=f"{capital(name)}: the record has a current entry of the same drug.",
        action="Is this a change of dose? Then end the earlier order, so that it is not taken twice.",
        sources=tuple(sorted({m.medication.source for m in same})),
    )


def _asked(
    draft: CodedMedication,
    name: str,
    names: frozenset[str],
    others: PatientView,
    together: PatientView,
    case: Case,
) -> Iterator[OrderRemark]:
    """What a safety rule of this drug needs to know and the record lacks, in one remark."""
    questions: dict[str, Question] = {}
    for rule in case.safety.rules_for(names):
        outcome = evaluate(rule.when, others if rule.partner in names else together, case.safety.words)
        for question in () if outcome.value else asked_by(rule, outcome, case.patient, case.safety):
            questions.setdefault(question.key, question)
    if not questions:
        return
    asked = [questions[key] for key in sorted(questions)]
    yield OrderRemark(
        order=draft.medication.source,
        drug=name,
        topic="unknown-" + "-".join(q.key for q in asked),
        kind="question",
        weight="warning",
        text=f"{capital(name)}: whether it is safe depends on what the record does not say.",
        action=" ".join(f"{q.text.rstrip('.')} ({q.reason.rstrip('.')})." for q in asked),
    )


def _instead(draft: CodedMedication, case: Case, plan: Plan) -> tuple[Recommendation, ...]:
    """Drugs of the plan for the same aim (family) as the draft's, without the draft's own."""
    families = {i.family for i in _meant(draft, case) if i.family}
    own = {i.key for i in _meant(draft, case)}
    found = []
    for rec in plan.recommendations:
        item = _intervention(rec.key, case)
        usable = rec.kind == "medication" and not rec.stop and rec.key not in own
        if usable and item is not None and item.family in families:
            found.append(rec)
    return tuple(found)


def _meant(draft: CodedMedication, case: Case) -> tuple[Intervention, ...]:
    """The interventions that ordering this drug is."""
    ingredients = frozenset(draft.ingredients)
    return tuple(
        i
        for i in case.interventions.items
        if i.kind == "medication"
        and (ingredients & set(i.ingredients) or (i.key in i.classes and i.key in draft.classes))
    )


def _intervention(key: str, case: Case) -> Intervention | None:
    stem = key.split("#")[0].split("~")[0]
    return next((i for i in case.interventions.items if i.key == stem), None)


def _better(
    draft: CodedMedication, name: str, instead: tuple[Recommendation, ...], plan: Plan
) -> Iterator[OrderRemark]:
    """The plan ranks another drug first for the same aim, from this patient's own figures."""
    if not instead or plan.refused:
        return
    best = instead[0]
    against = [a for a in best.alternatives if any(i in a.lower() for i in draft.ingredients)]
    why = against[0] if against else " ".join(r.text for r in best.why[:2])
    yield OrderRemark(
        order=draft.medication.source,
        drug=name,
        topic=f"better-{best.key}",
        kind="better",
        weight="info",
        text=f"For the same aim the plan ranks another drug first: {best.title}. {why}".strip(),
        sources=best.sources[:5],
        instead=(best,),
    )


def _name(draft: CodedMedication) -> str:
    return (
        " with ".join(draft.ingredients)
        if draft.ingredients
        else (draft.medication.concept.label or "the drug")
    )

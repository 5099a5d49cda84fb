"""Judge draft orders that are no drugs, where there is sourced knowledge; the others are said to be not judged. Pure.

Contrast and radiation against the patient's own facts, tests and screening done too recently, changed ways of life
against the safety rules, and what is ordered already. Drugs among the drafts count as taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fhir_twin.model.guidelines import DueRule
from fhir_twin.model.order_rules import DraftOrder, OrderKind, OrderRule, OrderRules, RepeatRule
from fhir_twin.model.orders import OrderRemark, Weight
from fhir_twin.model.plan import Citation, Reason
from fhir_twin.model.rules import Evidence
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.due import last_done, occurrences
from fhir_twin.rules.order_kinds import fits, holds_phrase, is_about, words_of
from fhir_twin.rules.predicates import evaluate
from fhir_twin.rules.safety import hit
from fhir_twin.rules.view import PatientView

NOT_JUDGED = "not-judged"
_WEIGHTS: tuple[Weight, ...] = ("critical", "warning", "info")
OPEN = ("active", "on-hold")
_STEP = {"high": 0, "moderate": 1, "low": 2}


def judge_nondrug(
    case: Case, orders: tuple[DraftOrder, ...], rules: OrderRules, patient: PatientView
) -> tuple[OrderRemark, ...]:
    """Remarks on each order, the gravest first, orders as given. patient: with the drafted drugs."""
    remarks: list[OrderRemark] = []
    for order in orders:
        found = {r.topic: r for r in _judge(order, case, rules, patient)}
        remarks += sorted(found.values(), key=lambda r: (_WEIGHTS.index(r.weight), r.topic))
    return tuple(remarks)


def _judge(order: DraftOrder, case: Case, rules: OrderRules, patient: PatientView) -> Iterator[OrderRemark]:
    known = any(is_about(order, kind) for kind in rules.kinds.values())
    for rule in rules.rules:
        yield from _by_rule(order, rule, case, rules, patient)
    repeats = [r for r in rules.repeats if is_about(order, r.kind)]
    said = [remark for rule in repeats if (remark := _repeated(order, rule, case)) is not None]
    screening = [rule for rule in case.guidelines.screening if rule.verified and _is_screening(order, rule)]
    if not said:
        said = [remark for rule in screening if (remark := _screened(order, rule, case)) is not None]
    yield from said
    codes = {(c.system, c.code) for c in order.codings}
    ways = [
        i
        for i in case.interventions.items
        if i.kind != "medication" and codes & {(c.system, c.code) for c in i.codes}
    ]
    for way in ways:
        yield from _by_safety(order, way.key, case, patient)
    yield from _ordered(order, case)
    if not (known or repeats or screening or ways):
        yield not_judged(order)


def not_judged(order: DraftOrder) -> OrderRemark:
    """No knowledge here is about it: that has to be said, for silence would look like "all is well"."""
    name = order.label or order.type
    return OrderRemark(order.source, name, NOT_JUDGED, NOT_JUDGED, "info", f"{name} was not judged.")


def _by_rule(
    order: DraftOrder, rule: OrderRule, case: Case, rules: OrderRules, patient: PatientView
) -> Iterator[OrderRemark]:
    kinds = [(rules.kinds[key], fits(order, rules.kinds[key])) for key in rule.kinds]
    sure = [kind for kind, fit in kinds if fit]
    perhaps = [kind for kind, fit in kinds if fit is None]
    if not sure and not perhaps:
        return
    facts, milder = _speaks(rule, case, patient)
    if facts is None:
        return
    yield _remark(order, rule, facts, milder, (sure or perhaps)[0], certain=bool(sure))


def _speaks(rule: OrderRule, case: Case, patient: PatientView) -> tuple[tuple[Reason, ...] | None, int]:
    """(facts that make the rule speak, None when it is silent; steps by which it is milder)."""
    allergies = _reactions(rule, patient) if rule.allergy else ()
    if allergies:
        return tuple(fact for fact, _ in allergies), min(step for _, step in allergies)
    if rule.when is None:
        return None, 0
    outcome = evaluate(rule.when, patient, case.words)
    if not outcome.value:
        return None, 0
    if rule.needs and all(evaluate(case.safety.facts[n].known, patient).value for n in rule.needs):
        return None, 0
    return outcome.facts, 0


def _reactions(rule: OrderRule, patient: PatientView) -> tuple[tuple[Reason, int], ...]:
    """Entries of the allergy list and of the problem list that say so; an intolerance is one step milder."""
    found: list[tuple[Reason, int]] = []
    for entry in patient.coded.allergies:
        allergy = entry.allergy
        words = words_of(allergy.concept.label)
        if not allergy.active or allergy.none_known or holds_phrase(words, rule.not_allergy):
            continue
        if holds_phrase(words, rule.allergy):
            milder = int(allergy.kind == "intolerance")
            found.append((Reason(f"allergy list: {allergy.concept.label}", (allergy.source,)), milder))
    for problem in patient.coded.problems:
        if problem.ever and set(problem.icd10cm) & set(rule.problems):
            label = problem.problem.concept.label
            found.append((Reason(f"problem list: {label}", (problem.problem.source,)), 0))
    return tuple(found)


def _remark(
    order: DraftOrder,
    rule: OrderRule,
    facts: tuple[Reason, ...],
    milder: int,
    kind: OrderKind,
    *,
    certain: bool,
) -> OrderRemark:
    name = order.label or order.type
    step = min(_STEP[rule.severity] + milder + (0 if certain else 1), 2)
    told = "; ".join(dict.fromkeys(f.text for f in facts if f.text))
    record = f" Record: {told}." if told else ""
    doubt = "" if certain else f"If this is {kind.label} (the order does not say): "
    return OrderRemark(
        order=order.source,
        drug=name,
        topic=rule.key,
        kind=rule.label,
        weight=_WEIGHTS[step],
        text=f"{name}: {doubt}{rule.reason}{record}",
        action=rule.action,
        citation=_citation(rule.key, rule.evidence),
        sources=tuple(dict.fromkeys(s for f in facts for s in f.sources)),
    )


def _citation(key: str, evidence: tuple[Evidence, ...]) -> Citation | None:
    best = next((e for e in evidence if e.verified), None)
    return best.citation(key) if best else None


def _repeated(order: DraftOrder, rule: RepeatRule, case: Case) -> OrderRemark | None:
    """The test was done within the interval in which a repeat says nothing new."""
    done = [found for what in rule.done for found in occurrences(what, case) if found[0] <= case.as_of]
    if not done:
        return None
    when, source = max(done)
    again = when.date() + timedelta(days=rule.days)
    if again <= case.as_of.date():
        return None
    days = (case.as_of.date() - when.date()).days
    return OrderRemark(
        order=order.source,
        drug=order.label or rule.title,
        topic=rule.key,
        kind="repeat",
        weight="info",
        text=f"{rule.title}: last done {when.date()}, {_ago(days)}. {rule.reason}",
        action=f"Unless something has changed, order it from {again}.",
        citation=_citation(rule.key, rule.evidence),
        sources=(source,),
    )


def _ago(days: int) -> str:
    return "today" if days == 0 else "a day ago" if days == 1 else f"{days} days ago"


def _is_screening(order: DraftOrder, rule: DueRule) -> bool:
    """By the rule's code, or by a code or words that would count as done."""
    codes = {c.code for c in order.codings}
    if rule.code is not None and rule.code.code in codes:
        return True
    named = [what for what, _ in rule.done]
    if codes & set(named):
        return True
    phrases = [words_of(what) for what in named if what.replace(" ", "").isalpha() and what.islower()]
    return any(_begins(words_of(text), phrase) for text in order.texts for phrase in phrases)


def _begins(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """The phrase stands in the words; its last word may be the beginning of one ("mammogra")."""
    size = len(phrase)
    return any(
        words[i : i + size - 1] == phrase[:-1] and words[i + size - 1].startswith(phrase[-1])
        for i in range(len(words) - size + 1)
    )


def _screened(order: DraftOrder, rule: DueRule, case: Case) -> OrderRemark | None:
    """The screening is valid still. A test for a complaint is another question, which the words say."""
    last = last_done(rule, case)
    if last is None or last[2] <= case.as_of or not case.holds(rule.when) or case.holds(rule.unless):
        return None
    return OrderRemark(
        order=order.source,
        drug=order.label or rule.title,
        topic=f"repeat-{rule.key}",
        kind="repeat",
        weight="info",
        text=f"{rule.title}: done {last[0].date()}, as screening next from {last[2].date()}.",
        action="Ordered for a complaint or a finding it may be right all the same.",
        citation=_citation(rule.key, rule.evidence),
        sources=(last[1],),
    )


def _by_safety(order: DraftOrder, key: str, case: Case, patient: PatientView) -> Iterator[OrderRemark]:
    """A changed way of life that a safety rule speaks against."""
    for rule in sorted(case.safety.index.get(key, ()), key=lambda r: r.key):
        outcome = evaluate(rule.when, patient, case.words)
        if outcome.value:
            found = hit(rule, outcome)
            weight: Weight = "warning" if rule.level == "stop" else "info"
            text = f"{order.label or key}: {found.reason}"
            cited = _citation(rule.key, rule.evidence)
            yield OrderRemark(
                *(order.source, order.label or key, rule.key, "contraindicated", weight, text, rule.action),
                citation=cited,
                sources=found.sources,
            )


def _ordered(order: DraftOrder, case: Case) -> Iterator[OrderRemark]:
    """The record has an open order of the same code."""
    codes = {(c.system, c.code) for c in order.codings}
    for event in case.coded.chart.events:
        same = codes & {(c.system, c.code) for c in event.concept.codings}
        open_order = event.kind == "ServiceRequest" and event.status in OPEN
        if same and open_order and event.source != order.source and "do-not-perform" not in event.flags:
            when = f" of {event.time.date()}" if event.time else ""
            yield OrderRemark(
                order=order.source,
                drug=order.label or order.type,
                topic=f"ordered-{'-'.join(sorted(code for _, code in same))}",
                kind="duplicate",
                weight="info",
                text=f"{order.label or order.type}: the record has an open order{when} of the same.",
                action="Order it once.",
                sources=(event.source,),
            )
            return

"""judge: what safety says of one intervention for one patient. Pure; the rules are data (mappings/safety)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.model.coded import CodedAllergy, CodedChart
from fhir_twin.model.plan import Reason
from fhir_twin.model.rules import Fact, Hit, SafetyRule, SafetyRules, Verdict
from fhir_twin.model.scenario import Question
from fhir_twin.model.twin import Twin
from fhir_twin.rules.genes import gene_hits
from fhir_twin.rules.kleene import Outcome
from fhir_twin.rules.predicates import evaluate
from fhir_twin.rules.view import PatientView, view


def judge(
    coded: CodedChart,
    twin: Twin,
    intervention_key: str,
    ingredients: Iterable[str],
    classes: Iterable[str],
    safety: SafetyRules,
    *,
    patient: PatientView | None = None,
    replaces: Iterable[str] = (),
) -> Verdict:
    """The verdict on starting `intervention_key` (a drug of `classes` ordered as one of `ingredients`).

    Rules apply to its classes, its ingredients and its own key; "*" rules to drugs only. replaces: classes or
    ingredients that this intervention takes the place of (a higher dose, a switch): no duplicate of itself.
    patient: a view made before (saves time when many interventions are judged)."""
    patient = patient or view(coded, twin)
    drug = frozenset(ingredients) | frozenset(classes)
    targets = drug | {intervention_key}
    blocked: list[Hit] = list(allergy_hits(patient, drug, frozenset(ingredients), safety, "stop"))
    cautions: list[Hit] = list(allergy_hits(patient, drug, frozenset(ingredients), safety, "caution"))
    for found in gene_hits(patient, drug, safety):
        (blocked if found.level == "stop" else cautions).append(found)
    questions: dict[str, Question] = {}
    for rule in safety.rules_for(targets) if drug else _own(safety, intervention_key):
        if rule.partner in replaces:
            continue
        outcome = evaluate(rule.when, patient, safety.words)
        if outcome.value:
            (blocked if rule.level == "stop" else cautions).append(hit(rule, outcome))
        else:
            for question in asked_by(rule, outcome, patient, safety):
                questions[question.key] = replace(question, blocks=(intervention_key,))
    return Verdict(tuple(blocked), tuple(cautions), tuple(questions[key] for key in sorted(questions)))


def _own(safety: SafetyRules, key: str) -> tuple[SafetyRule, ...]:
    """Rules that name an intervention that is no drug (weight loss, exercise)."""
    return tuple(sorted(safety.index.get(key, ()), key=lambda rule: rule.key))


def hit(rule: SafetyRule, outcome: Outcome, *, current: bool = False) -> Hit:
    """The rule's words with this patient's facts. current: said of a drug that is taken already."""
    facts = "; ".join(dict.fromkeys(fact.text for fact in outcome.facts))
    words = rule.current_reason if current and rule.current_reason else rule.reason
    return Hit(
        rule=rule.key,
        kind=rule.kind,
        code=rule.code,
        severity=rule.severity,
        reason=f"{words} Record: {facts}." if facts else words,
        facts=outcome.facts,
        action=rule.action,
        citation=rule.citation,
        evidence=rule.evidence,
        level=rule.level,
        current=rule.current,
        partner=rule.partner,
    )


def asked_by(
    rule: SafetyRule, outcome: Outcome, patient: PatientView, safety: SafetyRules
) -> tuple[Question, ...]:
    """What to ask before the drug may be started: facts the rule needs, and merely possible diseases that leave a
    stop undecided. Other unknown values (nobody measures CK in everybody) leave a rule silent."""
    keys = [need for need in rule.needs if not evaluate(safety.facts[need].known, patient).value]
    found = []
    if outcome.value is None and rule.level == "stop":
        found = [_unsure(key, patient, safety) for op, key in outcome.missing if op == "has"]
    facts = [safety.facts[key] for key in dict.fromkeys(keys)]
    return (*found, *(_ask(fact) for fact in facts if _concerns(fact, patient)))


def _concerns(fact: Fact, patient: PatientView) -> bool:
    return fact.applies is None or evaluate(fact.applies, patient).value is not False


def _ask(fact: Fact) -> Question:
    return Question(fact.key, fact.question, fact.reason, fact.loinc)


def _unsure(group: str, patient: PatientView, safety: SafetyRules) -> Question:
    name = safety.words.group(group)
    where = ", ".join(patient.sources(group, "possible"))
    return Question(
        f"confirm-{group}",
        f"Confirm or rule out: {name}",
        f"The record mentions {name} as possible only ({where}); it decides whether this is safe.",
    )


def allergy_hits(
    patient: PatientView, drug: frozenset[str], ingredients: frozenset[str], safety: SafetyRules, level: str
) -> tuple[Hit, ...]:
    """Allergies against the drug itself or its class (stop), and cross-reactions (level by the rule)."""
    found: dict[str, Hit] = {}
    for entry in patient.coded.allergies:
        if not entry.allergy.active or entry.allergy.none_known:
            continue
        same = sorted((frozenset(entry.ingredients) & ingredients) | (_classes(entry, safety) & drug))
        if same and level == "stop":
            key = f"allergy-{same[0]}"
            found[key] = _allergy(key, entry, f"Allergy or intolerance to {safety.words.drug(same[0])}.")
        for cross in safety.cross_reactions:
            if same or cross.level != level or not drug & set(cross.applies_to):
                continue
            if _names(entry, safety) & _with_members(cross.allergen, safety):
                found[cross.key] = replace(
                    _allergy(cross.key, entry, cross.reason),
                    citation="; ".join(e.text for e in cross.evidence),
                    evidence=cross.evidence,
                )
    return tuple(found[key] for key in sorted(found))


def _classes(entry: CodedAllergy, safety: SafetyRules) -> frozenset[str]:
    """Classes this allergy forbids; "blood-pressure drug" and its like gather unrelated substances and forbid none."""
    return entry.classes - safety.gathering


def _names(entry: CodedAllergy, safety: SafetyRules) -> frozenset[str]:
    return _classes(entry, safety) | frozenset(entry.ingredients)


def _with_members(allergen: str, safety: SafetyRules) -> frozenset[str]:
    return frozenset({allergen}) | safety.members.get(allergen, frozenset())


def _allergy(key: str, entry: CodedAllergy, reason: str) -> Hit:
    allergy = entry.allergy
    words = ", ".join(r.label for r in allergy.reactions if r.label)
    fact = f"allergy list: {allergy.concept.label}" + (f" ({words})" if words else "")
    intolerance = allergy.kind == "intolerance"
    return Hit(
        rule=key,
        kind="allergy",
        code="INT" if intolerance else "ALGY",
        severity="moderate" if intolerance else "high",
        reason=f"{reason} Record: {fact}.",
        facts=(Reason(fact, (allergy.source,)),),
        current="stop",
    )

"""Medication review: what safety rules say of the drugs that the patient takes already.

Each drug is judged against the record without itself (else every drug would be its own duplicate). One rule
gives one finding, however many drugs or entries it concerns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.plan import Finding, Recommendation
from fhir_twin.model.rules import Hit, SafetyRule
from fhir_twin.model.scenario import Question
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.hangs import near_limits
from fhir_twin.recommendation.sentence import capital
from fhir_twin.recommendation.taken import Drug, changes, citation
from fhir_twin.rules.genes import gene_hits
from fhir_twin.rules.kleene import Outcome
from fhir_twin.rules.predicates import evaluate
from fhir_twin.rules.safety import allergy_hits, asked_by, hit
from fhir_twin.rules.view import PatientView, without

ALLERGY_CHECK = "The drug is taken all the same: is it tolerated? Correct the allergy list, or stop the drug."
ORDER = {"high": 0, "moderate": 1, "low": 2}


@dataclass(frozen=True, slots=True, repr=False)
class Review:
    """findings: for the DetectedIssues; stops: drugs to stop, replace or take less of; questions: facts missing
    about drugs now taken."""

    findings: tuple[Finding, ...]
    stops: tuple[Recommendation, ...]
    questions: tuple[Question, ...]


def review(case: Case) -> Review:
    """Judge every current drug. Pure; the order of the record's entries does not matter."""
    hits: list[tuple[Drug, Hit]] = []
    asked: dict[str, Question] = {}
    for drug in current_drugs(case):
        for found, question in _judge(drug, case):
            if found is not None:
                hits.append((drug, found))
            if question is not None:
                asked.setdefault(
                    question.key, replace(question, reason=f"{question.reason} Takes {drug.name}.")
                )
    findings = _merge(hits)
    return Review(findings, changes(hits), tuple(asked[key] for key in sorted(asked)))


def current_drugs(case: Case) -> tuple[Drug, ...]:
    """Current drugs by their ingredients (two entries of one drug are one drug), by name."""
    groups: dict[tuple[str, ...], list[CodedMedication]] = {}
    for entry in case.coded.medications:
        if entry.medication.current and entry.ingredients:
            groups.setdefault(tuple(sorted(entry.ingredients)), []).append(entry)
    drugs = []
    for ingredients, entries in sorted(groups.items()):
        names = frozenset(ingredients).union(*(entry.classes for entry in entries))
        drugs.append(Drug(" with ".join(ingredients), tuple(entries), names))
    return tuple(drugs)


def _judge(drug: Drug, case: Case) -> Iterator[tuple[Hit | None, Question | None]]:
    safety = case.safety
    own = {id(entry) for entry in drug.entries}
    rest = tuple(m for m in case.coded.medications if id(m) not in own)
    others = without(case.patient, rest)
    for allergy in allergy_hits(others, drug.names, drug.names, safety, "stop"):
        yield replace(allergy, current="review", action=ALLERGY_CHECK), None
    for gene in gene_hits(others, drug.names, safety):
        yield gene, None
    for rule in safety.rules_for(drug.names):
        if rule.current == "none":
            continue
        outcome = evaluate(rule.when, _seen(others, case.patient, rule.partner, drug), safety.words)
        if outcome.value:
            said = hit(rule, outcome, current=True)
            yield replace(said, hangs=near_limits(rule.when, case)), None
        elif only_dose_missing(rule, outcome):
            yield (
                replace(
                    hit(rule, outcome, current=True),
                    severity="moderate" if rule.partner or rule.severity == "high" else "low",
                    reason=_dose_unknown(rule),
                    current="review",
                ),
                None,
            )
        for question in asked_by(rule, outcome, case.patient, safety):
            yield None, question


def only_dose_missing(rule: SafetyRule, outcome: Outcome) -> bool:
    """All else of the rule holds and only the dose cannot be told. A mere top dose is then no news: nearly every drug
    has one."""
    unknown = outcome.value is None and outcome.missing and all(op == "dose" for op, _ in outcome.missing)
    return bool(unknown) and rule.when.op != "dose"


def _dose_unknown(rule: SafetyRule) -> str:
    return f"{rule.current_reason or rule.reason} Record: the dose cannot be read, so check it."


def _seen(others: PatientView, all_drugs: PatientView, partner: str, drug: Drug) -> PatientView:
    """A partner that the drug itself could be is looked for among the other drugs; everything else (a dose of the drug
    itself) in the whole record."""
    return others if partner in drug.names else all_drugs


def _merge(hits: list[tuple[Drug, Hit]]) -> tuple[Finding, ...]:
    """One finding per rule and set of sources; the two directions of a pair share the stem of the key."""
    merged: dict[str, tuple[Hit, set[str], set[str]]] = {}
    for drug, found in hits:
        stem = found.rule.split(":")[0]
        kept = merged.setdefault(stem, (found, set(), set()))
        kept[1].update((*drug.sources, *found.sources))
        kept[2].add(drug.name)
    findings = [_finding(stem, *parts) for stem, parts in merged.items()]
    return tuple(sorted(findings, key=lambda f: (ORDER[f.severity], f.key)))


def _finding(stem: str, found: Hit, sources: set[str], drugs: set[str]) -> Finding:
    names = " and ".join(sorted(drugs))
    return Finding(
        key=f"drug-{stem}",
        code=found.code,
        severity=found.severity,
        text=f"{capital(names)}: {found.reason}",
        sources=tuple(sorted(sources)),
        check=found.action,
        citation=citation(found),
        sensitivity=found.hangs,
    )

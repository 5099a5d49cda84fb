"""The Plan: what we propose, in what order, why, what was rejected, and what must be asked first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from fhir_twin.errors import Issue
from fhir_twin.model.chart import Completeness
from fhir_twin.model.codes import Coding, Concept
from fhir_twin.model.scenario import EventRisk, Question, Rejection, RiskChange
from fhir_twin.model.twin import Estimate

Kind = Literal["medication", "lifestyle", "test", "screening", "referral", "education", "stop"]


@dataclass(frozen=True, slots=True)
class Citation:
    """doi or pmid or url; the claim in a sentence; the value as published."""

    key: str
    text: str
    doi: str = ""
    pmid: str = ""
    url: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class ProposedGoal:
    """A target we propose. existing: source of a Goal in the record that already says it (then not written)."""

    key: str
    description: str
    measure: Coding | None
    comparator: str
    value: Decimal | None
    unit: str
    unit_code: str
    due: datetime | None = None
    category: str = ""
    priority: str = "medium-priority"
    addresses: tuple[str, ...] = ()
    components: tuple[tuple[Coding, str, Decimal, str, str], ...] = ()
    citations: tuple[Citation, ...] = ()
    existing: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Reason:
    """One "why": words, and the resources they rest on."""

    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Recommendation:
    """One proposal. `key` is stable over runs (it becomes the identifier). code: what to order. rank from 1;
    equal ranks are ties. strength: guideline strength; certainty: high | moderate | low | very-low.
    dose_text: human dosage; dose_amount in mg (or unit) per intake. stop=True: stop or avoid `code`.
    alternatives: other options for the same aim and why they rank lower.
    All options are compared in the same random draws. probability_best: share of draws in which this one avoids
    the most (weighted) events of all options compared; probability_harm: share in which more events would follow
    than under "continue as now"; regret: expected loss, in weighted 10-year events per person, of choosing it
    instead of the one that is best in each draw. pareto: no rival of the same aim is at least as good in every
    respect that counts and better in one (None: no rival); preference: in words, what the patient's stated
    preferences did to its place; tied: keys of the proposals that the simulation cannot tell from it.
    round: 2 and more when it is proposed anew after somebody declined it (it is another resource then)."""

    key: str
    kind: Kind
    title: str
    code: Concept
    rank: int
    why: tuple[Reason, ...]
    changes: tuple[RiskChange, ...] = ()
    biomarker_changes: tuple[tuple[str, float, float, float, str], ...] = ()
    harms: tuple[str, ...] = ()
    cautions: tuple[Reason, ...] = ()
    monitoring: tuple[str, ...] = ()
    strength: str = ""
    certainty: str = ""
    probability_best: float | None = None
    number_needed_to_treat: float | None = None
    what_would_change: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()
    goals: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    dose_text: str = ""
    dose_amount: Decimal | None = None
    dose_unit: str = ""
    dose_per_day: float | None = None
    replaces: str = ""
    patient_text: str = ""
    stop: bool = False
    alternatives: tuple[str, ...] = ()
    probability_harm: float | None = None
    round: int = 1
    regret: float | None = None
    pareto: bool | None = None
    preference: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """A discrepancy or a danger in what is there already; becomes a DetectedIssue.
    code: v3-ActCode (DI-2: DRG, ALGY, COND, LAB, DUPTHPY, DOSEH, VALIDAT ...). sides: what each side says,
    with its sources (discrepancies); sensitivity: in words, what the conclusion hangs on."""

    key: str
    code: str
    severity: Literal["high", "moderate", "low"]
    text: str
    sources: tuple[str, ...]
    check: str = ""
    citation: Citation | None = None
    sides: tuple[Reason, ...] = ()
    sensitivity: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class StatedPreference:
    """What the patient (or a Goal on the record) asks for. key: of mappings/guidelines/preferences.toml."""

    key: str
    text: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Prediction:
    """An early prediction: a disease not yet diagnosed. risk: as things are; lowered_by: (proposal key, title,
    difference of risk with its 80 % interval), the strongest first; words: what it rests on and what to watch."""

    risk: EventRisk
    title: str
    lowered_by: tuple[tuple[str, str, float, float, float], ...] = ()
    words: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """refused: why no plan could be made ("minor", "deceased", ...), "" otherwise; then only findings, questions
    and risks may be filled. sequence: in words, what to do first, next and after that, with what the steps
    together are expected to bring. terminology: names and versions of the releases and maps by which it was coded."""

    subject: str
    as_of: datetime
    patient_label: str
    recommendations: tuple[Recommendation, ...] = ()
    goals: tuple[ProposedGoal, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    questions: tuple[Question, ...] = ()
    risks: tuple[EventRisk, ...] = ()
    findings: tuple[Finding, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    completeness: tuple[Completeness, ...] = ()
    issues: tuple[Issue, ...] = ()
    addresses: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    refused: str = ""
    knowledge_version: str = ""
    model_version: str = ""
    preferences: tuple[StatedPreference, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    sequence: tuple[str, ...] = ()
    terminology: tuple[str, ...] = ()

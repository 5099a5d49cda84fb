"""Guideline knowledge as data: goals, unnoticed diagnoses, screening rules, ranking weights.

Read from mappings/guidelines and mappings/screening by
`fhir_twin.recommendation.load_guidelines`; the legend of every key is in the README of each folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from fhir_twin.model.codes import Coding
from fhir_twin.model.rules import Evidence, Predicate, Severity


@dataclass(frozen=True, slots=True)
class GoalVariant:
    """Limits of a goal for some patients: the first variant whose `when` holds is taken. limits: analyte -> value
    in canonical unit; why: in words."""

    limits: tuple[tuple[str, Decimal], ...]
    when: Predicate | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class GoalRule:
    """A target and for whom. description: with {limits} where the numbers go. comparator: "<", "<=", ">=".
    relative: the limit is a share of the present value (0.95 = 5 % lower)."""

    key: str
    description: str
    when: Predicate
    variants: tuple[GoalVariant, ...]
    comparator: str = "<"
    relative: bool = False
    unless: Predicate | None = None
    due_days: int = 180
    category: str = ""
    priority: str = "medium-priority"
    addresses: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def verified(self) -> bool:
        """Only then it may be proposed."""
        return any(e.verified for e in self.evidence)


@dataclass(frozen=True, slots=True)
class DueRule:
    """Something to do once or again and again: a screening test, or a test that the record calls for and nobody
    ordered. code: None when we have verified none (words only). when: who; unless: who not; done: what counts as
    done, (analyte key, code or words; days it is valid); grade: USPSTF grade or "". order: smaller comes first; below
    0 it cannot wait and comes before every option of benefit. confirms: aims whose drugs wait for this test."""

    key: str
    kind: str
    title: str
    code: Coding | None
    when: Predicate
    reason: str
    done: tuple[tuple[str, int], ...] = ()
    unless: Predicate | None = None
    grade: str = ""
    strength: str = ""
    patient_text: str = ""
    addresses: tuple[str, ...] = ()
    order: int = 50
    evidence: tuple[Evidence, ...] = ()
    confirms: tuple[str, ...] = ()

    @property
    def verified(self) -> bool:
        return any(e.verified for e in self.evidence)


@dataclass(frozen=True, slots=True)
class Aim:
    """Drugs with one aim are not all started at once. classes,
    interventions: who belongs; at_first (or `more` when `more_when`
    holds): how many are shown; next: what is said of the others."""

    key: str
    classes: frozenset[str]
    at_first: int
    next: str
    more: int = 0
    more_when: Predicate | None = None
    interventions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Statements of the record that do not fit each other; becomes a finding with both sides as sources."""

    key: str
    severity: Severity
    when: Predicate
    text: str
    check: str
    unless: Predicate | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """Options that are proposed only when `when` holds (it may name the simulated risk); else rejected with
    `reason`."""

    interventions: frozenset[str]
    when: Predicate
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class PreferenceRule:
    """One thing a patient may ask for. words: groups, each of which must be met by a sentence for it to say so;
    answers: looser ones, for an answer to the question what the patient prefers; label: in words; criterion:
    injection | pills | cost | weight-gain | burden | none; price, price_goal: what one unit of it counts against
    an option (weighted 10-year events; share of the way to the goals); gives_way: an option that it speaks against
    is left out as long as another of the same aim is open; raises_weight: drug classes; overrides: keys of
    preferences that do not count beside it."""

    key: str
    label: str
    words: tuple[tuple[str, ...], ...]
    criterion: str
    price: float
    price_goal: float
    gives_way: bool = False
    raises_weight: frozenset[str] = frozenset()
    overrides: frozenset[str] = frozenset()
    evidence: tuple[Evidence, ...] = ()
    answers: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Preferences:
    """All rules; unless: words that turn a sentence around; loinc: questions whose answers are such statements."""

    rules: tuple[PreferenceRule, ...] = ()
    unless: tuple[str, ...] = ()
    loinc: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ranking:
    """How options are ordered. weights: outcome -> what one event counts (a judgement, written down in
    mappings/guidelines/ranking.toml); covers: composite outcome -> outcomes inside it, which then do not count
    again; least_events: smallest weighted 10-year change that is worth proposing; draws: Monte-Carlo draws behind
    an interval (for ties); most: how many options of benefit a plan shows; most_due: how many screening proposals;
    most_advice: how much advice without a number; similar: share of the benefit at which a safer option of the same
    aim goes first; most_unmeasured: how many proposals whose benefit was not computed (tests, screening,
    gaps); tie: difference of benefit (weighted events per person) that is too small for an order; priority: what the
    priority of a recorded Goal counts when the way to the goals is added up."""

    weights: Mapping[str, float] = field(default_factory=dict)
    covers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    least_events: float = 0.001
    least_better: float = 0.8
    least_gap: float = 0.1
    least_change: Mapping[str, float] = field(default_factory=dict)
    draws: int = 200
    most: int = 8
    most_due: int = 6
    most_advice: int = 4
    similar: float = 0.7
    most_unmeasured: int = 10
    tie: float = 0.0005
    priority: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a clinician's answer to an earlier proposal means for the next plan. days: by kind of proposal, for how
    long a declined one is not made again; always: kinds (and everything urgent) that a plan names all the same;
    accepted_days: for how long an accepted order is not proposed a second time; lapsed_days: after which an
    unanswered draft is named; moved: analyte -> change since then that reopens the question (positive: a rise,
    negative: a fall)."""

    days: Mapping[str, int] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    accepted_days: int = 180
    lapsed_days: int = 365
    moved: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guidelines:
    goals: tuple[GoalRule, ...] = ()
    gaps: tuple[DueRule, ...] = ()
    screening: tuple[DueRule, ...] = ()
    ranking: Ranking = field(default_factory=Ranking)
    answers: Answers = field(default_factory=Answers)
    aims: tuple[Aim, ...] = ()
    gates: tuple[Gate, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    measures: Mapping[str, Coding] = field(default_factory=dict)
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preferences: Preferences = field(default_factory=Preferences)

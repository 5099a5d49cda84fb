"""The Chart: what a record says, source by source, before anybody interprets it.

Everything keeps `source` = "Type/id/_history/version" (version left out when unknown), so that every later
number can name the resources it rests on. All times are timezone-aware. Fields that can hold patient data
do not show in `repr` (a log line or a traceback must not carry them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from fhir_twin.errors import Issue
from fhir_twin.model.codes import Concept
from fhir_twin.model.proposal import Proposal as Proposal

Sex = Literal["female", "male", "other", "unknown"]
Setting = Literal["home", "office", "ambulatory", "inpatient", "unknown"]
Comparator = Literal["<", "<=", ">=", ">"]


@dataclass(frozen=True, slots=True, repr=False)
class PatientRecord:
    """source; id; identifiers as (system, value); birth_date is None when unknown, `birth_precision`
    says what was given ("year" | "month" | "day"); deceased may be known without a date."""

    source: str
    id: str
    identifiers: tuple[tuple[str, str], ...] = ()
    name: str = ""
    sex: Sex = "unknown"
    birth_date: date | None = None
    birth_precision: Literal["year", "month", "day", ""] = ""
    deceased: bool = False
    deceased_on: datetime | None = None
    language: str = ""
    race: str = ""
    ethnicity: str = ""
    replaced_by: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Measurement:
    """One observed value: an Observation, or one component of one.

    Exactly one of value / coded / text / boolean is set, or `absent_reason` says why none is. `value` keeps the
    digits as written; `comparator` makes it a bound, not a number (OB-3). `unit_code` is UCUM only if
    `unit_system` says so; `unit` is the printed text. `time` is when it was true of the patient (OB-5); `time_end`
    only for periods. `flags` record what reading had to do ("parsed-from-text", "time-from-issued",
    "preliminary", "patient-reported", ...).
    """

    source: str
    concept: Concept
    time: datetime | None
    status: str = "final"
    value: Decimal | None = None
    comparator: Comparator | None = None
    unit: str = ""
    unit_code: str = ""
    unit_system: str = ""
    coded: Concept | None = None
    text: str = ""
    boolean: bool | None = None
    absent_reason: str = ""
    time_end: datetime | None = None
    setting: Setting = "unknown"
    categories: tuple[str, ...] = ()
    interpretation: tuple[str, ...] = ()
    reference_low: Decimal | None = None
    reference_high: Decimal | None = None
    method: Concept | None = None
    specimen: Concept | None = None
    device: Concept | None = None
    panel: Concept | None = None
    encounter: str = ""
    readings: int = 1
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Problem:
    """A Condition. clinical: active | recurrence | relapse | inactive | remission | resolved | "".
    certainty: confirmed | possible (provisional, differential, unconfirmed); refuted ones are never here."""

    source: str
    concept: Concept
    clinical: str = ""
    certainty: Literal["confirmed", "possible"] = "confirmed"
    categories: tuple[str, ...] = ()
    onset: datetime | None = None
    onset_age: float | None = None
    abatement: datetime | None = None
    recorded: datetime | None = None
    severity: Concept | None = None
    stages: tuple[Concept, ...] = ()
    encounter: str = ""
    notes: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """con-4: an abatement means it is over; no clinicalStatus counts as active (CO-1)."""
        return self.abatement is None and self.clinical in ("active", "recurrence", "relapse", "")


@dataclass(frozen=True, slots=True, repr=False)
class Dosage:
    """One dosage instruction: text first; amount per intake in `unit`; intakes per day when they can be told."""

    text: str = ""
    amount: Decimal | None = None
    unit: str = ""
    per_day: float | None = None
    route: Concept | None = None
    as_needed: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Medication:
    """A drug the patient takes, took or was ordered. `current` follows standards.md MR-1."""

    source: str
    concept: Concept
    status: str
    current: bool
    intent: str = ""
    start: datetime | None = None
    end: datetime | None = None
    dosages: tuple[Dosage, ...] = ()
    reported: bool = False
    reasons: tuple[Concept, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Allergy:
    """`none_known` is a stated absence ("no known allergy"), which is not the same as an empty list (AL-1)."""

    source: str
    concept: Concept
    active: bool = True
    kind: str = ""
    categories: tuple[str, ...] = ()
    criticality: str = ""
    reactions: tuple[Concept, ...] = ()
    severities: tuple[str, ...] = ()
    certainty: Literal["confirmed", "possible"] = "confirmed"
    none_known: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class FamilyCondition:
    concept: Concept
    onset_age: float | None = None
    caused_death: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class FamilyMember:
    """relationship: v3-RoleCode, upper case ("FTH"); degree 1 = parent, sibling, child; 0 = unknown."""

    source: str
    relationship: str
    degree: int
    sex: Sex = "unknown"
    conditions: tuple[FamilyCondition, ...] = ()
    deceased: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class GeneResult:
    """One pharmacogenomic finding as reported; nothing is inferred here (GX-3). copies: number of copies of the whole
    gene, score: activity score, when the laboratory states them."""

    source: str
    gene: str
    diplotype: str = ""
    phenotype: str = ""
    phenotype_code: str = ""
    text: str = ""
    time: datetime | None = None
    copies: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class GoalTarget:
    measure: Concept | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    value: Decimal | None = None
    comparator: Comparator | None = None
    unit: str = ""
    due: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PatientGoal:
    source: str
    concept: Concept
    status: str
    priority: str = ""
    targets: tuple[GoalTarget, ...] = ()
    start: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """Anything dated that happened and that later stages only look up: Procedure, Immunization, Encounter,
    DiagnosticReport, ServiceRequest, DocumentReference, CarePlan. `kind` is the R4 resource type."""

    source: str
    kind: str
    concept: Concept
    status: str
    time: datetime | None = None
    time_end: datetime | None = None
    categories: tuple[str, ...] = ()
    text: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class ConsentRule:
    """One provision. Empty tuples mean "no restriction on this axis"."""

    permit: bool
    start: datetime | None = None
    end: datetime | None = None
    actions: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    security_labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    exceptions: tuple[ConsentRule, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Consent:
    source: str
    status: str
    scope: str
    time: datetime | None
    root: ConsentRule | None
    policy_rule: str = ""
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete one resource type is. expected: the server's own count, None when it gave none.
    state: complete | short (fewer than the server counts) | unknown (no count) | not-permitted | not-offered |
    failed | not-asked."""

    type: str
    read: int
    expected: int | None
    state: str
    note: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Chart:
    """What the record says about one patient as of one moment. Tuples are in the order of the Bundle."""

    patient: PatientRecord
    as_of: datetime
    measurements: tuple[Measurement, ...] = ()
    problems: tuple[Problem, ...] = ()
    medications: tuple[Medication, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    family: tuple[FamilyMember, ...] = ()
    genes: tuple[GeneResult, ...] = ()
    goals: tuple[PatientGoal, ...] = ()
    consents: tuple[Consent, ...] = ()
    events: tuple[Event, ...] = ()
    issues: tuple[Issue, ...] = ()
    completeness: tuple[Completeness, ...] = ()
    counts: tuple[tuple[str, int], ...] = field(default=())
    proposals: tuple[Proposal, ...] = ()

    def age_at(self, when: datetime) -> float | None:
        """Age in years (365.25 days), None without a birth date. A partial date counts from its middle."""
        born = self.patient.birth_date
        if born is None:
            return None
        shift = {"year": 182, "month": 15}.get(self.patient.birth_precision, 0)
        return ((when.date() - born).days - shift) / 365.25

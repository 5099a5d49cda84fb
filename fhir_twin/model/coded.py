"""The CodedChart: the chart, its free text coded, and everything sorted into the groups that rules speak of.

The chart itself is never overwritten: decisions stand beside it. Rules, priors and safety checks name
*groups* ("diabetes-type-2", "heart-failure"; drug classes "ace-inhibitor", "statin"), whose members are data in
mappings/ (condition groups by ICD-10-CM prefix and SNOMED code, drug classes by RxNorm ingredient).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fhir_twin.errors import Issue
from fhir_twin.model.chart import Allergy, Chart, FamilyMember, Measurement, Medication, Problem
from terminology.decision import Assertion, CodingDecision


@dataclass(frozen=True, slots=True)
class SourcedDecision:
    """A coder's decision about one text of one resource. field: "code", "name", "value", "note", ..."""

    source: str
    field: str
    decision: CodingDecision


@dataclass(frozen=True, slots=True, repr=False)
class CodedProblem:
    """groups: keys of mappings/conditions. `assertion` "present" only counts as the patient's own problem;
    "historical" means over; "absent", "possible", "family" and "hypothetical" are kept but never treated as true.
    confidence: 1.0 when the resource came coded. release: names and versions of what the ICD-10-CM codes came from (a
    map, or the text coder's vocabulary); "" when the resource itself has them."""

    problem: Problem
    icd10cm: tuple[str, ...]
    snomed: tuple[str, ...]
    groups: frozenset[str]
    assertion: Assertion
    confidence: float
    from_text: bool
    release: str = ""

    @property
    def holds(self) -> bool:
        """True when the patient has this now, for sure enough to act on."""
        return self.assertion == "present" and self.problem.active and self.problem.certainty == "confirmed"

    @property
    def ever(self) -> bool:
        """True when the patient has or had this (history counts, e.g. an old infarction)."""
        return self.assertion in ("present", "historical") and self.problem.certainty == "confirmed"


@dataclass(frozen=True, slots=True, repr=False)
class CodedMedication:
    """ingredients: lower-case RxNorm ingredient names ("lisinopril"); rxcuis: ingredient RxCUIs; classes: keys of
    mappings/drug-classes. daily_dose in mg of the single ingredient, None when it cannot be told."""

    medication: Medication
    ingredients: tuple[str, ...]
    rxcuis: tuple[str, ...]
    classes: frozenset[str]
    daily_dose: float | None
    confidence: float
    from_text: bool


@dataclass(frozen=True, slots=True, repr=False)
class CodedAllergy:
    """ingredients and classes this allergy forbids (class-level allergens expand to their drug classes)."""

    allergy: Allergy
    ingredients: tuple[str, ...]
    classes: frozenset[str]
    from_text: bool
    understood: bool


@dataclass(frozen=True, slots=True, repr=False)
class CodedMeasurement:
    """loinc: codes to look the analyte up by (given, or decided from text with confidence)."""

    measurement: Measurement
    loinc: tuple[str, ...]
    confidence: float
    from_text: bool


@dataclass(frozen=True, slots=True, repr=False)
class CodedFamilyCondition:
    member: FamilyMember
    groups: frozenset[str]
    onset_age: float | None


@dataclass(frozen=True, slots=True, repr=False)
class SocialFacts:
    """smoking: current | former | never | unknown (SM-2: unknown is not never). pregnant: None = not known."""

    smoking: str = "unknown"
    smoking_source: str = ""
    smoking_time: datetime | None = None
    pack_years: float | None = None
    cigarettes_per_day: float | None = None
    alcohol_per_week: float | None = None
    pregnant: bool | None = None
    pregnant_source: str = ""
    lactating: bool | None = None


@dataclass(frozen=True, slots=True, repr=False)
class CodedChart:
    chart: Chart
    problems: tuple[CodedProblem, ...] = ()
    medications: tuple[CodedMedication, ...] = ()
    allergies: tuple[CodedAllergy, ...] = ()
    measurements: tuple[CodedMeasurement, ...] = ()
    family: tuple[CodedFamilyCondition, ...] = ()
    social: SocialFacts = field(default_factory=SocialFacts)
    decisions: tuple[SourcedDecision, ...] = ()
    issues: tuple[Issue, ...] = ()

    @property
    def releases(self) -> tuple[str, ...]:
        """Names and versions of all that a code of this chart came from: maps, and the coder's vocabularies."""
        told = [p.release for p in self.problems]
        told += [d.decision.release for d in self.decisions if not d.decision.abstained]
        return tuple(sorted({name for names in told for name in names.split("; ") if name}))

    def has(self, group: str) -> bool:
        """The patient has a condition of `group` now."""
        return any(p.holds and group in p.groups for p in self.problems)

    def ever_had(self, group: str) -> bool:
        return any(p.ever and group in p.groups for p in self.problems)

    def sources_of(self, group: str) -> tuple[str, ...]:
        return tuple(p.problem.source for p in self.problems if p.ever and group in p.groups)

    def takes(self, drug_class: str) -> bool:
        """A current drug is of `drug_class` (or is that ingredient)."""
        return bool(self.taking(drug_class))

    def taking(self, drug_class: str) -> tuple[CodedMedication, ...]:
        return tuple(
            m
            for m in self.medications
            if m.medication.current and (drug_class in m.classes or drug_class in m.ingredients)
        )

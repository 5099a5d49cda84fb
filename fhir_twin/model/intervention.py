"""Interventions and outcomes as knowledge: what an option does, how sure that is, and where it was read.

Loaded from mappings/interventions and mappings/outcomes by fhir_twin.simulation (`load_interventions`,
`load_outcomes`); these types live here because recommendation and web read them too. A value whose evidence
is not verified never reaches these types' `effects` and `events`: the loader drops it and keeps its key in
`unverified`, so that a page can say what was left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from fhir_twin.model.codes import Coding
from fhir_twin.model.memo import HIDDEN
from fhir_twin.model.rules import Predicate
from fhir_twin.model.tumour import TumourModel

InterventionKind = Literal["medication", "lifestyle", "test", "screening", "referral", "education", "stop"]
CostBand = Literal["none", "low", "medium", "high", "very-high"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One source of one number. claim: in a sentence; value: as published; read_in: where it was read when
    that was not the paper itself."""

    key: str
    claim: str
    value: str
    verified: bool
    text: str = ""
    doi: str = ""
    pmid: str = ""
    url: str = ""
    read_in: str = ""


@dataclass(frozen=True, slots=True)
class Dose:
    """One step of the dose ladder. text: the dosage instruction of the proposal; ingredient: the drug proposed
    at this step; amount per intake in `unit`, intakes `per_day`; factor multiplies effects that name no dose."""

    key: str
    label: str
    text: str = ""
    ingredient: str = ""
    code: Coding | None = None
    amount: Decimal | None = None
    unit: str = ""
    per_day: float | None = None
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Effect:
    """Change of one biomarker, full onset, full adherence. kind "absolute": canonical unit; "percent": of the
    value. se: standard error of the mean; personal_sd: spread between people. slope: further change per unit
    of the baseline above `reference` (same sign convention). dose "" = every dose (times Dose.factor).
    when: (biomarker, low, high) baseline ranges in which this holds (None = open); groups_all / groups_any /
    groups_none: condition groups that must all hold / of which one must hold / none of which may hold."""

    biomarker: str
    kind: Literal["absolute", "percent"]
    mean: float
    se: float
    evidence: tuple[str, ...]
    personal_sd: float = 0.0
    reference: float | None = None
    slope: float = 0.0
    dose: str = ""
    when: tuple[tuple[str, float | None, float | None], ...] = ()
    groups_all: tuple[str, ...] = ()
    groups_any: tuple[str, ...] = ()
    groups_none: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventEffect:
    """How an intervention changes the hazard of `outcome`: either `via` a biomarker change (trial ratio per unit,
    mappings/outcomes/trial-ratios.toml) or by the class's own trial ratio (95 % CI low..high). Never both.
    follow_up_years: over which the trial averaged its ratio, onset included (0: the ratio is the full effect)."""

    outcome: str
    via: str = ""
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    onset_years: float = 0.0
    follow_up_years: float = 0.0
    dose: str = ""
    groups_all: tuple[str, ...] = ()
    groups_any: tuple[str, ...] = ()
    groups_none: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Harm:
    """ratio against no treatment, and excess events per 1,000 person-years where published."""

    key: str
    text: str
    ratio: float | None = None
    excess_per_1000: float | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Intervention:
    """One thing one could do. Tuples keep the order of the file.

    classes: drug classes it belongs to (for "already taken" and safety); ingredients: RxNorm ingredient names it
    may be ordered as; family: at most one intervention per family in a scenario ("ras"); starter: the dose
    first proposed; step_up: dose ladder for those already on it; indication: who may get it (None = every
    adult); burden 0 (none) .. 1;
    offer: doses shown side by side (default: the starter); current: what a drug taken already counts as,
    (ingredient, ((up to mg a day, dose key), ...)); route: in words, which path (biomarker or class ratio) carries
    the event effect; order: place among the advice that has no number (smaller first); done: what of the record
    counts as done, (analyte, code or words; days it is valid)."""

    key: str
    title: str
    kind: InterventionKind
    codes: tuple[Coding, ...]
    classes: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    family: str = ""
    doses: tuple[Dose, ...] = ()
    starter: str = "standard"
    indication: Predicate | None = None
    indication_text: str = ""
    addresses: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    events: tuple[EventEffect, ...] = ()
    harms: tuple[Harm, ...] = ()
    onset_years: float = 0.1
    adherence: float = 1.0
    adherence_text: str = ""
    burden: float = 0.0
    burden_text: str = ""
    injection: bool = False
    cost: CostBand = "low"
    guideline: str = ""
    strength: str = ""
    certainty: str = ""
    monitoring: tuple[str, ...] = ()
    patient_text: str = ""
    route: str = ""
    offer: tuple[str, ...] = ()
    current: tuple[tuple[str, tuple[tuple[float, str], ...]], ...] = ()
    evidence: tuple[Evidence, ...] = ()
    unverified: tuple[str, ...] = ()
    order: int = 50
    done: tuple[tuple[str, int], ...] = ()

    @property
    def by_guideline(self) -> bool:
        """No drug, and it claims no effect at all: never simulated, proposed by its guideline alone."""
        return self.kind != "medication" and not (self.effects or self.events or self.unverified)

    def dose(self, key: str) -> Dose:
        """Raises KeyError when there is no such step."""
        for dose in self.doses:
            if dose.key == key:
                return dose
        raise KeyError(f"{self.key} has no dose {key!r}")

    def cite(self, key: str) -> Evidence:
        """Raises KeyError for an unknown evidence key."""
        for item in self.evidence:
            if item.key == key:
                return item
        raise KeyError(f"{self.key} has no evidence {key!r}")


@dataclass(frozen=True, slots=True)
class Combination:
    """Several interventions shown as one option when all are allowed, `when` holds and none of `unless` is allowed."""

    members: tuple[str, ...]
    name: str
    when: Predicate | None = None
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EquationInput:
    """How an input of a risk equation is asked for when the record lacks it."""

    key: str
    question: str
    loinc: str


@dataclass(frozen=True, slots=True)
class Interventions:
    """All interventions, in the order of their files; combinations; how to ask for the equations' inputs."""

    items: tuple[Intervention, ...]
    combinations: tuple[Combination, ...] = ()
    inputs: tuple[EquationInput, ...] = ()
    _memo: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN
    )

    def get(self, key: str) -> Intervention:
        """Raises KeyError for an unknown key."""
        found = self.find(key)
        if found is None:
            raise KeyError(f"unknown intervention {key!r}")
        return found

    def find(self, key: str) -> Intervention | None:
        """None for an unknown key."""
        by_key: dict[str, Intervention] | None = self._memo.get("by key")
        if by_key is None:
            by_key = self._memo["by key"] = {item.key: item for item in reversed(self.items)}
        return by_key.get(key)


@dataclass(frozen=True, slots=True)
class TrialRatio:
    """Hazard ratio of `outcome` for a change of `per` (canonical unit, signed) in `biomarker`, 95 % CI.
    follow_up_years as in EventEffect."""

    biomarker: str
    outcome: str
    per: float
    ratio: float
    low: float
    high: float
    onset_years: float
    evidence: Evidence
    follow_up_years: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Site recalibration of one risk equation: logit(p') = intercept + slope * logit(p)."""

    equation: str
    intercept: float = 0.0
    slope: float = 1.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class DiabetesRate:
    """Yearly hazard of diabetes in an untreated trial arm with its 95 % CI, how long it holds, who was enrolled
    (years, kg/m2, mg/dL)."""

    rate: float
    low: float
    high: float
    horizon_years: float
    least_age: float
    least_bmi: float
    least_fasting_glucose: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What the simulation needs besides interventions: trial ratios per unit of biomarker, site recalibrations,
    region of the kidney and SCORE2 equations, citations, utilities (outcome, loss per year after it, standard
    error, source), mortality (sex, probability of death within a year from age 18 on), diabetes onset, the
    aspirate classifier (mappings/outcomes/tumour-fna.json)."""

    trial_ratios: tuple[TrialRatio, ...]
    calibrations: tuple[Calibration, ...] = ()
    region: str = "north-america"
    score2_region: str = "moderate"
    citations: tuple[tuple[str, Evidence], ...] = ()
    utilities: tuple[tuple[str, float, float, Evidence], ...] = ()
    mortality: tuple[tuple[str, tuple[float, ...]], ...] = ()
    diabetes: DiabetesRate | None = None
    tumour: TumourModel | None = None

"""What we know about each measurable: its codes, unit and window, and how it moves in a person.

Filled from mappings/biomarkers and mappings/units by `fhir_twin.assimilation.load_biomarkers`; read by the
twin, the simulation and the page. All standard deviations and effects here are on the model scale (natural log
for `scale = "log"`); times are years of 365.25 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_twin.model.twin import Array, Scale


@dataclass(frozen=True, slots=True)
class Evidence:
    """One citation of a number: where it was read, what it claims, the value as published. mark: V (read in a
    source), M (measured on public data), D (derived from V or M), R (recalled), E (our own editorial choice)."""

    claim: str
    source: str
    value: str
    mark: str
    verified: bool


@dataclass(frozen=True, slots=True)
class UnitRule:
    """canonical = value x factor + offset, for values whose UCUM unit equals `unit` up to its own scale."""

    unit: str
    factor: float
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Code:
    """A LOINC code of an analyte. use: "" normal | "exclude" (never assimilated, reason in `note`).
    equation: how an eGFR was estimated. note: what it is. rules: conversions that hold for this code only, before
    the analyte's own (urea in mg/dL is not urea nitrogen in mg/dL). assay: the way of measuring that the code names."""

    loinc: str
    note: str = ""
    use: str = ""
    equation: str = ""
    unit: str = ""
    rules: tuple[UnitRule, ...] = ()
    assay: str = ""


@dataclass(frozen=True, slots=True)
class Assay:
    """One way of measuring an analyte that is not the usual one: a meter, a strip, a 24-hour sample, a wrist cuff.

    codes (of method, specimen or device, any system) and words (in their texts and those of code and panel) say that a
    value is of it; patient_supplied: so are values that the patient supplied. cv, sd: its own error on top of the visit
    noise, SD on the model scale and in canonical units, the larger one counts; bias: mean difference to the usual way
    (model scale); factor: of the visit noise."""

    key: str
    name: str
    cv: float = 0.0
    sd: float = 0.0
    bias: float = 0.0
    factor: float = 1.0
    codes: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    patient_supplied: bool = False

    def error(self, value: float) -> float:
        """SD (model scale) of its own error of a value in canonical units."""
        return max(self.cv, self.sd / value if self.sd else 0.0)


USUAL = Assay("", "")


@dataclass(frozen=True, slots=True)
class Analyte:
    """One measurable. unit: canonical UCUM. rules: units that need the analyte (molar mass, IFCC line).
    plausible: (low, high) in canonical units; outside is a mistake of unit, tube or typing, not a patient.
    other_units: further UCUM units in use for it (no rule needed), weighed when a unit is missing or mislabelled.
    unlabelled: (unit, low, high): numbers in that range (in that unit) may mean it when no unit is given.
    assays: ways of measuring that a value may be of, the first that fits decides."""

    key: str
    name: str
    unit: str
    codes: tuple[Code, ...]
    rules: tuple[UnitRule, ...]
    plausible: tuple[float, float]
    derived: bool = False
    evidence: tuple[Evidence, ...] = ()
    other_units: tuple[str, ...] = ()
    unlabelled: tuple[tuple[str, float, float], ...] = ()
    assays: tuple[Assay, ...] = ()

    def assay_name(self, key: str) -> str:
        """Words for an assay's key, "" for the usual one."""
        return next((a.name for a in self.assays if a.key == key), "")


@dataclass(frozen=True, slots=True)
class PriorRow:
    """Population mean and SD of the personal level (model scale) for one sex and age band [age_low, age_high).
    sex "" = both. group: only for people with that condition group (such rows win over plain ones)."""

    sex: str
    age_low: float
    age_high: float
    group: str
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Noise:
    """SD of one visit around the usual value: sqrt(visit^2 + reading^2 / readings) x setting x age x assay factor, and
    the assay's own error on top (variances add)."""

    visit: float
    reading: float
    settings: Mapping[str, float]
    ages: tuple[tuple[float, float], ...]
    assays: Mapping[str, Assay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offset:
    """Values taken in `settings` (home, ambulatory) differ from those of the office by `mean`, and by a constant of the
    person's own with SD `sd` around it (white coat, masked); model scale."""

    settings: tuple[str, ...]
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class SlopeRegime:
    """One regime of a personal yearly slope: share of people, mean and SD (model scale per year)."""

    name: str
    share: float
    mean: float
    sd: float
    sex: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class TreatmentEffect:
    """What a drug class does to this biomarker. mean: change on the model scale at `baseline` (canonical unit) and
    standard dose; per_unit: further change of the effect, canonical units per canonical unit above `baseline`;
    spread: SD between people (model scale); onset: years to 1 - 1/e of the effect; family: classes of one family
    share `correlation` of their personal response; doses: (ingredient, mg per day, mean) where the effect was published
    by dose."""

    drug_class: str
    mean: float
    spread: float
    baseline: float = 0.0
    per_unit: float = 0.0
    onset: float = 0.1
    family: str = ""
    correlation: float = 0.0
    verified: bool = False
    doses: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class BiomarkerModel:
    """How one modelled biomarker moves: level (prior, random walk `walk` = SD per root-year), mean-reverting
    fluctuation (SD, tau in years), known ageing per year, visit noise, slope regimes, treatment effects, and by how
    much values from outside the office differ. The usual value is on the office's scale: equations and trials mean
    that; where there are values from outside, it is their equivalent."""

    key: str
    scale: Scale
    unit: str
    priors: tuple[PriorRow, ...]
    fluctuation_sd: float
    fluctuation_tau: float
    walk: float
    ageing: Mapping[str, float]
    noise: Noise
    slopes: tuple[SlopeRegime, ...] = ()
    treatments: tuple[TreatmentEffect, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    offset: Offset | None = None

    def shift(self, setting: str) -> float | None:
        """How much values of this setting differ from the usual (office) ones on average; None where they do not."""
        if self.offset is None or setting not in self.offset.settings:
            return None
        return self.offset.mean

    def assay(self, key: str) -> Assay:
        """The usual way of measuring ("", or a way that this biomarker has no numbers for) changes nothing."""
        return self.noise.assays.get(key, USUAL)


@dataclass(frozen=True, slots=True, repr=False)
class BiomarkerSet:
    """Everything the twin knows about measurables. models are in state order; the correlations are (n, n), in that
    order, for personal levels and for fluctuations. aliases: printed unit -> UCUM. calibration: (biomarker, age
    third, setting) -> scores of the interval's quantile levels (see assimilation.calibration). others: models that are
    not part of the state (body weight, creatinine: the state has BMI and eGFR) but can be forecast alone. own_df:
    degrees of freedom of a person's own spread around that of everybody (inf: nobody differs)."""

    analytes: Mapping[str, Analyte]
    by_loinc: Mapping[str, tuple[str, Code]]
    models: tuple[BiomarkerModel, ...]
    level_correlation: Array
    fluctuation_correlation: Array
    aliases: Mapping[str, str]
    version: str
    calibration: Mapping[tuple[str, str, str], tuple[float, ...]] = field(default_factory=dict)
    others: tuple[BiomarkerModel, ...] = ()
    own_df: float = float("inf")

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(m.key for m in self.models)

    def model(self, key: str) -> BiomarkerModel:
        """Raises KeyError when `key` is not modelled."""
        for model in self.models:
            if model.key == key:
                return model
        raise KeyError(key)

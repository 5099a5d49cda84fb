"""Scenarios (what one could do) and trajectories (what the twin says would follow)."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_twin.errors import Issue
from fhir_twin.model.twin import Array


@dataclass(frozen=True, slots=True)
class Choice:
    """One intervention at one dose. dose: a key of the intervention's dose table. adherence 0..1 (None: the
    intervention's own). from_dose: the step the patient is on already ("" = none): only the difference counts.
    stop: what is taken now is stopped."""

    intervention: str
    dose: str = "standard"
    delay_years: float = 0.0
    adherence: float | None = None
    stop: bool = False
    from_dose: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`key` is stable ("continue", "start-statin-high"); "continue as now" has no choices."""

    key: str
    name: str
    choices: tuple[Choice, ...] = ()
    horizon_years: float = 10.0


CONTINUE = Scenario("continue", "Continue as now")


@dataclass(frozen=True, slots=True, repr=False)
class Rejection:
    """An option that a safety rule keeps out of the plan: reason in words, the rule, the sources it rests on,
    its citation. kind: contraindicated | interaction | allergy | duplicate | not-indicated | already-taken."""

    scenario: Scenario
    rule: str
    kind: str
    reason: str
    sources: tuple[str, ...] = ()
    citation: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """A fact a safety rule or equation needs and the record lacks. loinc: what to measure, "" when it is asked.
    blocks: intervention keys that wait for the answer."""

    key: str
    text: str
    reason: str
    loinc: str = ""
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Proposals:
    """propose_scenarios' answer: what may be simulated, what was rejected, what must be asked first.
    cautions: (scenario key, rule, words, sources) that ride along with an allowed option."""

    scenarios: tuple[Scenario, ...]
    rejected: tuple[Rejection, ...] = ()
    questions: tuple[Question, ...] = ()
    cautions: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class EventRisk:
    """Absolute risk (probability 0..1) of `outcome` within `horizon_years`, with the interval's ends (80 %).
    equation names the model and version ("PREVENT base 10y"); basis: the inputs' sources."""

    outcome: str
    horizon_years: float
    probability: float
    low: float
    high: float
    equation: str
    basis: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class RiskChange:
    """Change against "continue as now": probability difference (negative is better) with its 80 % interval and
    the share of draws in which the option is better."""

    outcome: str
    horizon_years: float
    difference: float
    low: float
    high: float
    better: float


@dataclass(frozen=True, slots=True, repr=False)
class RelativeEffect:
    """Hazard ratio of `outcome` under the scenario against "continue as now", at full onset, with its 80 % interval
    and the share of draws below 1. All that can be said where no equation gives an absolute risk (known
    cardiovascular disease). basis: the trials, in words."""

    outcome: str
    ratio: float
    low: float
    high: float
    better: float
    basis: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Sensitivity:
    """The change of risk if `input` were at `low` or `high` (ends of its 80 % interval; 0, 1 for an unknown fact)."""

    input: str
    low: float
    high: float
    change_low: float
    change_high: float

    @property
    def swing(self) -> float:
        return abs(self.change_high - self.change_low)


@dataclass(frozen=True, slots=True, repr=False)
class Trajectory:
    """times (T,) in years from as_of; median (T, n) and low/high (T, n) (80 %) in canonical units, n in the order
    of `biomarkers`; event risks; changes against "continue as now" (empty for that scenario itself); qaly:
    quality-adjusted life years gained within the horizon by fewer events, mean with its 80 % interval; draws:
    (outcome, horizon, difference of risk in each common random draw (D,)), read-only: the same draw is the same world
    in every scenario, so scenarios may be compared draw by draw. Draws are not part of the plain form."""

    scenario: Scenario
    biomarkers: tuple[str, ...]
    times: Array
    median: Array
    low: Array
    high: Array
    risks: tuple[EventRisk, ...] = ()
    changes: tuple[RiskChange, ...] = ()
    biomarker_changes: tuple[tuple[str, float, float, float], ...] = ()
    issues: tuple[Issue, ...] = field(default=())
    relative: tuple[RelativeEffect, ...] = ()
    qaly: tuple[float, float, float] | None = None
    draws: tuple[tuple[str, float, Array], ...] = field(default=(), metadata={"plain": False})

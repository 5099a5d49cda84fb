"""Many people at once, from plain columns: absolute risks under options, and what a trial of one would find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhir_twin.dynamics.cohort import number
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Dose, Effect, EventEffect, Intervention, Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario, Sensitivity, Trajectory
from fhir_twin.model.twin import Array, Twin
from fhir_twin.simulation.columns import read_people
from fhir_twin.simulation.information import MeasurementValue, measurement_value
from fhir_twin.simulation.simulate import simulate
from fhir_twin.simulation.what_if import choice_of, scenario_of, sensitivity

Option = str | Intervention | Choice | Sequence[Mapping[str, Any] | Choice]


@dataclass(frozen=True, slots=True, repr=False)
class Risks:
    """P people, S scenarios ("continue as now" first), O outcomes: risk, low, high (P, S, O), NaN where no equation
    answers; years (O,): horizon of each; qaly (P, S): gained against "continue as now"; relative: per person and
    scenario, outcome -> hazard ratio as trials give it; refusals: per person, why there is no absolute risk."""

    scenarios: tuple[str, ...]
    outcomes: tuple[str, ...]
    years: tuple[float, ...]
    risk: Array
    low: Array
    high: Array
    qaly: Array
    relative: tuple[tuple[dict[str, float], ...], ...]
    refusals: tuple[tuple[str, ...], ...]

    def of(self, outcome: str) -> Array:
        """(P, S) risks of one outcome. Raises KeyError."""
        if outcome not in self.outcomes:
            raise KeyError(outcome)
        return np.asarray(self.risk[:, :, self.outcomes.index(outcome)])


def lowering(biomarker: str, by: float, outcomes: Sequence[str] = ()) -> Intervention:
    """A treatment that lowers one biomarker by exactly `by` (canonical unit) at once and acts through it alone, by the
    trial ratios per unit (SBP, LDL, HbA1c): what meta-analyses of trials speak of. outcomes: those it acts on, default
    all that have a ratio of their own. Raises InvalidInput."""
    by = number(by, "lowering: by")
    if not np.isfinite(by):
        raise InvalidInput("lowering: by must be finite")
    events = tuple(EventEffect(o, via=biomarker) for o in outcomes)
    return Intervention(
        key=f"lower-{biomarker}",
        title=f"{biomarker} lower by {by:g}",
        kind="medication",
        codes=(),
        doses=(Dose("standard", f"{by:g}"),),
        onset_years=0.02,
        effects=(Effect(biomarker, "absolute", -abs(by), 0.0, ("given",)),),
        events=events,
    )


def cohort_risks(
    people: Mapping[str, Any],
    options: Sequence[Option],
    known: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    horizon_years: float = 10.0,
    draws: int = 1000,
) -> Risks:
    """See `fhir_twin.science.risks`."""
    twins = read_people(people, known)
    every, scenarios = _scenarios(options, known, interventions, outcomes, horizon_years)
    _check(twins, scenarios, every, draws)
    found = [simulate(t, scenarios, known, every, outcomes, draws=draws) for t in twins]
    names: dict[str, float] = {}
    for person in found:
        for r in person[0].risks if person else ():
            if r.horizon_years <= horizon_years:
                names.setdefault(r.outcome, r.horizon_years)
    shape = (len(twins), len(scenarios), len(names))
    risk, low, high = (np.full(shape, np.nan) for _ in range(3))
    qaly = np.full(shape[:2], np.nan)
    for i, person in enumerate(found):
        for j, trajectory in enumerate(person):
            qaly[i, j] = 0.0 if j == 0 else (trajectory.qaly or (np.nan,))[0]
            for r in trajectory.risks:
                if names.get(r.outcome) == r.horizon_years:
                    o = list(names).index(r.outcome)
                    risk[i, j, o], low[i, j, o], high[i, j, o] = r.probability, r.low, r.high
    relative = tuple(tuple({e.outcome: e.ratio for e in t.relative} for t in person) for person in found)
    refusals = tuple(_refusals(t, person) for t, person in zip(twins, found, strict=True))
    keys = tuple(s.key for s in scenarios)
    return Risks(keys, tuple(names), tuple(names.values()), risk, low, high, qaly, relative, refusals)


def hazard_ratio(
    people: Mapping[str, Any],
    option: Option,
    outcome: str,
    known: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    years: float,
    draws: int = 200,
) -> tuple[float, float, float]:
    """See `fhir_twin.science.hazard_ratio`."""
    every, scenarios = _scenarios((option,), known, interventions, outcomes, years)
    twins = read_people(people, known)
    _check(twins, scenarios, every, draws)
    now, then, ratios = [], [], []
    for twin in twins:
        pair = simulate(twin, scenarios, known, every, outcomes, draws=draws)
        risks = [next((r.probability for r in t.risks if r.outcome == outcome), None) for t in pair]
        effect = next((r for r in (pair[1].relative if pair else ()) if r.outcome == outcome), None)
        if effect is not None:
            half = np.log(effect.high / effect.low) / 2.0 * (1.959964 / 1.281552)
            ratios.append((np.log(effect.ratio), half))
        if None not in risks and len(risks) == 2:
            now.append(-np.log1p(-float(risks[0] or 0.0)))
            then.append(-np.log1p(-float(risks[1] or 0.0)))
    if not ratios and now == then:  # nothing acts on it: not the same as a ratio of 1
        raise InvalidInput(f"nothing is known of {outcome} in these people")
    if now:
        point = float(np.log(np.sum(then) / np.sum(now)))
    else:
        point = float(np.mean([r[0] for r in ratios]))
    half = float(np.mean([r[1] for r in ratios])) if ratios else 0.0
    return float(np.exp(point)), float(np.exp(point - half)), float(np.exp(point + half))


def hangs_on(
    people: Mapping[str, Any],
    option: Option,
    known: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    outcome: str,
    spread: float,
) -> tuple[tuple[tuple[Sensitivity, ...], tuple[MeasurementValue, ...]], ...]:
    """See `fhir_twin.science.hangs_on`."""
    every, scenarios = _scenarios((option,), known, interventions, outcomes, 10.0)
    if not 0.0 <= number(spread, "spread") < np.inf:
        raise InvalidInput("spread: must be a relative standard error, not below 0")
    twins = read_people(people, known, spread)
    _check(twins, scenarios, every)
    parts = (scenarios[1], known, every, outcomes)
    return tuple(
        (sensitivity(twin, *parts, outcome=outcome), measurement_value(twin, *parts, outcome=outcome))
        for twin in twins
    )


def _check(
    twins: Sequence[Twin], scenarios: Sequence[Scenario], every: Interventions, draws: int = 2
) -> None:
    """Raises InvalidInput for draws that do not pair, and for a stop of what somebody does not take."""
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 2 or draws % 2:
        raise InvalidInput("draws: must be an even number, at least 2")
    for choice in (c for scenario in scenarios for c in scenario.choices if c.stop):
        item = every.get(choice.intervention)
        taken = {*item.classes[:1], *item.ingredients}
        if not all(taken & twin.profile.classes for twin in twins):
            raise InvalidInput(f"classes: {item.key} is not taken by everybody, so it cannot be stopped")


def _scenarios(
    options: Sequence[Option],
    known: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    years: float,
) -> tuple[Interventions, tuple[Scenario, ...]]:
    """The interventions with those made up by the caller, and the scenarios, "continue as now" first."""
    if not 0.0 < number(years, "horizon") <= 30.0:
        raise InvalidInput("horizon: above 0 and at most 30 years")
    made: list[Intervention] = []
    scenarios = [replace(CONTINUE, horizon_years=years)]
    every, asked = interventions, list[Option]()
    for option in options:
        if isinstance(option, Intervention):
            option = _named(_acting(option, known, outcomes), made)
            made.append(option)
        asked.append(option)
    if made:
        every = replace(interventions, items=(*interventions.items, *dict.fromkeys(made)))
    for option in asked:
        choices = _choices(option, every)
        scenario = scenario_of(choices, every, horizon_years=max(years, 1.0))
        scenarios.append(replace(scenario, horizon_years=years))
    return every, tuple(scenarios)


def _named(item: Intervention, made: Sequence[Intervention]) -> Intervention:
    """Two made-up treatments of one key are told apart by number; the very same one twice is one."""
    others = [m for m in made if m.key.partition("#")[0] == item.key]
    same = next((m for m in others if replace(m, key=item.key) == item), None)
    return same or (replace(item, key=f"{item.key}#{len(others) + 1}") if others else item)


def _choices(option: Option, every: Interventions) -> tuple[Choice, ...]:
    if isinstance(option, Choice):
        return (option,)
    if isinstance(option, str | Intervention):
        name = option if isinstance(option, str) else option.key
        key, _, dose = name.partition(":")
        table: dict[str, Any] = {"intervention": key} | ({"dose": dose} if dose else {})
        return (choice_of(table, every),)
    if not hasattr(option, "__iter__"):
        raise InvalidInput("options: each must be a key, a list of choices or a lowering")
    return tuple(c if isinstance(c, Choice) else choice_of(c, every) for c in option)


def _acting(item: Intervention, known: BiomarkerSet, outcomes: Outcomes) -> Intervention:
    """A made-up treatment without named outcomes acts on all that have a trial ratio for its biomarker. Raises
    InvalidInput when there is none."""
    if item.events or not item.effects:
        return item
    key = item.effects[0].biomarker
    events = tuple(EventEffect(r.outcome, via=key) for r in outcomes.trial_ratios if r.biomarker == key)
    if not events:
        having = ", ".join(sorted({r.biomarker for r in outcomes.trial_ratios} & set(known.keys)))
        raise InvalidInput(f"lowering: nothing is known of what {key} does by itself; only of {having}")
    return replace(item, events=events)


def _refusals(twin: Twin, person: tuple[Trajectory, ...]) -> tuple[str, ...]:
    if not person:
        return (twin.refused or "no simulation for this person",)
    return tuple(i.diagnostics for i in person[0].issues)

"""simulate: what the twin says would follow from each scenario, against "continue as now".

Biomarkers: the natural course (exact) plus the effects as they build up. Events: the equations' baseline hazard
times the trial ratios, never the equations' own coefficients. Parameter uncertainty (standard errors of effects and
ratios), personal response and the uncertainty of today's state go through 1,000 common random draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.errors import Issue
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, EventRisk, Scenario, Trajectory
from fhir_twin.model.twin import Z80, Array, Twin, readonly
from fhir_twin.simulation.baseline import Baseline, baselines, long_term
from fhir_twin.simulation.course import natural_course
from fhir_twin.simulation.diabetes import counted_as, diabetes_onset
from fhir_twin.simulation.draws import DRAWS, posterior
from fhir_twin.simulation.grid import edges
from fhir_twin.simulation.mortality import death, qaly_gain
from fhir_twin.simulation.outcomes import (
    change_draws,
    event_risks,
    hazards,
    interval,
    relative_effects,
    risk_changes,
    stacked,
)
from fhir_twin.simulation.responses import BiomarkerTerm, Person, Response, respond

CHANGE_AT = 1.0  # years after the start at which biomarker changes are reported


def simulate(
    twin: Twin,
    scenarios: tuple[Scenario, ...],
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    draws: int = DRAWS,
) -> tuple[Trajectory, ...]:
    """One Trajectory per scenario, in order; the same input gives the same numbers, bit for bit.

    A refused twin gives none. Where an equation refuses there is no absolute risk of that kind, an Issue says
    why, and relative effects stand alone. Raises KeyError for an unknown intervention or dose."""
    if twin.refused or twin.profile.deceased or not scenarios:
        return ()
    case = _open(twin, interventions, outcomes, draws)
    horizons = dict.fromkeys(s.horizon_years for s in scenarios)
    courses = {years: natural_course(twin, biomarkers, edges(years)) for years in horizons}
    starts = {years: case.until(years) for years in horizons}
    return tuple(_trajectory(s, case, courses[s.horizon_years], starts[s.horizon_years]) for s in scenarios)


@dataclass(frozen=True, slots=True)
class _Case:
    """What all scenarios of one patient share. later: 30-year risks."""

    twin: Twin
    person: Person
    base: list[Baseline]
    later: tuple[EventRisk, ...]
    issues: tuple[Issue, ...]
    interventions: Interventions
    outcomes: Outcomes

    def until(self, years: float) -> tuple[list[Baseline], Array]:
        """Baselines within a scenario's horizon, and their risks (outcomes, D)."""
        base = [b.within(years) for b in self.base]
        return base, stacked(base, {b.outcome: b.hazard for b in base})


def _open(twin: Twin, interventions: Interventions, outcomes: Outcomes, draws: int) -> _Case:
    point = {key: twin.estimate(key).mean for key in twin.biomarkers}
    incident, told = diabetes_onset(twin, outcomes, draws)
    profile = counted_as(twin.profile, incident)
    person = Person(posterior(twin, draws), point, profile, _height(twin), draws, _learned(twin))
    base, issues = baselines(twin, person, outcomes)
    base += incident + death(twin.profile, outcomes, draws)
    issues += told
    later = long_term(twin, person, outcomes)
    return _Case(twin, person, base, later, tuple(issues), interventions, outcomes)


def _learned(twin: Twin) -> dict[tuple[str, str], tuple[float, float, bool]]:
    """This person's own response to each drug class that was started under observation and is still taken."""
    going_on = {(t.biomarker, t.drug_class) for t in twin.terms if t.end == np.inf}
    logged = {key for key, scale in zip(twin.biomarkers, twin.scales, strict=True) if scale == "log"}
    return {
        (biomarker, drug): (mean, sd, biomarker in logged)
        for biomarker, drug, mean, sd in twin.responses
        if (biomarker, drug) in going_on
    }


def _height(twin: Twin) -> float | None:
    """Metres, from the newest usable height."""
    heights = [p for p in twin.used("height") if p.bound is None and p.value > 0]
    return heights[-1].value / 100.0 if heights else None


def _trajectory(
    scenario: Scenario, case: _Case, course: tuple[Array, Array], start: tuple[list[Baseline], Array]
) -> Trajectory:
    twin, person = case.twin, case.person
    times = edges(scenario.horizon_years)
    response = respond(scenario, person, case.interventions, case.outcomes)
    base, before = start
    shift, spread = _shifts(response.biomarkers, twin, person, times)
    mean, half = course[0] + shift, Z80 * np.sqrt(course[1] + spread)
    after = stacked(base, hazards(base, response.events), before) if response.events else before
    same = scenario.choices == CONTINUE.choices
    words = {c.intervention: case.interventions.get(c.intervention).route for c in scenario.choices}
    gain = None if same else qaly_gain(base, before, after, case.outcomes)
    return Trajectory(
        scenario=scenario,
        biomarkers=twin.biomarkers,
        times=times,
        median=_to_unit(twin, mean),
        low=_to_unit(twin, mean - half),
        high=_to_unit(twin, mean + half),
        risks=event_risks(base, after) + (case.later if same else ()),
        changes=() if same else risk_changes(base, before, after),
        biomarker_changes=_changes(response.biomarkers, person),
        issues=(*case.issues, *_unusable(scenario, response)),
        relative=relative_effects(response.events, words),
        qaly=None if gain is None else _summary(gain),
        draws=() if same else change_draws(base, before, after),
    )


def _summary(values: Array) -> tuple[float, float, float]:
    low, high = interval(values)
    return float(values.mean()), float(low), float(high)


def _to_unit(twin: Twin, values: Array) -> Array:
    """Model scale (T, n) to canonical units, read-only."""
    log = np.array([s == "log" for s in twin.scales])
    return readonly(np.where(log, np.exp(np.where(log, values, 0.0)), values))


def _shifts(terms: list[BiomarkerTerm], twin: Twin, person: Person, times: Array) -> tuple[Array, Array]:
    """Mean shift and extra variance (T, n) on the model scale."""
    shift = np.zeros((len(times), len(twin.biomarkers)))
    spread = np.zeros_like(shift)
    for key, group in _grouped(terms).items():
        i = twin.index(key)
        for term in group:
            change = _on_model_scale(term, twin.scales[i] == "log", person.values[key])
            grown = onset(times - term.delay, term.tau)
            shift[:, i] += grown * change.mean()
            spread[:, i] += grown**2 * change.var()
    return shift, spread


def _on_model_scale(term: BiomarkerTerm, log: bool, values: Array) -> Array:
    if log:
        return term.change if term.logged else np.log(np.maximum(1.0 + term.change / values, 0.05))
    return values * np.expm1(term.change) if term.logged else term.change


def _grouped(terms: list[BiomarkerTerm]) -> dict[str, list[BiomarkerTerm]]:
    found: dict[str, list[BiomarkerTerm]] = {}
    for term in terms:
        found.setdefault(term.biomarker, []).append(term)
    return found


def _changes(terms: list[BiomarkerTerm], person: Person) -> tuple[tuple[str, float, float, float], ...]:
    """(biomarker, mean change, low, high) a year on, canonical units, against "continue as now"."""
    found = []
    for key, group in _grouped(terms).items():
        values = person.values[key]
        at = [(t, float(onset(np.array(CHANGE_AT - t.delay), t.tau))) for t in group]
        factor = (
            np.exp(np.sum([t.change * g for t, g in at if t.logged], axis=0))
            if any(t.logged for t in group)
            else 1.0
        )
        change = values * factor - values + sum(t.change * g for t, g in at if not t.logged)
        low, high = interval(change)
        found.append((key, float(change.mean()), float(low), float(high)))
    return tuple(found)


def _unusable(scenario: Scenario, response: Response) -> tuple[Issue, ...]:
    if "weight" in response.unusable:
        text = f"{scenario.key}: the weight change is not shown because the height is not known"
        return (Issue("information", "business-rule", text, stage="simulate"),)
    return ()

"""simulate: what the twin says would follow from each scenario, against "continue as now".

Biomarkers: the natural course (exact) plus the effects as they build up. Events: the equations' baseline hazard
times the trial ratios, never the equations' own coefficients. Parameter uncertainty (standard errors of effects and
ratios), personal response and the uncertainty of today's state go through 1,000 common random draws. The scenarios
of one patient are worked out together (`outcomes`, `ledger`); none depends on which others stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.errors import Issue
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, EventRisk, Scenario, Trajectory
from fhir_twin.model.twin import Array, Twin, readonly
from fhir_twin.simulation.baseline import Baseline, baselines, long_term
from fhir_twin.simulation.course import natural_course
from fhir_twin.simulation.diabetes import counted_as, diabetes_onset
from fhir_twin.simulation.draws import DRAWS, posterior
from fhir_twin.simulation.grid import edges
from fhir_twin.simulation.ledger import Ledger
from fhir_twin.simulation.mortality import death, qaly_gain
from fhir_twin.simulation.outcomes import (
    Start,
    Told,
    event_risks,
    relative_effects,
    relative_totals,
    risk_changes,
    risks_under,
    start,
    told,
)
from fhir_twin.simulation.responses import Person, Response, respond
from fhir_twin.simulation.shifts import biomarker_changes, courses, shifts


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
    same = any(s.choices == CONTINUE.choices for s in scenarios)
    later = long_term(twin, case.person, outcomes) if same else ()
    horizons = dict.fromkeys(s.horizon_years for s in scenarios)
    natural = {years: natural_course(twin, biomarkers, edges(years)) for years in horizons}
    starts = {years: case.until(years) for years in horizons}
    numbers = {years: told(begin, outcomes, draws) for years, begin in starts.items()}
    responses = [respond(s, case.person, interventions, outcomes) for s in scenarios]
    begun = [starts[s.horizon_years] for s in scenarios]
    after = risks_under(begun, [r.events for r in responses], draws)
    moved = shifts(
        [r.biomarkers for r in responses], [edges(s.horizon_years) for s in scenarios], twin, case.person
    )
    ledger = Ledger()
    drafts = [
        _draft(case, s, (begin, numbers[s.horizon_years]), response, rows, ledger)
        for s, begin, response, rows in zip(scenarios, begun, responses, after, strict=True)
    ]
    ledger.settle()
    curves = [
        courses(twin, natural[s.horizon_years], shift) for s, shift in zip(scenarios, moved, strict=True)
    ]
    return tuple(
        draft.trajectory(ledger, course, later) for draft, course in zip(drafts, curves, strict=True)
    )


def expected_change(
    twin: Twin, scenario: Scenario, interventions: Interventions, outcomes: Outcomes, outcome: str, draws: int
) -> float | None:
    """The mean `RiskChange.difference` of one outcome as `simulate` gives it, and nothing else of a trajectory. None
    where no absolute risk can be given, and for "continue as now"."""
    if twin.refused or twin.profile.deceased or scenario.choices == CONTINUE.choices:
        return None
    case = _open(twin, interventions, outcomes, draws)
    begin = case.until(scenario.horizon_years)
    row = next((i for i, b in enumerate(begin.base) if b.outcome == outcome), None)
    if row is None:
        return None
    response = respond(scenario, case.person, interventions, outcomes)
    (after,) = risks_under([begin], [response.events], draws, outcome)
    return float((after[row] - begin.before[row]).mean()) if row in after else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class _Case:
    """What all scenarios of one patient share."""

    twin: Twin
    person: Person
    base: list[Baseline]
    issues: tuple[Issue, ...]
    interventions: Interventions
    outcomes: Outcomes

    def until(self, years: float) -> Start:
        """Baselines within a scenario's horizon, and their risks."""
        return start([b.within(years) for b in self.base], self.person.draws)


@dataclass(frozen=True, slots=True, repr=False)
class _Draft:
    """A trajectory whose means and intervals are not settled yet: their places in the ledger by row or name."""

    case: _Case
    scenario: Scenario
    begin: Start
    told: Told
    response: Response
    differences: dict[int, Array]
    after: dict[int, int]
    changes: dict[int, int]
    biomarkers: dict[str, int]
    totals: dict[str, int]
    gain: int | float | None

    def trajectory(
        self, ledger: Ledger, course: tuple[Array, Array, Array], later: tuple[EventRisk, ...]
    ) -> Trajectory:
        """course: median, low, high; later: 30-year risks of "continue as now"."""
        case, scenario, begin = self.case, self.scenario, self.begin
        same = scenario.choices == CONTINUE.choices
        words = {c.intervention: case.interventions.get(c.intervention).route for c in scenario.choices}
        median, low, high = course
        return Trajectory(
            scenario=scenario,
            biomarkers=case.twin.biomarkers,
            times=edges(scenario.horizon_years),
            median=median,
            low=low,
            high=high,
            risks=event_risks(self.told, self.after, ledger) + (later if same else ()),
            changes=() if same else risk_changes(begin, self.changes, ledger),
            biomarker_changes=tuple((key, *ledger.numbers(at)) for key, at in self.biomarkers.items()),
            issues=(*case.issues, *_unusable(scenario, self.response)),
            relative=relative_effects(self.response.events, words, self.totals, ledger),
            qaly=ledger.numbers(self.gain) if isinstance(self.gain, int) else _nothing(self.gain),
            draws=() if same else self._draws(),
        )

    def _draws(self) -> tuple[tuple[str, float, Array], ...]:
        """(outcome, horizon, difference of risk (D,)) for comparing scenarios draw by draw."""
        zero = readonly(np.zeros(self.case.person.draws))
        rows = enumerate(self.begin.base)
        return tuple((b.outcome, b.horizon, self.differences.get(row, zero)) for row, b in rows)


def _nothing(gain: float | None) -> tuple[float, float, float] | None:
    return None if gain is None else (0.0, 0.0, 0.0)


def _draft(
    case: _Case,
    scenario: Scenario,
    begun: tuple[Start, Told],
    response: Response,
    after: dict[int, Array],
    ledger: Ledger,
) -> _Draft:
    begin, numbers = begun
    differences = {row: risk - begin.before[row] for row, risk in after.items()}
    for each in differences.values():
        each.setflags(write=False)
    gain: Array | float | None = None
    if scenario.choices != CONTINUE.choices:
        gain = qaly_gain(numbers.lost, differences)
    changes = biomarker_changes(response.biomarkers, case.person)
    totals = relative_totals(response.events)
    return _Draft(
        case,
        scenario,
        begin,
        numbers,
        response,
        differences,
        {row: ledger.add(risk) for row, risk in after.items()},
        {row: ledger.add(difference) for row, difference in differences.items()},
        {key: ledger.add(change) for key, change in changes.items()},
        {outcome: ledger.add(total) for outcome, total in totals.items()},
        ledger.add(gain) if isinstance(gain, np.ndarray) else gain,
    )


def _open(twin: Twin, interventions: Interventions, outcomes: Outcomes, draws: int) -> _Case:
    point = {key: twin.estimate(key).mean for key in twin.biomarkers}
    incident, said = diabetes_onset(twin, outcomes, draws)
    profile = counted_as(twin.profile, incident)
    person = Person(posterior(twin, draws), point, profile, _height(twin), draws, _learned(twin))
    base, issues = baselines(twin, person, outcomes)
    base += incident + death(twin.profile, outcomes, draws)
    issues += said
    return _Case(twin, person, base, tuple(issues), interventions, outcomes)


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


def _unusable(scenario: Scenario, response: Response) -> tuple[Issue, ...]:
    if "weight" in response.unusable:
        text = f"{scenario.key}: the weight change is not shown because the height is not known"
        return (Issue("information", "business-rule", text, stage="simulate"),)
    return ()

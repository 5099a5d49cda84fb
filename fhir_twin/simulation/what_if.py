"""What if: any combination, dose, delay, stop or switch, against "continue as now"; and what the answer hangs on.

`what_if` takes choices as they come (from a page, a file, another program), checks them, and simulates them.
`sensitivity` says which input the benefit of a scenario depends on, and which measurement would settle most.
No safety rule is asked here: the answer of a what-if is no advice, and the caller says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario, Sensitivity, Trajectory
from fhir_twin.model.twin import Profile, Twin, readonly
from fhir_twin.simulation.simulate import expected_change, simulate

KEYS = ("intervention", "dose", "delay_years", "adherence", "stop", "from_dose")
UNKNOWN_FACTS: tuple[tuple[str, tuple[Any, Any]], ...] = (("smoker", (False, True)),)
LIMIT = 6


def choice_of(table: Mapping[str, Any], interventions: Interventions) -> Choice:
    """A Choice from a plain table. Raises InvalidInput for an unknown key, intervention or dose, or a bad number."""
    if set(table) - set(KEYS) or "intervention" not in table:
        raise InvalidInput(f"a choice has the keys {', '.join(KEYS)}; intervention is required")
    try:
        item = interventions.get(str(table["intervention"]))
        dose = item.dose(str(table.get("dose", item.starter))).key
        before = str(table.get("from_dose", ""))
        if before:
            item.dose(before)
        delay, adherence = float(table.get("delay_years", 0.0)), table.get("adherence")
        share = None if adherence is None else float(adherence)
    except KeyError as error:
        raise InvalidInput("unknown intervention or dose in a choice") from error
    except (TypeError, ValueError) as error:
        raise InvalidInput("delay_years and adherence must be numbers") from error
    if not 0.0 <= delay <= 60.0 or (share is not None and not 0.0 <= share <= 1.0):
        raise InvalidInput("delay_years must be within 0 to 60, adherence within 0 to 1")
    return Choice(item.key, dose, delay, share, bool(table.get("stop", False)), before)


def scenario_of(
    choices: tuple[Choice, ...], interventions: Interventions, *, name: str = "", horizon_years: float = 10.0
) -> Scenario:
    """A scenario with a stable key. Raises InvalidInput when two choices start drugs of one family, one is named twice,
    there are too many, or the horizon is out of range."""
    keys = [c.intervention for c in choices]
    started = [interventions.get(c.intervention).family for c in choices if not c.stop]
    if len(set(keys)) != len(keys) or len(choices) > LIMIT:
        raise InvalidInput(f"each intervention at most once, at most {LIMIT} together")
    if any(family and started.count(family) > 1 for family in started):
        raise InvalidInput("two interventions of one family cannot be started together")
    if not 1.0 <= horizon_years <= 30.0:
        raise InvalidInput("horizon_years must be within 1 to 30")
    if not choices:
        return replace(CONTINUE, horizon_years=horizon_years)
    parts = [("stop-" if c.stop else "") + f"{c.intervention}-{c.dose}" for c in choices]
    titles = [("Stop: " if c.stop else "") + interventions.get(c.intervention).title for c in choices]
    return Scenario("what-if-" + "-".join(parts), name or "; ".join(titles), choices, horizon_years)


def what_if(
    twin: Twin,
    choices: tuple[Choice, ...],
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    horizon_years: float = 10.0,
) -> tuple[Trajectory, Trajectory]:
    """("continue as now", the what-if). Raises InvalidInput for choices that do not go together, or for a stop of
    something that is not taken; a refused twin raises InvalidInput, too."""
    if twin.refused or twin.profile.deceased:
        raise InvalidInput("no what-if for this patient: " + (twin.refused or "deceased"))
    for choice in choices:
        item = interventions.get(choice.intervention)
        if choice.stop and not twin.profile.classes & {*item.classes[:1], *item.ingredients}:
            raise InvalidInput(f"{item.key} is not taken, so it cannot be stopped")
    scenario = scenario_of(choices, interventions, horizon_years=horizon_years)
    now = replace(CONTINUE, horizon_years=horizon_years)
    first, second = simulate(twin, (now, scenario), biomarkers, interventions, outcomes)
    return first, second


def sensitivity(
    twin: Twin,
    scenario: Scenario,
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    outcome: str = "cvd",
) -> tuple[Sensitivity, ...]:
    """What the change of `outcome` under `scenario` hangs on: each biomarker is set to the ends of its 80 % interval,
    each unknown fact to both answers, all else kept; sorted by how much the change moves.

    Empty when no absolute risk can be given. `swing` is the span of the change; the input with the largest swing that
    can be measured is the measurement most worth taking."""
    del biomarkers  # as `what_if` takes them; the natural course has no part in a change of risk
    found = []
    for key in twin.biomarkers:
        estimate = twin.estimate(key)
        ends = [_fixed(twin, key, value) for value in (estimate.low, estimate.high)]
        values = [_change(t, scenario, interventions, outcomes, outcome) for t in ends]
        if values[0] is not None and values[1] is not None:
            found.append(Sensitivity(key, estimate.low, estimate.high, values[0], values[1]))
    for fact, answers in UNKNOWN_FACTS:
        if getattr(twin.profile, fact) is None:
            ends = [replace(twin, profile=_with(twin.profile, fact, answer)) for answer in answers]
            values = [_change(t, scenario, interventions, outcomes, outcome) for t in ends]
            if values[0] is not None and values[1] is not None:
                found.append(Sensitivity(fact, float(answers[0]), float(answers[1]), values[0], values[1]))
    return tuple(sorted(found, key=lambda s: (-s.swing, s.input)))


def _with(profile: Profile, fact: str, answer: Any) -> Profile:
    return replace(profile, **{fact: answer})


def _fixed(twin: Twin, key: str, value: float) -> Twin:
    """The twin had `key` just been measured without error: conditioned jointly, so correlated biomarkers follow."""
    i = twin.index(key)
    target = np.log(value) if twin.scales[i] == "log" else value
    column = twin.covariance[:, i]
    variance = float(column[i])
    if variance <= 0.0:
        return twin
    mean = twin.mean + column * ((target - twin.mean[i]) / variance)
    covariance = twin.covariance - np.outer(column, column) / variance
    covariance[i] = covariance[:, i] = 0.0  # exactly known; rounding must leave no variance below zero
    covariance[np.diag_indices_from(covariance)] = np.maximum(np.diagonal(covariance), 0.0)
    return replace(twin, mean=readonly(mean), covariance=readonly((covariance + covariance.T) / 2.0))


def _change(
    twin: Twin,
    scenario: Scenario,
    interventions: Interventions,
    outcomes: Outcomes,
    outcome: str,
) -> float | None:
    return expected_change(twin, scenario, interventions, outcomes, outcome, draws=200)

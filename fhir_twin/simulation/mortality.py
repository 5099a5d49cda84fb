"""Death: the population's life table as a baseline, and quality-adjusted life years within the horizon.

A life table knows age and sex, nothing else: it is the population's risk and says so. It is not given in known
cardiovascular disease, active cancer, dialysis or after a transplantation, where it would be far too low.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fhir_twin.dynamics.effects import Z95
from fhir_twin.dynamics.hazards import time_weights
from fhir_twin.model.intervention import Outcomes
from fhir_twin.model.twin import Array, Profile
from fhir_twin.simulation.baseline import Baseline, other_course
from fhir_twin.simulation.draws import normal
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.load_outcomes import FIRST_AGE

TITLE = "US period life table 2017 (population, not personal)"
HORIZON = 10.0


def death(profile: Profile, outcomes: Outcomes, draws: int) -> list[Baseline]:
    """Ten-year death from any cause at population rates; empty when age or sex is unknown or off the table."""
    table = dict(outcomes.mortality).get(profile.sex or "")
    if table is None or profile.age is None or profile.cvd or other_course(profile):
        return []
    if profile.age < FIRST_AGE:
        return []
    ages = profile.age + np.arange(int(HORIZON) + 1)
    if ages[-1] > FIRST_AGE + len(table) - 1:
        return []
    known = FIRST_AGE + np.arange(len(table))
    force = np.interp(ages, known + 0.5, -np.log1p(-np.array(table)))
    yearly = (force[1:] + force[:-1]) / 2.0
    rate = float(np.log(force[-1] / force[0]) / HORIZON)
    basis = tuple(source for fact, source in profile.sources if fact in ("age", "sex"))
    return [Baseline("death", HORIZON, np.full(draws, yearly.sum()), rate, TITLE, basis)]


def losses(baselines: list[Baseline], outcomes: Outcomes, draws: int) -> tuple[tuple[int, Array], ...]:
    """(row of the baseline, QALYs (D,) lost by one event within its horizon), for outcomes that cost quality of life.

    An event costs its utility decrement for each year of the horizon after it: the mean time that is left when such
    events happen. Death costs the whole utility of those years. What comes after the horizon is not counted, so a gain
    worked out with these is a lower bound."""
    found = []
    places = {b.outcome: row for row, b in enumerate(baselines)}
    for outcome, decrement, se, _ in outcomes.utilities:
        if outcome not in places:
            continue
        item = baselines[places[outcome]]
        times = edges(item.horizon)
        left = float(np.sum(time_weights(times, item.growth) * (item.horizon - midpoints(times))))
        loss = np.maximum(decrement + se * np.clip(normal(f"utility:{outcome}", draws), -Z95, Z95), 0.0)
        found.append((places[outcome], loss * left))
    return tuple(found)


def qaly_gain(lost: tuple[tuple[int, Array], ...], changes: Mapping[int, Array]) -> Array | float | None:
    """QALYs (D,) gained by fewer events within each event's own horizon; None without any absolute risk that costs
    quality of life, 0 when none of those changes. lost: as `losses` gives it; changes: row of the baseline -> change
    of its risk (D,), where there is one."""
    if not lost:
        return None
    gains = [loss * -changes[row] for row, loss in lost if row in changes]
    return np.asarray(np.sum(gains, axis=0)) if gains else 0.0

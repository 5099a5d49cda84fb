"""What the next measurement would be worth: would it change the answer about an option, and by how much?

The draws of a simulation are possible truths: in draw d the biomarkers are theta_d and the benefit of the option is
B_d. A measurement y = theta + noise is drawn for each, and E[B | y] is the regression of B on y (a cubic). From it:

    explained  = Var E[B | y] / Var B
    changes    = share of the possible results after which the option would fall on the other side of the bar
    worth      = E max(E[B | y] - bar, 0) - max(E[B] - bar, 0)     (expected value of sample information)

Nobody is measured for this: it is a preposterior analysis of the twin as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.dynamics.prior import visit_variance
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import Scenario
from fhir_twin.model.twin import Array, Twin
from fhir_twin.simulation.draws import DRAWS, normal, posterior
from fhir_twin.simulation.simulate import simulate

DEGREE = 3
BAR = 0.001  # one event less in 1,000 people: what the plan asks of an option


@dataclass(frozen=True, slots=True, repr=False)
class MeasurementValue:
    """One more office or laboratory value of `input`. benefit: expected fall of the risk now, spread: its SD now, left:
    its expected SD afterwards; explained, changes, worth: see the module."""

    input: str
    benefit: float
    spread: float
    left: float
    explained: float
    changes: float
    worth: float


def measurement_value(
    twin: Twin,
    scenario: Scenario,
    biomarkers: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
    *,
    outcome: str = "cvd",
    bar: float = BAR,
    draws: int = DRAWS,
) -> tuple[MeasurementValue, ...]:
    """One row per biomarker of the twin, the one worth most first. Empty when no absolute risk can be given (an Issue
    of the simulation then names the input that is missing: that is the measurement to take)."""
    trajectories = simulate(twin, (scenario,), biomarkers, interventions, outcomes, draws=draws)
    found = [d for t in trajectories for name, _, d in t.draws if name == outcome]
    if not found:
        return ()
    benefit = -found[0]
    state = posterior(twin, draws)
    rows = []
    for i, key in enumerate(twin.biomarkers):
        model = biomarkers.model(key)
        noise = visit_variance(model, "office", 1, twin.profile.age)
        truth = np.log(state[key]) if twin.scales[i] == "log" else state[key]
        seen = truth + np.sqrt(noise) * normal(f"measure:{key}", draws)
        rows.append(_value(key, benefit, _expected(benefit, seen), bar))
    return tuple(sorted(rows, key=lambda r: (-r.worth, -r.explained, r.input)))


def _expected(benefit: Array, seen: Array) -> Array:
    """E[B | y] (D,) by least squares on powers of the standardised measurement."""
    spread = seen.std()
    if spread <= 0.0 or benefit.std() <= 0.0:
        return np.full_like(benefit, benefit.mean())
    design = np.vander((seen - seen.mean()) / spread, DEGREE + 1)
    weights, *_ = np.linalg.lstsq(design, benefit, rcond=None)
    return np.asarray(design @ weights)


def _value(key: str, benefit: Array, expected: Array, bar: float) -> MeasurementValue:
    mean, variance = float(benefit.mean()), float(benefit.var())
    explained = float(expected.var() / variance) if variance > 0 else 0.0
    # a regression on noise explains DEGREE/(D - 1) of the variance by chance alone
    chance = DEGREE / (len(benefit) - 1)
    explained = max(0.0, (explained - chance) / (1.0 - chance)) if variance > 0 else 0.0
    shrunk = mean + (expected - mean) * np.sqrt(
        explained * variance / expected.var() if expected.var() > 0 else 0.0
    )
    changes = float(((shrunk > bar) != (mean > bar)).mean())
    worth = max(0.0, float(np.maximum(shrunk - bar, 0.0).mean()) - max(mean - bar, 0.0))
    return MeasurementValue(
        key, mean, variance**0.5, (variance * (1.0 - explained)) ** 0.5, explained, changes, worth
    )

"""Simulation: 1,000 draws x 8 options x 10 years (monthly first year) for one patient. Bar: 0.02 s of CPU for the
slowest of the reference patients (the one with kidney disease, who has most outcomes).

Two peers in the same run: a plain microsimulation in Python (one draw at a time, yearly steps, as textbook
cost-effectiveness models are written; timed on a share of the draws and scaled), and numpy's own time for
drawing and exponentiating as many numbers as 1,000 x 8 x 21 steps x 3 event types need: a floor for this design.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import numpy as np

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.dynamics.equations.registry import EQUATIONS, calculate
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario
from fhir_twin.simulation import load_interventions, load_outcomes, simulate
from fhir_twin.simulation.reference import load_reference
from mappings import Source

OPTIONS = (
    "statin",
    "ace-inhibitor",
    "ccb-dhp",
    "thiazide",
    "dash-diet",
    "smoking-cessation",
    "glp1-ra",
    "weight-loss",
)
DRAWS, STEPS, PEER_DRAWS = 1000, 21, 20
BAR = 0.02


def best(function: Callable[[], object], repeats: int = 15) -> float:
    """Least CPU time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def plain_python(draws: int) -> float:
    """The textbook loop: draws x options x steps x three hazards, one number at a time."""
    generator = random.Random(1)
    total = 0.0
    for _ in range(draws):
        effects = [generator.gauss(-0.2, 0.05) for _ in range(len(OPTIONS) * 3)]
        for option in range(len(OPTIONS)):
            for event in range(3):
                hazard = 0.0
                for step in range(STEPS):
                    grown = 1.0 - math.exp(-step / 1.5)
                    hazard += 0.005 * math.exp(0.07 * step) * math.exp(grown * effects[3 * option + event])
                total += 1.0 - math.exp(-hazard)
    return total


def floor() -> np.ndarray:
    generator = np.random.default_rng(1)
    log_ratio = generator.standard_normal((len(OPTIONS) * 3, DRAWS))
    onset = np.linspace(0.0, 1.0, STEPS)
    return np.exp(log_ratio[:, :, None] * onset).sum(axis=-1)


def main() -> None:
    source = Source()
    known, interventions, outcomes = (
        load_biomarkers(source),
        load_interventions(source),
        load_outcomes(source),
    )
    twins = {p.key: p.twin for p in load_reference(source, known)}
    scenarios = (CONTINUE, *(Scenario(k, k, (Choice(k, interventions.get(k).starter),)) for k in OPTIONS))
    times = {}
    for key, twin in twins.items():
        simulate(twin, scenarios, known, interventions, outcomes)
        times[key] = best(lambda twin=twin: simulate(twin, scenarios, known, interventions, outcomes))
        print(f"{key:44s} {1e3 * times[key]:8.2f} ms")
    ours = max(times.values())
    peer = best(lambda: plain_python(PEER_DRAWS), repeats=3) * DRAWS / PEER_DRAWS
    least = best(floor)
    print(
        f"slowest, {DRAWS} draws x {len(OPTIONS)} options x 10 y    {1e3 * ours:8.2f} ms   bar {1e3 * BAR:.0f} ms"
    )
    print(f"plain Python loop, same size                 {1e3 * peer:8.2f} ms   {peer / ours:6.1f} x ours")
    print(
        f"numpy floor (draw and exponentiate only)     {1e3 * least:8.2f} ms   ours {ours / least:6.1f} x floor"
    )
    equation_speed()
    if ours > BAR:
        raise SystemExit(f"too slow: {1e3 * ours:.1f} ms, bar {1e3 * BAR:.0f} ms")


def equation_speed() -> None:
    """Batch of 100,000 people through one equation against one call each."""
    rng = np.random.default_rng(3)
    n = 100_000
    batch = {
        "age": rng.uniform(40, 79, n),
        "sex": np.where(rng.random(n) < 0.5, "female", "male"),
        "total_cholesterol": rng.uniform(150, 300, n),
        "hdl": rng.uniform(30, 80, n),
        "sbp": rng.uniform(100, 180, n),
        "bmi": rng.uniform(20, 38, n),
        "egfr": rng.uniform(20, 110, n),
        **{k: rng.random(n) < 0.3 for k in ("diabetes", "smoker", "bp_treated", "statin")},
    }
    equation = EQUATIONS["prevent_base_10y_cvd"]
    whole = best(lambda: equation(**batch), repeats=3)
    one = {key: values[0] for key, values in batch.items()}
    single = best(lambda: [calculate("prevent_base_10y_cvd", **one) for _ in range(100)], repeats=3) / 100
    print(f"PREVENT base: {n / whole:,.0f} people/s in a batch, {1 / single:,.0f}/s one by one")


if __name__ == "__main__":
    main()

"""Do our trial ratios give back trials that are not their source? Where not, say so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.intervention import TrialRatio
from fhir_twin.model.scenario import Choice, Scenario
from fhir_twin.model.twin import Point
from fhir_twin.simulation import simulate
from fhir_twin.simulation.reference import AS_OF, plain_profile, plain_twin
from fhir_twin.validation.checks import Check, Figure, Series
from mappings import Source

HEAD = ("trial", "achieved change or treatment", "published", "predicted", "inside", "source")
NEEDED = 0.75  # share of the trials
TEXT = (
    "The hazard ratio per unit of a biomarker comes from meta-analyses. Here it is applied to the difference that a "
    "single trial achieved, with the delay of its onset, and compared with what that trial found. Trials stopped early "
    "for benefit overstate effects, and are expected to lie outside. Drugs and programmes with a trial ratio of their "
    "own (EMPA-REG, LEADER, SELECT, DPP) go through the whole simulation for a person like those in the trial; where "
    "the trial is itself the source of the ratio the row says so. Absolute rates are not tested."
)
# Canonical units; a person such as these trials enrolled. The ratios do not depend on these values, BMI apart.
PERSON = {"sbp": 135.0, "ldl": 90.0, "hba1c": 6.0, "bmi": 34.0, "egfr": 75.0, "fasting-glucose": 106.0}


def check_trials(knowledge: Knowledge, source: Source | None = None) -> Check:
    """Predicted against published hazard ratios; a miss is shown, not hidden."""
    trials = [row for _, table in (source or Source()).toml("worked-cases") for row in table.get("trial", [])]
    ratios = {(r.biomarker, r.outcome): r for r in knowledge.outcomes.trial_ratios}
    rows: list[tuple[str, ...]] = [
        ("trial", "achieved change or treatment", "published", "predicted", "inside", "source")
    ]
    ours, inside = [], []
    for trial in trials:
        named = "intervention" in trial
        if named:
            predicted_ratio = _of_intervention(knowledge, trial)
        else:
            predicted_ratio = _predicted(ratios[trial["biomarker"], trial["outcome"]], trial)
        point, low, high = predicted_ratio
        ours.append(predicted_ratio)
        inside.append(trial["low"] <= point <= trial["high"])
        published = f"{trial['ratio']:.2f} ({trial['low']:.2f}-{trial['high']:.2f})"
        predicted = f"{point:.2f} ({low:.2f}-{high:.2f})"
        what = trial["intervention"] if named else f"{trial['biomarker']} {trial['change']:+g}"
        change = f"{what} over {trial['years']:g} y"
        rows.append(
            (trial["name"], change, published, predicted, "yes" if inside[-1] else "NO", trial["source"])
        )
    position = tuple(float(i) for i in range(len(trials)))
    published_series = Series(
        "published", position, tuple(t["ratio"] for t in trials), tuple(t["low"] for t in trials),
        tuple(t["high"] for t in trials),
    )  # fmt: skip
    shifted = tuple(p + 0.15 for p in position)
    points, low_ends, high_ends = (tuple(o[i] for o in ours) for i in range(3))
    our_series = Series("predicted", shifted, points, low_ends, high_ends)
    figure = Figure(
        "Hazard ratios of trials", "", "hazard ratio", (published_series, our_series),
        ticks=tuple(t["name"] for t in trials), level=1.0,
    )  # fmt: skip
    bar = f"inside the published interval for at least {NEEDED:.0%} of {len(trials)}; the others are named"
    good = sum(inside) >= NEEDED * len(trials)
    return Check("trials", "Published trials are met", TEXT, bar, good, tuple(rows), (figure,))


def _of_intervention(knowledge: Knowledge, trial: dict[str, Any]) -> tuple[float, float, float]:
    """Hazard ratio, as trials average it, from the simulation of a person of 64 with the trial's conditions; ends of
    its 80 % interval. Raises ValueError when the simulation has no such effect."""
    item = knowledge.interventions.get(trial["intervention"])
    profile = plain_profile({"age": 64.0, "sex": "male", "smoker": False, "groups": trial["groups"]})
    height = Point("height", "Observation/height", AS_OF, 172.0, "cm")
    twin = plain_twin(knowledge.biomarkers, PERSON, profile, extra=(height,))
    scenario = Scenario(item.key, item.title, (Choice(item.key, trial.get("dose", item.starter)),))
    (trajectory,) = simulate(
        twin, (scenario,), knowledge.biomarkers, knowledge.interventions, knowledge.outcomes
    )
    for effect in trajectory.relative:
        if effect.outcome == trial["outcome"]:
            return effect.ratio, effect.low, effect.high
    raise ValueError(f"worked-cases: {trial['name']}: the simulation knows no such effect")


def _predicted(ratio: TrialRatio, trial: dict[str, Any]) -> tuple[float, float, float]:
    """Mean ratio over the follow-up, effect setting in as 1 - exp(-t / onset); ends from the ratio's own interval."""
    t = np.linspace(0, trial["years"], 400)
    shape = 1 - np.exp(-t / ratio.onset_years) if ratio.onset_years > 0 else np.ones_like(t)
    units = trial["change"] / ratio.per
    values = [float(np.exp(math.log(r) * units * shape).mean()) for r in (ratio.ratio, ratio.low, ratio.high)]
    return values[0], min(values), max(values)

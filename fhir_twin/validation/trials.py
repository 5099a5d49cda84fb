"""Do our trial ratios give back trials that are not their source? Where not, say so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fhir_twin.knowledge import Knowledge
from fhir_twin.model.intervention import TrialRatio
from fhir_twin.validation.checks import Check, Figure, Series
from mappings import Source

NEEDED = 3


def check_trials(knowledge: Knowledge, source: Source | None = None) -> Check:
    """Predicted against published hazard ratios; a miss is shown, not hidden."""
    trials = [row for _, table in (source or Source()).toml("worked-cases") for row in table.get("trial", [])]
    ratios = {(r.biomarker, r.outcome): r for r in knowledge.outcomes.trial_ratios}
    rows: list[tuple[str, ...]] = [("trial", "achieved change", "published", "predicted", "inside", "source")]
    ours, inside = [], []
    for trial in trials:
        predicted_ratio = _predicted(ratios[trial["biomarker"], trial["outcome"]], trial)
        point, low, high = predicted_ratio
        ours.append(predicted_ratio)
        inside.append(trial["low"] <= point <= trial["high"])
        published = f"{trial['ratio']:.2f} ({trial['low']:.2f}-{trial['high']:.2f})"
        predicted = f"{point:.2f} ({low:.2f}-{high:.2f})"
        change = f"{trial['biomarker']} {trial['change']:+g} over {trial['years']:g} y"
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
    text = (
        "The hazard ratio per unit of a biomarker comes from meta-analyses. Here it is applied to the difference "
        "that a single trial achieved, with the delay of its onset, and compared with what that trial found. Trials "
        "stopped early for benefit overstate effects, and are expected to lie outside."
    )
    return Check("trials", "Published trials are met", text, f"inside the published interval for at least {NEEDED} of "
                 f"{len(trials)}; the others are named", sum(inside) >= NEEDED, tuple(rows), (figure,))  # fmt: skip


def _predicted(ratio: TrialRatio, trial: dict[str, Any]) -> tuple[float, float, float]:
    """Mean ratio over the follow-up, effect setting in as 1 - exp(-t / onset); ends from the ratio's own interval."""
    t = np.linspace(0, trial["years"], 400)
    shape = 1 - np.exp(-t / ratio.onset_years) if ratio.onset_years > 0 else np.ones_like(t)
    units = trial["change"] / ratio.per
    values = [float(np.exp(math.log(r) * units * shape).mean()) for r in (ratio.ratio, ratio.low, ratio.high)]
    return values[0], min(values), max(values)

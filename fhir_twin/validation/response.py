"""Is a person's own response to a drug recovered? Simulated pressures before and after a start, by an own simulator."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from fhir_twin.assimilation.assimilate import adapted_mean, advance, start_memory
from fhir_twin.assimilation.visits import Group
from fhir_twin.dynamics.forecast import subset
from fhir_twin.dynamics.prior import level_prior, visit_variance
from fhir_twin.model.biomarker import BiomarkerModel, BiomarkerSet, TreatmentEffect
from fhir_twin.model.twin import Array, TreatmentTerm
from fhir_twin.validation.checks import Check, Figure, Series
from fhir_twin.validation.people import plain_profile

DRUG, START, END, AGE, VISITS, SHOWN = "ace-inhibitor", 2.0, 5.0, 60.0, 12, 80
TEXT = (
    "{count} people of {age:.0f} years start an ACE inhibitor after two years of readings; each has a response of "
    "their own, drawn around the trial's mean for their pressure. The twin sees {visits} noisy readings. Learned "
    "responses lie nearer to the mean than the true ones, because a few readings cannot tell all (shrinkage). Real "
    "people also change for other reasons at the time when a drug starts; that is not in here."
)


def check_response(known: BiomarkerSet, count: int, seed: int) -> Check:
    """Coverage of the true response by its 95 % interval, and how it goes with the truth; bar 95 +- 2 %."""
    model = subset(known, ("sbp",))
    rng = np.random.default_rng(seed)
    found = np.array([_person(model, rng) for _ in range(count)])
    truth, mean, sd = found.T
    z = np.abs(truth - mean) / sd
    held = [float((z < norm.ppf(0.5 + level / 2)).mean()) for level in (0.5, 0.8, 0.95)]
    together = float(np.corrcoef(truth, mean)[0, 1])
    rows = (
        ("what", "found"),
        *(
            (f"{level:.0%} interval holds", f"{share:.1%}")
            for level, share in zip((0.5, 0.8, 0.95), held, strict=True)
        ),
        ("correlation of learned and true response", f"{together:.2f}"),
        ("spread of the true responses (SD)", f"{100 * truth.std():.1f} %"),
        ("what is left unknown (mean SD)", f"{100 * sd.mean():.1f} %"),
    )
    few = slice(0, SHOWN)
    half = norm.ppf(0.9) * sd[few]
    series = Series(
        "80 % intervals",
        tuple(100 * truth[few]),
        tuple(100 * mean[few]),
        tuple(100 * (mean[few] - half)),
        tuple(100 * (mean[few] + half)),
    )
    figure = Figure(
        "A person's own response to an ACE inhibitor",
        "true change of SBP (%)",
        "learned change (%)",
        (series,),
        diagonal=True,
    )
    text = TEXT.format(count=count, age=AGE, visits=VISITS)
    good = abs(held[-1] - 0.95) <= 0.02 and together > 0.3
    bar = "95 % intervals hold 93 to 97 %, and learned goes with true"
    return Check("response", "A person's own response is recovered", text, bar, good, rows, (figure,))


def _person(model: BiomarkerSet, rng: np.random.Generator) -> tuple[float, float, float]:
    """(true response, learned mean, learned SD), log units."""
    sbp = model.models[0]
    effect = next(t for t in sbp.treatments if t.drug_class == DRUG)
    times = np.sort(rng.uniform(0.0, END, VISITS))
    times[0] = 0.0
    values, truth = _readings(sbp, effect, times, rng)
    groups = [
        Group(0, int(t * 365.25), float(t), float(v), visit_variance(sbp, "office", 1, AGE + t), 0, ())
        for t, v in zip(times, values, strict=True)
    ]
    term = TreatmentTerm(
        "sbp", DRUG, START, np.inf, effect.onset, effect.mean, effect.spread, (), effect.mean
    )
    profile = plain_profile("male")
    memory = start_memory(model, profile, AGE, 0.0, (term,))
    result = advance(memory, groups, model, profile, END)
    column = result.layout.names.index(f"sbp:{DRUG}")
    return truth, float(result.state[column]), math.sqrt(result.state_covariance[column, column])


def _readings(
    sbp: BiomarkerModel, effect: TreatmentEffect, times: Array, rng: np.random.Generator
) -> tuple[Array, float]:
    """Log readings (V,) and the true response."""
    mean, sd = level_prior(sbp, plain_profile("male"), AGE)
    usual, s, last = rng.normal(mean, sd), rng.normal(0, sbp.fluctuation_sd), 0.0
    found, response = [], None
    for when in times:
        keep = math.exp(-(when - last) / sbp.fluctuation_tau)
        s, last = s * keep + rng.normal(0, sbp.fluctuation_sd * math.sqrt(1 - keep**2)), when
        now = usual + s + sbp.ageing.get("male", 0.0) * when
        if when > START:
            if response is None:
                response = rng.normal(adapted_mean(effect, math.exp(now)), effect.spread)
            now += response * (1 - math.exp(-(when - START) / effect.onset))
        found.append(now + rng.normal(0, math.sqrt(visit_variance(sbp, "office", 1, AGE + when))))
    if response is None:  # no visit after the start: nothing was seen of it
        response = rng.normal(effect.mean, effect.spread)
    return np.array(found), float(response)

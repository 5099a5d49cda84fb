"""Onset of diabetes in people with prediabetes: the rate of the DPP placebo arm, for people like those it enrolled.

It is the average of a trial arm, not a personal score, and holds for the trial's three years: afterwards the
rate halved. Those people had impaired glucose tolerance (2-hour glucose), which records hardly ever hold, so the
title and an Issue say of whom the number speaks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fhir_twin.dynamics.effects import Z95
from fhir_twin.errors import Issue
from fhir_twin.model.intervention import DiabetesRate, Outcomes
from fhir_twin.model.twin import Profile, Twin
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.draws import normal

TITLE = "DPP placebo arm 3 y (average of overweight adults with impaired glucose)"
CAVEAT = (
    "The risk of diabetes is the average of the DPP placebo arm: overweight adults with impaired fasting and 2-hour "
    "glucose, three years; it is too high for a person whose 2-hour glucose is normal"
)
HBA1C = (5.7, 6.5)  # prediabetes from, diabetes from (ADA), per cent
FASTING = (100.0, 126.0)  # the same, mg/dL
DIABETES = frozenset({"diabetes", "diabetes-type-1", "diabetes-type-2"})


def diabetes_onset(twin: Twin, outcomes: Outcomes, draws: int) -> tuple[list[Baseline], list[Issue]]:
    """The baseline with its Issue, or one Issue that names what stands against it. Silent where the question does
    not arise: known diabetes (now or ever), no sign of prediabetes, or no rate in the knowledge."""
    rate, profile = outcomes.diabetes, twin.profile
    if rate is None or profile.diabetes or DIABETES & profile.ever:
        return [], []
    hba1c, fasting = _measured(twin, "hba1c"), _measured(twin, "fasting-glucose")
    if _reaches(hba1c, HBA1C[1]) or _reaches(fasting, FASTING[1]):
        return [], [
            _issue("The DPP rate refuses: values in the range of diabetes, which must be ruled out first")
        ]
    if not ("prediabetes" in profile.groups or _reaches(hba1c, HBA1C[0]) or _reaches(fasting, FASTING[0])):
        return [], []
    reason = _refusal(twin, rate, fasting)
    if reason:
        return [], [_issue(f"The DPP rate refuses: {reason}")]
    spread = np.log(rate.high / rate.low) / (2.0 * Z95)
    hazard = rate.rate * rate.horizon_years * np.exp(spread * normal("baseline:diabetes", draws))
    found = Baseline("diabetes", rate.horizon_years, hazard, 0.0, TITLE, _basis(twin))
    return [found], [_issue(CAVEAT)]


def counted_as(profile: Profile, onset: list[Baseline]) -> Profile:
    """The profile that effects see: prediabetes found in the values counts as much as the written diagnosis."""
    return replace(profile, groups=profile.groups | {"prediabetes"}) if onset else profile


def _refusal(twin: Twin, rate: DiabetesRate, fasting: float | None) -> str:
    """Why this person is not like those of the trial, "" when nothing says so."""
    profile, bmi = twin.profile, _measured(twin, "bmi")
    if profile.age is None or profile.age < rate.least_age:
        return f"age is not known or below {rate.least_age:g}"
    if bmi is None:
        return "bmi is not known"
    if bmi < rate.least_bmi:
        return f"bmi is below {rate.least_bmi:g}"
    if fasting is not None and fasting < rate.least_fasting_glucose:
        return f"fasting_glucose is below {rate.least_fasting_glucose:g}"
    if "glucose-lowering" in profile.classes or "metformin" in profile.classes:
        return "not for people who take a drug that lowers glucose"
    return ""


def _measured(twin: Twin, key: str) -> float | None:
    """The estimate, None when it is only the population's; without the rounding of exp(log(95))."""
    known = key in twin.biomarkers and twin.used(key)
    return round(twin.estimate(key).mean, 9) if known else None


def _reaches(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit


def _basis(twin: Twin) -> tuple[str, ...]:
    values = [p.source for key in ("hba1c", "fasting-glucose", "bmi") for p in twin.used(key)[-3:]]
    facts = [source for fact, source in twin.profile.sources if fact in ("age", "prediabetes")]
    return tuple(dict.fromkeys((*values, *facts)))


def _issue(text: str) -> Issue:
    return Issue("information", "business-rule", text, stage="simulate")

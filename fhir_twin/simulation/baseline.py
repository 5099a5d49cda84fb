"""Absolute risk under "continue as now": which equation applies, its inputs, and why others are refused.

PREVENT for cardiovascular events in people without known disease; the richest of its models whose extra inputs
are measured. KFRE for kidney failure when eGFR is below 60 and UACR is measured. An equation is used
only when every input is known *of this patient* (a population average is no input) and inside its range; draws
of the posterior that fall outside are moved to the end of the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhir_twin.dynamics.equations import kfre, prevent
from fhir_twin.dynamics.equations.equation import Equation, Input, Inputs
from fhir_twin.dynamics.hazards import cumulative_hazard, growth, recalibrate, time_weights
from fhir_twin.errors import Issue
from fhir_twin.model.intervention import Outcomes
from fhir_twin.model.scenario import EventRisk
from fhir_twin.model.twin import Array, Profile, Twin
from fhir_twin.simulation.responses import Person

OUTCOME_OF = {
    "cvd": "cvd",
    "ascvd": "ascvd",
    "heart-failure": "heart-failure",
    "chd": "mi",
    "stroke": "stroke",
}
BIOMARKER_OF = {"total_cholesterol": "total-cholesterol"}
KIDNEY_SCOPE = ("dialysis", "kidney-transplant")
# People whom neither the cohorts of the risk equations nor the population's life table stand for.
OTHER_COURSE = {
    "active-cancer": "active cancer",
    "dialysis": "dialysis",
    "solid-organ-transplant": "a transplanted organ",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """hazard (D,): cumulative over `horizon`; growth per year of the hazard; title and sources for the report."""

    outcome: str
    horizon: float
    hazard: Array
    growth: float
    title: str
    basis: tuple[str, ...]

    def within(self, years: float) -> Baseline:
        """The part of it that falls into the first `years` (itself when its horizon is not longer)."""
        if years >= self.horizon:
            return self
        share = float(time_weights(np.array([0.0, years, self.horizon]), self.growth)[0])
        return replace(
            self, horizon=years, hazard=self.hazard * share, title=f"{self.title}, first {years:g} y"
        )


def baselines(twin: Twin, person: Person, outcomes: Outcomes) -> tuple[list[Baseline], list[Issue]]:
    """All absolute risks that can be given, and one Issue per equation that refuses, naming the input."""
    found, issues = _cardiovascular(twin, person, outcomes)
    kidney, refused = _kidney(twin, person, outcomes)
    return found + kidney, issues + refused


def _cardiovascular(twin: Twin, person: Person, outcomes: Outcomes) -> tuple[list[Baseline], list[Issue]]:
    profile = twin.profile
    if profile.cvd:
        text = "PREVENT is for people without known cardiovascular disease; only relative effects are given"
        return [], [_issue(text)]
    reason = other_course(profile)
    if reason:
        return [], [
            _issue(f"PREVENT refuses: not made for people with {reason}; only relative effects are given")
        ]
    model = _prevent_model(twin)
    first = prevent.equation(model, 10, "cvd")
    given, missing = _given(first.inputs, twin)
    reasons = tuple(f"{name} is not known" for name in missing) or first.reasons(**given)
    if reasons:
        return [], [_issue(f"PREVENT refuses: {r}") for r in reasons]
    basis = _basis(first.inputs, twin)
    found = []
    risks = _prevent_risks(first, model, 10, given, person)
    later = _prevent_risks(first, model, 10, {**given, "age": _shifted(given["age"])}, None)
    here = _prevent_risks(first, model, 10, given, None)
    for i, outcome in enumerate(prevent.OUTCOMES):
        calibrated = _calibrated(risks[:, i], f"prevent_{model}_10y_{outcome.replace('-', '_')}", outcomes)
        rate = float(growth(here[0, i], later[0, i], _shifted(given["age"]) - given["age"]))
        title = f"PREVENT {model} 10 y"
        found.append(Baseline(OUTCOME_OF[outcome], 10.0, cumulative_hazard(calibrated), rate, title, basis))
    return found, []


def other_course(profile: Profile) -> str:
    """The condition that decides this person's course instead, in words; "" for most people."""
    return " and ".join(words for group, words in OTHER_COURSE.items() if group in profile.groups)


def long_term(twin: Twin, person: Person, outcomes: Outcomes) -> tuple[EventRisk, ...]:
    """30-year risks (ages 30-59), for information: no option is simulated that far. Silent where they do not apply
    (the 10-year equation has said why)."""
    model = _prevent_model(twin)
    equation = prevent.equation(model, 30, "cvd")
    given, missing = _given(equation.inputs, twin)
    if twin.profile.cvd or other_course(twin.profile) or missing or equation.reasons(**given):
        return ()
    risks = _prevent_risks(equation, model, 30, given, person)
    found: list[EventRisk] = []
    for i, outcome in enumerate(("cvd", "ascvd", "heart-failure")):
        name = f"prevent_{model}_30y_{outcome.replace('-', '_')}"
        draws = _calibrated(risks[:, prevent.OUTCOMES.index(outcome)], name, outcomes)
        low, high = np.quantile(draws, [0.1, 0.9])
        basis = _basis(equation.inputs, twin) if i == 0 else found[0].basis
        title = f"PREVENT {model} 30 y"
        found.append(EventRisk(outcome, 30.0, float(draws.mean()), float(low), float(high), title, basis))
    return tuple(found)


def _prevent_model(twin: Twin) -> str:
    """UACR and HbA1c when measured; both make the full model (whose deprivation index then counts as missing)."""
    measured = {k for k in ("uacr", "hba1c") if _personal(twin, k)}
    return {frozenset(): "base", frozenset({"uacr"}): "uacr", frozenset({"hba1c"}): "hba1c"}.get(
        frozenset(measured), "full"
    )


def _shifted(age: float) -> float:
    """One year on, or one year back at the upper end of the range."""
    return age + 1.0 if age + 1.0 <= 79.0 else age - 1.0


def _prevent_risks(
    equation: Equation, model: str, years: int, given: dict[str, Any], person: Person | None
) -> Array:
    """Risks (D, outcomes); person None: at the central values, D = 1."""
    count = 1 if person is None else person.draws
    values: Inputs = {}
    for item in equation.inputs:
        value = given.get(item.name)
        draws = None if person is None else person.values.get(_biomarker(item.name))
        if draws is not None and value is not None:
            high = np.nextafter(item.high, -np.inf) if item.open_high else item.high
            values[item.name] = np.clip(draws, item.low, high)
        elif item.kind == "sex":
            values[item.name] = np.full(count, 1.0 if value == "female" else 0.0)
        else:
            values[item.name] = np.full(count, np.nan if value is None else float(value))
    return prevent.logistic(prevent.linear_predictor(values, model, years))


def _kidney(twin: Twin, person: Person, outcomes: Outcomes) -> tuple[list[Baseline], list[Issue]]:
    """5-year kidney failure. Silent (no Issue) when kidney function is normal or unmeasured: nothing was to be told."""
    filtration = _measured(twin, "egfr")
    if filtration is None or filtration >= 60.0:
        return [], []
    scope = sorted(set(KIDNEY_SCOPE) & twin.profile.groups)
    if scope:
        return [], [_issue(f"KFRE refuses: not for people with {' or '.join(scope)}")]
    equation = kfre.equation(4, 5)
    given, missing = _given(equation.inputs, twin)
    given["region"] = outcomes.region
    reasons = tuple(f"{m} is not known" for m in missing) or equation.reasons(**given)
    if reasons:
        return [], [_issue(f"KFRE refuses: {r}") for r in reasons]
    draws = {
        k: np.clip(person.values[k], 1.0, 59.999) if k == "egfr" else person.values[k]
        for k in ("egfr", "uacr")
    }
    risk = _calibrated(np.asarray(equation(**{**given, **draws}).value), equation.name, outcomes)
    title = f"KFRE 4 variables 5 y ({outcomes.region})"
    return [
        Baseline("kidney-failure", 5.0, cumulative_hazard(risk), 0.0, title, _basis(equation.inputs, twin))
    ], []


def _given(inputs: tuple[Input, ...], twin: Twin) -> tuple[dict[str, Any], list[str]]:
    """Central values of an equation's inputs, and the names of those this patient's record does not give."""
    profile, given, missing = twin.profile, {}, []
    for item in inputs:
        if item.kind == "choice":
            continue
        value = FACTS[item.name](profile) if item.name in FACTS else _measured(twin, _biomarker(item.name))
        if item.name == "age" and value is not None and item.high < value < item.high + 1.0:
            value = item.high  # "30 to 79" counts completed years: 79 and a half is 79
        given[item.name] = value
        if value is None and not item.optional:
            missing.append(item.name)
    return given, missing


FACTS: dict[str, Callable[[Profile], Any]] = {
    "age": lambda p: p.age,
    "sex": lambda p: p.sex,
    "diabetes": lambda p: p.diabetes,
    "smoker": lambda p: p.smoker,
    "bp_treated": lambda p: p.treated_bp,
    "statin": lambda p: p.statin,
    "sdi": lambda _: None,
}


def _biomarker(name: str) -> str:
    return BIOMARKER_OF.get(name, name)


def _personal(twin: Twin, key: str) -> bool:
    return key in twin.biomarkers and bool(twin.used(key))


def _measured(twin: Twin, key: str) -> float | None:
    """The estimate, None when it is only the population's; without the rounding of exp(log(20)), which would be outside
    a range that begins at 20."""
    return round(twin.estimate(key).mean, 9) if _personal(twin, key) else None


def _basis(inputs: tuple[Input, ...], twin: Twin) -> tuple[str, ...]:
    """The resources behind the inputs: the newest three of each biomarker, and those of the facts."""
    found = [p.source for item in inputs for p in twin.used(_biomarker(item.name))[-3:]]
    names = {"bp_treated": "treated_bp"}
    facts = {names.get(item.name, item.name) for item in inputs}
    found += [source for fact, source in twin.profile.sources if fact in facts]
    return tuple(dict.fromkeys(found))


def _calibrated(risk: Array, equation: str, outcomes: Outcomes) -> Array:
    site = next((c for c in outcomes.calibrations if c.equation == equation), None)
    return risk if site is None else recalibrate(risk, site.intercept, site.slope)


def _issue(text: str) -> Issue:
    return Issue("information", "business-rule", text, stage="simulate")

"""The twin's science as plain functions on plain arrays, batch first, with the knowledge that ships with the package.

    from fhir_twin import science

    science.calculate("prevent_base_10y_cvd", age=50, sex="female", ...)          every published equation
    science.forecast(times, values, {"age": age, "sex": sex}, at, biomarkers=("sbp",))     mean, quantiles
    science.learn_intervals(times, values, covariates, biomarkers=("sbp",))       conformal tables of your people
    science.risks(people, options=("statin", "ace-inhibitor"))                    absolute risks, with and without
    science.hazard_ratio(people, science.lowering("ldl", 38.67), "ascvd", years=4.8)       a trial, replayed

No chart, server or settings. What each does is in docs/python.md; `knowledge()` is what they use unless given another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from numpy.typing import ArrayLike

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.dynamics import forecast as _forecast
from fhir_twin.dynamics import learn as _learn
from fhir_twin.dynamics.beliefs import Belief, Filtered, Loading, Robust, Visits
from fhir_twin.dynamics.equations.equation import Equation, Result
from fhir_twin.dynamics.equations.registry import EQUATIONS, calculate
from fhir_twin.dynamics.forecast import LEVELS, Forecast
from fhir_twin.dynamics.kalman import kalman_filter
from fhir_twin.dynamics.recalibration import Recalibration, fit_recalibration
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import Sensitivity
from fhir_twin.simulation import MeasurementValue, load_interventions, load_outcomes
from fhir_twin.simulation import cohort as _cohort
from fhir_twin.simulation.cohort import Option, Risks, lowering
from mappings import Source

__all__ = [
    "EQUATIONS",
    "Belief",
    "Dynamics",
    "Equation",
    "Filtered",
    "Forecast",
    "Knowledge",
    "Loading",
    "MeasurementValue",
    "Option",
    "Recalibration",
    "Result",
    "Risks",
    "Robust",
    "Sensitivity",
    "Visits",
    "calculate",
    "fit_recalibration",
    "forecast",
    "hangs_on",
    "hazard_ratio",
    "kalman_filter",
    "knowledge",
    "learn_intervals",
    "lowering",
    "risks",
]


class Knowledge(NamedTuple):
    biomarkers: BiomarkerSet
    interventions: Interventions
    outcomes: Outcomes


@cache
def knowledge(overlay: str | None = None) -> Knowledge:
    """The knowledge that ships with the package; overlay: a site's knowledge folder on top. Read once.
    Raises InvalidInput when there is none."""
    from pathlib import Path

    if overlay is not None and not Path(overlay).is_dir():
        raise InvalidInput("overlay: there is no such folder")
    source = Source(overlay=None if overlay is None else Path(overlay))
    return Knowledge(load_biomarkers(source), load_interventions(source), load_outcomes(source))


def biomarkers() -> tuple[str, ...]:
    """Keys that can be forecast: the twin's state, then those with a model of their own."""
    known = knowledge().biomarkers
    return (*known.keys, *(m.key for m in known.others))


def forecast(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    at: ArrayLike,
    *,
    biomarkers: str | Sequence[str] | None = None,
    known: BiomarkerSet | None = None,
    levels: Sequence[float] = LEVELS,
    of: Literal["measurement", "usual"] = "measurement",
    prior: Literal["population", "flat"] = "population",
    calibrated: bool = True,
) -> Forecast:
    """Mean (median) and quantiles of `biomarkers` at times `at`, from irregular, partly missing histories.

    times (P, V) years, NaN pads; values (P, V) of one biomarker or (P, V, k); at (P, A) or (A,). biomarkers: one key
    or k keys (or covariates["biomarkers"]). covariates, each optional: "age" (at time 0), "sex", "groups", "setting",
    "readings", "drugs". -> Forecast: mean (P, A, k), quantiles (P, A, k, q) at `levels`. More in
    `fhir_twin.dynamics.forecast.forecast`. Raises InvalidInput."""
    plain = _plain(covariates)
    keys = _keys(biomarkers, plain.pop("biomarkers", None))
    model = knowledge().biomarkers if known is None else known
    return _forecast.forecast(
        times, values, plain, at, biomarkers=keys, known=model, levels=levels, of=of, prior=prior,
        calibrated=calibrated,
    )  # fmt: skip


def learn_intervals(
    times: ArrayLike,
    values: ArrayLike,
    covariates: Mapping[str, Any],
    *,
    biomarkers: str | Sequence[str] | None = None,
    known: BiomarkerSet | None = None,
    prior: Literal["population", "flat"] = "population",
) -> BiomarkerSet:
    """Knowledge with conformal tables of these people: pass it to `forecast` as `known`, for other people."""
    plain = _plain(covariates)
    keys = _keys(biomarkers, plain.pop("biomarkers", None))
    model = knowledge().biomarkers if known is None else known
    return _learn.learn_intervals(times, values, plain, biomarkers=keys, known=model, prior=prior)


def risks(
    people: Mapping[str, Any],
    options: Sequence[Option] = (),
    *,
    horizon_years: float = 10.0,
    draws: int = 1000,
    overlay: str | None = None,
) -> Risks:
    """Absolute risks of P people under "continue as now" and each option.

    people: name -> scalar or (P,) of "age", "sex", "smoker", biomarkers in canonical units ("sbp", "ldl", ...),
    "height" in cm, "groups" and "classes" (a list of sets, or one set for all). option: an intervention's key
    ("statin", "statin:high"), choices that go together (tables: intervention, dose, delay_years, adherence, stop,
    from_dose), or `lowering(...)`. Raises InvalidInput naming what does not fit."""
    known = knowledge(overlay)
    return _cohort.cohort_risks(people, options, *known, horizon_years=horizon_years, draws=draws)


def hazard_ratio(
    people: Mapping[str, Any],
    option: Option,
    outcome: str,
    *,
    years: float,
    draws: int = 200,
    overlay: str | None = None,
) -> tuple[float, float, float]:
    """What a trial of `option` in these people would find: ratio of mean cumulative hazards over its follow-up, with
    the ends of the 95 % interval from the ratios' own uncertainty. Known disease: the ratio that trials give, without
    absolute risks. Raises InvalidInput when nothing is known of `outcome`."""
    return _cohort.hazard_ratio(people, option, outcome, *knowledge(overlay), years=years, draws=draws)


def hangs_on(
    people: Mapping[str, Any],
    option: Option,
    *,
    outcome: str = "cvd",
    spread: float = 0.05,
    overlay: str | None = None,
) -> tuple[tuple[tuple[Sensitivity, ...], tuple[MeasurementValue, ...]], ...]:
    """What the change of `outcome` by `option` hangs on, per person: (sensitivity: the change with each input at the
    ends of its 80 % interval; value of one more measurement of each). spread: relative standard error with which each
    given value is known (one blood pressure about 0.07, the mean of many 0.02)."""
    return _cohort.hangs_on(people, option, *knowledge(overlay), outcome=outcome, spread=spread)


def _plain(covariates: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(covariates, Mapping | None):
        raise InvalidInput("covariates: must be {name: value}")
    return dict(covariates or {})


def _keys(given: str | Sequence[str] | None, among: str | Sequence[str] | None) -> tuple[str, ...]:
    found = among if given is None else given
    if found is None:
        raise InvalidInput(f"biomarkers: say which, of {', '.join(biomarkers())}")
    return (found,) if isinstance(found, str) else tuple(found)

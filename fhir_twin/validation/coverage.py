"""Are the intervals honest? Simulate people, hide the truth, recover it; and forecast a visit against simple rules."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from fhir_twin.dynamics.forecast import Forecast, forecast, subset
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array
from fhir_twin.validation.checks import Check, Figure, Series
from fhir_twin.validation.people import KEYS, People, draw_people

NOMINAL = (0.5, 0.8, 0.9, 0.95)
VISITS = 8


def check_coverage(known: BiomarkerSet, count: int, seed: int) -> Check:
    """Share of true usual values inside the twin's intervals, by biomarker and nominal level; bar 95 +- 2 %."""
    model = subset(known, KEYS)
    people = draw_people(model, count, VISITS, seed)
    answer = _forecast(model, people, "usual")
    z = (np.log(people.usual) - answer.log_mean[:, 0]) / answer.log_sd[:, 0]
    held = np.array([(np.abs(z) < norm.ppf(0.5 + level / 2)).mean(axis=0) for level in NOMINAL])
    rows = [("biomarker", *(f"{level:.0%} interval holds" for level in NOMINAL))]
    rows += [(key, *(f"{share:.1%}" for share in held[:, i])) for i, key in enumerate(KEYS)]
    series = [Series(key, NOMINAL, tuple(held[:, i])) for i, key in enumerate(KEYS)]
    figure = Figure("Coverage of the true usual value", "nominal", "held", tuple(series), diagonal=True)
    good = bool((np.abs(held[-1] - 0.95) <= 0.02).all())
    text = (
        f"{count} people are drawn from the published constants by a simulator of its own ({VISITS} visits at random "
        "times, a quarter of values missing). The twin sees the noisy values only. This proves that the twin says "
        "how sure it is if people behave as the constants say; real data decide whether they do (fhir-twin calibrate)."
    )
    return Check("coverage", "Intervals hold the truth as often as they say", text,
                 "95 % intervals hold 93 to 97 % for every biomarker", good, tuple(rows), (figure,))  # fmt: skip


def check_forecasts(known: BiomarkerSet, count: int, seed: int) -> Check:
    """Error of the next visit's forecast against "last value carried forward" and the person's own mean."""
    model = subset(known, KEYS)
    people = draw_people(model, count, VISITS, seed)
    answer = _forecast(model, people, "measurement")
    truth = np.log(people.future)
    rules = {
        "twin": answer.log_mean[:, 0],
        "last value": _last(people.values),
        "own mean": _mean(people.values),
    }
    usable = ~np.isnan(rules["last value"])
    errors = {
        name: np.array([np.abs(guess - truth)[usable[:, i], i].mean() for i in range(len(KEYS))])
        for name, guess in rules.items()
    }
    rows = [("biomarker", *(f"{name}: mean error" for name in rules), "twin against last value")]
    for i, key in enumerate(KEYS):
        gain = 1 - errors["twin"][i] / errors["last value"][i]
        rows.append((key, *(f"{100 * errors[name][i]:.1f} %" for name in rules), f"{100 * gain:+.0f} %"))
    position = tuple(float(i) for i in range(len(KEYS)))
    series = [Series(name, position, tuple(100 * errors[name])) for name in rules]
    figure = Figure("Forecast of the next visit", "", "mean absolute error (%)", tuple(series), ticks=KEYS)
    good = bool((errors["twin"] < errors["last value"]).all() and (errors["twin"] < errors["own mean"]).all())
    text = (
        "The last visit of each simulated person is hidden and forecast. On simulated people the twin must win against "
        "simple rules, because it knows the constants; by how much on real records, only your own data can tell."
    )
    return Check("forecasts", "Forecasts beat simple rules", text, "smaller error than both rules for every biomarker",
                 good, tuple(rows), (figure,))  # fmt: skip


def _forecast(model: BiomarkerSet, people: People, of: str) -> Forecast:
    covariates = {"age": people.age, "sex": people.sex, "setting": "office"}
    return forecast(
        people.times, people.values, covariates, people.at[:, None], biomarkers=KEYS, known=model,
        of="usual" if of == "usual" else "measurement", calibrated=False,
    )  # fmt: skip


def _last(values: Array) -> Array:
    """log of the last value that is there, (P, k)."""
    found = np.full((len(values), values.shape[2]), np.nan)
    for v in range(values.shape[1]):
        found = np.where(np.isnan(values[:, v]), found, values[:, v])
    logs: Array = np.log(found)
    return logs


def _mean(values: Array) -> Array:
    logs = np.log(values)
    there = ~np.isnan(logs)
    mean: Array = np.full(logs[:, 0].shape, np.nan)
    np.divide(np.nansum(logs, axis=1), there.sum(axis=1), where=there.any(axis=1), out=mean)
    return mean

"""The aspirate classifier on Observations that carry its 30 features: assistance, never a diagnosis, and it says so.

Features are found by name (component.code.text or a coding's display: "mean radius"); they have no standard codes. A
feature that is missing, there with different values, no number, in a unit, or outside the training data stops the
answer, and the finding names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhir_twin.dynamics.tumour import contributions, malignancy
from fhir_twin.errors import InvalidInput
from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.plan import Citation, Finding
from fhir_twin.model.tumour import TumourModel

RECOGNISED_FROM = 3  # features by name that make a group of results an aspirate
SHOWN = 3
NO_UNIT = ("", "1")
LOOK_FROM = 0.1
ASSISTS = "Computer assistance only, not a diagnosis"
CHECK = (
    "Cytology, imaging and, where needed, histology decide. A low probability does not rule out cancer. "
    "Never change treatment on this number alone."
)


@dataclass(frozen=True, slots=True, repr=False)
class _Aspirate:
    """The results of one aspirate, by feature."""

    found: dict[str, list[Measurement]]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({m.source for group in self.found.values() for m in group}))

    @property
    def first(self) -> Measurement:
        return next(iter(self.found.values()))[0]


def aspirates(coded: CodedChart, model: TumourModel | None) -> tuple[Finding, ...]:
    """One finding per aspirate, probability or refusal; none when the record holds no aspirate or there is no model."""
    if model is None:
        return ()
    groups = (_Aspirate(found) for found in _grouped(coded, model).values() if len(found) >= RECOGNISED_FROM)
    return tuple(sorted((_finding(a, model) for a in groups), key=lambda f: f.sources))


def _grouped(coded: CodedChart, model: TumourModel) -> dict[str, dict[str, list[Measurement]]]:
    """Aspirate -> feature -> results. Components of one Observation belong together; else Observations of one time."""
    named = [(name, c.measurement) for c in coded.measurements if (name := _feature(c.measurement, model))]
    counts: dict[str, int] = {}
    for _, measurement in named:
        counts[measurement.source] = counts.get(measurement.source, 0) + 1
    groups: dict[str, dict[str, list[Measurement]]] = {}
    for name, measurement in named:
        alone = counts[measurement.source] == 1
        key = f"at {measurement.time}" if alone else measurement.source
        groups.setdefault(key, {}).setdefault(name, []).append(measurement)
    return groups


def _feature(measurement: Measurement, model: TumourModel) -> str:
    """The feature that the result names, "" for any other result."""
    concept = measurement.concept
    for text in (concept.text, *(c.display for c in concept.codings)):
        name = " ".join(text.lower().split())
        if name in model.features:
            return name
    return ""


def _finding(aspirate: _Aspirate, model: TumourModel) -> Finding:
    when = aspirate.first.time
    about = f"breast aspirate{f' of {when.date().isoformat()}' if when else ''}"
    if any("preliminary" in m.flags for group in aspirate.found.values() for m in group):
        about += " (preliminary result)"
    try:
        row = np.array([_value(name, aspirate.found.get(name, [])) for name in model.features])
        probability = float(malignancy(model, row))
    except InvalidInput as error:
        text = f"{ASSISTS}: no probability of malignancy for the {about}: {error}."
        return _as_finding("low", text, aspirate, model)
    text = (
        f"{ASSISTS}: probability of malignancy {_percent(probability)} for the {about}, by classifier {model.version}. "
        f"Counted most: {_reasons(model, row)}. {model.calibration}"
    )
    return _as_finding("moderate" if probability >= LOOK_FROM else "low", text, aspirate, model)


def _value(name: str, given: list[Measurement]) -> float:
    """Raises InvalidInput naming the feature."""
    if not given:
        raise InvalidInput(f"{name} is missing")
    if len({(m.value, m.comparator) for m in given}) > 1:
        raise InvalidInput(f"{name} is there with different values")
    one = given[0]
    if one.value is None or one.comparator is not None:
        raise InvalidInput(f"{name} is not a number")
    if (one.unit_code or one.unit).strip() not in NO_UNIT:
        raise InvalidInput(
            f"{name} has a unit; the classifier's features are in pixels of its own images, without one"
        )
    return float(one.value)


def _reasons(model: TumourModel, row: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """The features that moved the answer most, against the mean aspirate."""
    shares = contributions(model, row)
    order = np.argsort(-np.abs(shares), kind="stable")[:SHOWN]
    return ", ".join(
        f"{model.features[i]} ({'towards' if shares[i] > 0 else 'away from'} malignancy)" for i in order
    )


def _percent(probability: float) -> str:
    """No certainty is claimed at either end."""
    if probability < 0.01:
        return "below 1 %"
    return "above 99 %" if probability > 0.99 else f"{100.0 * probability:.0f} %"


def _as_finding(severity: str, text: str, aspirate: _Aspirate, model: TumourModel) -> Finding:
    return Finding(
        key="aspirate-classifier",
        code="",
        severity="moderate" if severity == "moderate" else "low",
        text=text,
        sources=aspirate.sources,
        check=CHECK,
        citation=Citation(f"model-card:{model.card}", model.source, url=model.url),
    )

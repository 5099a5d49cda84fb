"""The aspirate classifier as a finding: always called assistance, refusing by the name of the feature (issue 3.9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from plan_builders import chart
from sklearn.datasets import load_breast_cancer

from fhir_twin.dynamics.tumour import malignancy
from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedChart, CodedMeasurement
from fhir_twin.model.codes import Coding, Concept
from fhir_twin.model.tumour import TumourModel
from fhir_twin.recommendation.tumour import CHECK, aspirates
from fhir_twin.simulation import load_outcomes
from mappings import Source

DATA = load_breast_cancer()
NAMES = tuple(str(n) for n in DATA.feature_names)
WHEN = datetime(2026, 2, 3, tzinfo=UTC)
MALIGNANT, BENIGN = 0, 19


@pytest.fixture(scope="module")
def model() -> TumourModel:
    found = load_outcomes(Source()).tumour
    assert found is not None
    return found


def _results(row: int, source: str = "Observation/fna") -> dict[str, Measurement]:
    values = dict(zip(NAMES, (Decimal(str(v)) for v in DATA.data[row]), strict=True))
    return {n: Measurement(source, Concept(text=n), WHEN, value=v) for n, v in values.items()}


def _coded(*measurements: Measurement) -> CodedChart:
    return chart(measurements=tuple(CodedMeasurement(m, (), 0.0, True) for m in measurements))


def test_the_classifiers_own_probability_with_all_that_must_go_with_it(model: TumourModel) -> None:
    (found,) = aspirates(_coded(*_results(MALIGNANT).values()), model)
    assert malignancy(model, DATA.data[MALIGNANT]) > 0.99
    assert "probability of malignancy above 99 % for the breast aspirate of 2026-02-03" in found.text
    assert found.text.startswith("Computer assistance only, not a diagnosis")
    assert found.text.count("towards malignancy") + found.text.count("away from malignancy") == 3
    assert "AUROC 0.996" in found.text
    assert "Model card: tumour-fna" in found.text
    assert found.check == CHECK
    assert "does not rule out cancer" in CHECK
    assert found.severity == "moderate"
    assert found.citation is not None
    assert found.citation.key == "model-card:tumour-fna"
    assert found.sources == ("Observation/fna",)


def test_a_low_probability_is_assistance_too(model: TumourModel) -> None:
    (found,) = aspirates(_coded(*_results(BENIGN).values()), model)
    percent = 100.0 * float(malignancy(model, DATA.data[BENIGN]))
    assert percent < 10.0
    assert (f"{percent:.0f} %" if percent >= 1 else "below 1 %") in found.text
    assert found.text.startswith("Computer assistance only")
    assert found.severity == "low"
    assert found.check == CHECK


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"value": None}, "mean area is not a number"),
        ({"comparator": ">"}, "mean area is not a number"),
        ({"unit": "mm2"}, "mean area has a unit"),
        ({"value": Decimal("99999")}, "mean area is missing or outside the range"),
    ],
)
def test_refusals_name_the_feature(change: dict[str, object], word: str, model: TumourModel) -> None:
    results = _results(MALIGNANT)
    results["mean area"] = replace(results["mean area"], **change)
    (found,) = aspirates(_coded(*results.values()), model)
    assert word in found.text
    assert found.text.startswith("Computer assistance only, not a diagnosis: no probability of malignancy")
    assert "%" not in found.text
    assert "99999" not in found.text


def test_missing_and_contradicting_features_are_named(model: TumourModel) -> None:
    results = _results(MALIGNANT)
    del results["worst concavity"]
    (found,) = aspirates(_coded(*results.values()), model)
    assert "worst concavity is missing" in found.text
    twice = _results(MALIGNANT)
    other = replace(twice["mean radius"], value=Decimal("11.0"))
    (found,) = aspirates(_coded(*twice.values(), other), model)
    assert "mean radius is there with different values" in found.text


def test_displays_single_observations_and_several_aspirates(model: TumourModel) -> None:
    """Features as codings' displays, one Observation each; a second aspirate has its own finding."""
    alone = [
        replace(m, source=f"Observation/{i}", concept=Concept((Coding("urn:x", str(i), n.title()),)))
        for i, (n, m) in enumerate(_results(BENIGN).items())
    ]
    found = aspirates(_coded(*alone, *_results(MALIGNANT, "Observation/second").values()), model)
    assert len(found) == 2
    assert {len(f.sources) for f in found} == {1, 30}
    assert sum("above 99 %" in f.text for f in found) == 1


def test_other_results_and_no_model_say_nothing(model: TumourModel) -> None:
    other = Measurement("Observation/1", Concept(text="radius"), WHEN, value=Decimal(1))
    two = list(_results(BENIGN).values())[:2]
    assert aspirates(_coded(other, *two), model) == ()
    assert aspirates(_coded(*_results(BENIGN).values()), None) == ()

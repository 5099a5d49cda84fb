"""The tumour model: the shipped file is what training gives, and cross-validation meets the bar (issue 3.9)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from fhir_twin.dynamics.tumour import TumourModel, contributions, malignancy, train, train_on_wisconsin
from fhir_twin.errors import InvalidInput
from mappings import ROOT

FILE = ROOT / "outcomes" / "tumour-fna.json"
DATA = load_breast_cancer()
X, Y = DATA.data, 1 - DATA.target


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of the linear algebra that wait for each other make small fits slow on a busy machine."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def model() -> TumourModel:
    return TumourModel.from_json(json.loads(FILE.read_text("utf-8")))


def test_the_shipped_file_is_what_training_gives(model: TumourModel) -> None:
    fresh = train_on_wisconsin()
    assert fresh.features == model.features
    np.testing.assert_allclose(malignancy(fresh, X), malignancy(model, X), atol=1e-6)


def test_repeated_ten_fold_cross_validation_meets_the_bar(model: TumourModel) -> None:
    areas, briers, slopes = [], [], []
    for repeat in range(3):
        p = np.empty(len(Y))
        for fit, test in StratifiedKFold(10, shuffle=True, random_state=repeat).split(X, Y):
            m = train(X[fit], Y[fit], tuple(DATA.feature_names))
            wide = TumourModel(**{**m.to_json(), "lows": (-1.0,) * 30, "highs": (1e9,) * 30})
            p[test] = malignancy(wide, X[test])
        areas.append(roc_auc_score(Y, p))
        briers.append(brier_score_loss(Y, p))
        slopes.append(p.mean() / Y.mean())
    assert np.mean(areas) >= 0.994
    assert np.mean(briers) <= 0.020
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.02)
    said = f"AUROC {np.mean(areas):.3f}, Brier score {np.mean(briers):.3f}"
    assert f"{said}, mean predicted to observed {np.mean(slopes):.2f}" in model.calibration


def test_missing_and_outlying_features_are_refused_by_name(model: TumourModel) -> None:
    row = X[0].copy()
    row[3] = np.nan
    with pytest.raises(InvalidInput, match="mean area"):
        malignancy(model, row)
    row[3] = 1e6
    with pytest.raises(InvalidInput, match="mean area"):
        malignancy(model, row)
    with pytest.raises(InvalidInput, match="30 features"):
        malignancy(model, X[0, :12])


def test_contributions_add_up_to_the_logit(model: TumourModel) -> None:
    p = malignancy(model, X)
    inner = (p > 1e-6) & (p < 1 - 1e-6)  # further out 1 - p has no digits left
    logit = np.log(p / (1 - p))[inner]
    base = model.slope * model.intercept + model.shift
    np.testing.assert_allclose(contributions(model, X).sum(-1)[inner] + base, logit, atol=1e-6)


def test_a_file_with_anything_but_numbers_is_refused() -> None:
    value = json.loads(FILE.read_text("utf-8"))
    value["weights"][0] = "__import__('os')"
    with pytest.raises(ValueError, match="finite numbers"):
        TumourModel.from_json(value)

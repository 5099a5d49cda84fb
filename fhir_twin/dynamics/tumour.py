"""Benign or malignant, from the 30 nuclear features of a breast fine-needle aspirate. It assists; it decides nothing.

Model: L2-penalised logistic regression on standardised log features, followed by a logistic (Platt) recalibration
fitted on out-of-fold scores. Data: Breast Cancer Wisconsin (Diagnostic), 569 aspirates, University of Wisconsin,
1993 (Street, Wolberg, Mangasarian; CC BY 4.0), shipped with scikit-learn. Trained once by `train`, kept as JSON
(mappings/outcomes/tumour-fna.json): plain numbers, no pickle. scikit-learn is needed for training only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fhir_twin.errors import InvalidInput
from fhir_twin.model.tumour import TumourModel

__all__ = ["TumourModel", "contributions", "malignancy", "train", "train_on_wisconsin"]

Array = NDArray[np.float64]
PENALTY_C = 3.0
OFFSET = 1e-3  # concavity can be exactly 0


def malignancy(model: TumourModel, features: ArrayLike) -> Array:
    """Probability that the aspirate is malignant. features (..., 30) in the order of `model.features` and the
    data set's units. Raises InvalidInput naming the first feature that is missing or outside the training range."""
    x = np.asarray(features, dtype=np.float64)
    if x.shape[-1:] != (30,):
        raise InvalidInput("the classifier needs all 30 features of the aspirate")
    outside = ~((x >= np.array(model.lows)) & (x <= np.array(model.highs)))  # NaN counts as outside
    if outside.any():
        name = model.features[int(np.argwhere(outside)[0][-1])]
        raise InvalidInput(f"{name} is missing or outside the range the classifier was trained on")
    return _probability(model, x)


def contributions(model: TumourModel, features: ArrayLike) -> Array:
    """Share of each feature in the logit, against the mean aspirate; (..., 30)."""
    x = np.asarray(features, dtype=np.float64)
    shares: Array = model.slope * np.array(model.weights) * _standardised(model, x)
    return shares


def _standardised(model: TumourModel, x: Array) -> Array:
    z: Array = (np.log(x + OFFSET) - np.array(model.mean)) / np.array(model.scale)
    return z


def _probability(model: TumourModel, x: Array) -> Array:
    logit = model.slope * (_standardised(model, x) @ np.array(model.weights) + model.intercept) + model.shift
    probability: Array = 1.0 / (1.0 + np.exp(-logit))
    return probability


def train(x: ArrayLike, y: ArrayLike, names: tuple[str, ...]) -> TumourModel:
    """Fit on features x (B, 30) and labels y (B,), 1 = malignant. Deterministic."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    logs = np.log(x + OFFSET)
    mean, scale = logs.mean(0), logs.std(0)
    z = (logs - mean) / scale
    fit = LogisticRegression(C=PENALTY_C, max_iter=5000, tol=1e-8).fit(z, y)
    folds = StratifiedKFold(10, shuffle=True, random_state=7)
    held_out = cross_val_predict(fit, z, y, cv=folds, method="decision_function")
    again = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8).fit(held_out[:, None], y)
    return TumourModel(
        "fna-1", names, tuple(x.min(0).tolist()), tuple(x.max(0).tolist()), tuple(mean.tolist()),
        tuple(scale.tolist()), tuple(fit.coef_[0].tolist()), float(fit.intercept_[0]),
        float(again.coef_[0, 0]), float(again.intercept_[0]),
    )  # fmt: skip


def train_on_wisconsin() -> TumourModel:
    """The shipped model, from scikit-learn's copy of the data (labels turned: 1 = malignant)."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return train(data.data, 1 - data.target, tuple(str(n) for n in data.feature_names))

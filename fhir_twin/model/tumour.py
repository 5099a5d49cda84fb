"""The classifier of breast aspirates as plain numbers: what mappings/outcomes/tumour-fna.json holds. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True)
class TumourModel:
    """features: names in order (30). lows, highs: range of each in the training data; outside it is refused.
    mean, scale: of log(feature + OFFSET). slope, shift: recalibration of the logit. card: file in
    mappings/model-cards; calibration: in words, goes with every answer; source, url: of the data."""

    version: str
    features: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    slope: float
    shift: float
    card: str = ""
    calibration: str = ""
    source: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TumourModel:
        """Raises ValueError when the file is not this model: only numbers and names are accepted."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        model = cls(**known)
        numbers = (*model.lows, *model.highs, *model.mean, *model.scale, *model.weights)
        sizes = {
            len(x) for x in (model.features, model.lows, model.highs, model.mean, model.scale, model.weights)
        }
        scalars = (model.intercept, model.slope, model.shift)
        if sizes != {30} or not all(isinstance(x, int | float) and isfinite(x) for x in (*numbers, *scalars)):
            raise ValueError("tumour model: 30 finite numbers are needed in each row")
        return model

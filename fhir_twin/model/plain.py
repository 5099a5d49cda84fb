"""Any of our values as plain JSON: for `--json`, `--show` and the API."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Dataclasses to dicts (left out: empty fields and those marked plain=False), tuples and sets to lists
    (sets sorted), arrays to nested lists, times to ISO 8601, NaN and infinities to None. Decimals become int or
    float where that is exact, else text, so that no digit is invented."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        shown = (f for f in fields(value) if f.metadata.get("plain", True))
        pairs = ((f.name, to_plain(getattr(value, f.name))) for f in shown)
        return {name: plain for name, plain in pairs if plain not in (None, "", [], {})}
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(to_plain(v) for v in value)
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    raise TypeError(f"no plain form for {type(value).__name__}")


def _decimal(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return int(value) if abs(value) < 10**15 else str(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)

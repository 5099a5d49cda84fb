"""Published coefficients, read once from mappings/outcomes (package data).

A published coefficient is a constant of nature as far as we are concerned: a site's overlay cannot change it
(what a site may change is the recalibration on top, see recalibrate.py). So these tables are read from the
package itself, once per process, and are read-only.
"""

from __future__ import annotations

import csv
import tomllib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mappings import ROOT

FOLDER = ROOT / "outcomes"


@cache
def table(name: str) -> dict[str, Any]:
    """mappings/outcomes/<name>.toml as parsed."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """mappings/outcomes/<name>.csv, comment lines left out."""
    lines = (FOLDER / f"{name}.csv").read_text("utf-8").splitlines()
    return tuple(csv.DictReader(line for line in lines if line and not line.startswith("#")))


@cache
def prevent(model: str, years: int, outcomes: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """(terms, coefficients (terms, 2, outcomes)); axis 1: 0 = male, 1 = female."""
    chosen = [r for r in rows("prevent") if r["model"] == model and int(r["years"]) == years]
    if not chosen:
        raise ValueError(f"PREVENT has no model {model!r} for {years} years")
    numbers = [[[float(r[f"{sex}-{o}"]) for o in outcomes] for sex in ("male", "female")] for r in chosen]
    array = np.array(numbers)
    array.setflags(write=False)
    return tuple(r["term"] for r in chosen), array

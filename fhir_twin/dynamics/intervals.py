"""Calibrated intervals: the person's own spread, and standardised quantiles from a conformal table, on the Gaussian.

    quantile_p = mean + score_p x scale x SD        score_p = Student's quantile, or the table's (see calibrate)
    scale^2 = (nu + sum of z^2) / (nu + n)          over the person's n forecast errors so far, z^2 at most 9

People differ in how much they vary, and clinics in how carefully they measure; both show in the person's own errors.
The scale is the posterior mean of a variance with a scaled inverse chi-squared prior of nu degrees of freedom at one,
so the forecast is Student's with nu + n degrees of freedom (nu: mappings/biomarkers/intervals.toml).

The table holds, per biomarker x age third x setting, the scores at GRID, estimated on residuals that the filter had
not seen. Between grid points the score is interpolated against the normal quantile; beyond the grid the tail keeps
the last ratio. Cells with too few residuals fall back: setting -> "any", age third -> "any", then Student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from fhir_twin.dynamics.beliefs import CAP
from fhir_twin.model.twin import Array

GRID = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
THIRDS = ("young", "middle", "old")
EDGES = (50.0, 65.0)
ENOUGH = 100

Tables = Mapping[tuple[str, str, str], tuple[float, ...]]


def age_third(ages: Array) -> NDArray[np.int64]:
    """0, 1, 2 for under 50, 50-65, 65 and over (the noise's own age bands); -1 where age is unknown."""
    return np.where(np.isnan(ages), -1, np.searchsorted(EDGES, ages, side="right")).astype(np.int64)


def own_scale(squares: Array, tested: NDArray[np.int64], own_df: float) -> tuple[Array, Array]:
    """squares (P,): sum of the person's squared standardised forecast errors; tested (P,): how many -> scale (P,) of
    the spread, and degrees of freedom (P,). own_df = inf: nobody differs (scale 1, the normal)."""
    if np.isinf(own_df):
        return np.ones_like(squares), np.full_like(squares, np.inf)
    df = own_df + tested
    return np.asarray(np.sqrt((own_df + squares) / df)), np.asarray(df)


def scaled(errors: Array, own_df: float) -> Array:
    """errors (..., V): standardised forecast errors along time, NaN = none -> the same by the person's own scale as it
    was before each of them."""
    there = ~np.isnan(errors)
    squares = np.minimum(np.where(there, errors, 0.0) ** 2, CAP)
    before, tested = np.cumsum(squares, axis=-1) - squares, np.cumsum(there, axis=-1) - there
    scale, _ = own_scale(before, tested, own_df)
    return np.asarray(errors / scale)


def quantile_scores(
    tables: Tables,
    biomarker: str,
    ages: Array,
    settings: Sequence[str],
    levels: Sequence[float],
    df: Array | None = None,
) -> Array:
    """ages (P, A), settings (P,), df (P,) degrees of freedom (None: normal) -> standardised quantiles (P, A, q)."""
    scores = np.broadcast_to(
        _without_table(levels, df, len(ages))[:, None], (*ages.shape, len(levels))
    ).copy()
    if not any(key[0] == biomarker for key in tables):
        return scores
    third = age_third(ages)
    where = np.array(settings)
    for setting in sorted(set(settings)):
        for b in np.unique(third):
            cell = _cell(tables, biomarker, THIRDS[b] if b >= 0 else "any", setting)
            if cell is not None:
                scores[(where == setting)[:, None] & (third == b)] = interpolate(cell, levels)
    return scores


def _without_table(levels: Sequence[float], df: Array | None, people: int) -> Array:
    """(P, q): Student's quantiles, each distinct df once."""
    normal: Array = ndtri(np.array(levels))
    if df is None:
        return np.broadcast_to(normal, (people, len(levels)))
    kinds, which = np.unique(df, return_inverse=True)
    rows = [normal if np.isinf(nu) else stdtrit(nu, np.array(levels)) for nu in kinds]
    return np.asarray(np.stack(rows)[which]) if len(kinds) else np.empty((0, len(levels)))


def interpolate(cell: Sequence[float], levels: Sequence[float]) -> Array:
    """Scores at `levels` from a table row at GRID, monotone."""
    z, grid = ndtri(np.array(levels)), ndtri(np.array(GRID))
    row = np.asarray(cell, dtype=np.float64)
    inside = np.interp(z, grid, row)
    low = row[0] + (z - grid[0]) * max(row[0] / grid[0], 0.1)
    high = row[-1] + (z - grid[-1]) * max(row[-1] / grid[-1], 0.1)
    return np.asarray(np.where(z < grid[0], low, np.where(z > grid[-1], high, inside)), dtype=np.float64)


def _cell(tables: Tables, biomarker: str, third: str, setting: str) -> tuple[float, ...] | None:
    for key in ((third, setting), (third, "any"), ("any", setting), ("any", "any")):
        if (biomarker, *key) in tables:
            return tables[biomarker, *key]
    return None


def calibrate(
    residuals: Array, ages: Array, settings: Sequence[str], biomarker: str, *, enough: int = ENOUGH
) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """Conformal table of one biomarker from standardised residuals z = (value - forecast mean) / SD.

    residuals, ages (N,), settings (N,). Each cell with at least `enough` residuals gets its split-conformal
    quantiles: the k-th smallest with k = ceil(p (N + 1)) above the median, mirrored below it. Residuals must come
    from values that the forecast had not seen. NaN residuals are left out."""
    keep = ~np.isnan(residuals)
    z, third = residuals[keep], age_third(ages[keep])
    where = np.array(settings)[keep]
    tables = {}
    for t in ("any", *THIRDS):
        for s in ("any", *sorted(set(where.tolist()))):
            chosen = np.ones(len(z), dtype=bool) if t == "any" else third == THIRDS.index(t)
            chosen &= np.ones(len(z), dtype=bool) if s == "any" else where == s
            if chosen.sum() >= enough:
                tables[biomarker, t, s] = conformal_quantiles(z[chosen])
    return tables


def conformal_quantiles(residuals: Array) -> tuple[float, ...]:
    """Scores at GRID with the finite-sample correction that makes coverage at least nominal."""
    z = np.sort(residuals)
    n = len(z)
    scores = []
    for p in GRID:
        k = int(np.ceil(p * (n + 1))) if p > 0.5 else int(np.floor(p * (n + 1)))
        if p == 0.5:
            scores.append(float(np.median(z)))
        else:
            scores.append(float(z[min(max(k, 1), n) - 1]))
    return tuple(np.maximum.accumulate(scores).tolist())


def coverage(low: Array, high: Array, values: Array, groups: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Share of `values` (N,) inside [low, high] and their number, per group (sex, age third, ...)."""
    inside = (values >= low) & (values <= high)
    seen = ~np.isnan(values)
    label = np.array(groups)
    return {
        g: (float(inside[seen & (label == g)].mean()), int((seen & (label == g)).sum()))
        for g in sorted(set(groups))
        if (seen & (label == g)).any()
    }


def alarms(
    covered: Mapping[str, tuple[float, int]], *, low: float = 0.76, high: float = 0.84
) -> tuple[str, ...]:
    """Groups whose 80 % intervals do not hold: coverage outside [low, high] by more than chance alone explains
    (two binomial standard errors of 0.8), so that a handful of values rings no bell."""
    found = []
    for group, (share, count) in sorted(covered.items()):
        slack = 2.0 * (0.8 * 0.2 / count) ** 0.5
        if share < min(low, 0.8 - slack) or share > max(high, 0.8 + slack):
            found.append(group)
    return tuple(found)

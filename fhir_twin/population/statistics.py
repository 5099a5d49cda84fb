"""Small statistics, each against its source: intervals of shares and counts, concordance, Kaplan-Meier, Cox.

Pure numpy/scipy. All intervals are 95 % unless `level` says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import chi2

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval; NaN when it cannot be told."""

    value: float
    low: float
    high: float


NONE = Interval(float("nan"), float("nan"), float("nan"))


def _z(level: float) -> float:
    return float(ndtri(0.5 + level / 2.0))


def share(hits: int, count: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927)."""
    if count == 0:
        return NONE
    z, p = _z(level), hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Interval(p, float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))


def clustered_share(hits: ArrayLike, counts: ArrayLike, level: float = 0.95) -> Interval:
    """Share of hits among all trials when trials come in clusters (values within patients): ratio estimator with the
    variance between clusters (Cochran 1977, 6.4), so that one patient with many values does not count as many."""
    x, n = np.asarray(hits, dtype=float), np.asarray(counts, dtype=float)
    if n.sum() == 0:
        return NONE
    x, n = x[n > 0], n[n > 0]
    ratio, m = x.sum() / n.sum(), len(n)
    if m < 2:
        return Interval(float(ratio), 0.0, 1.0)
    if ratio in (0.0, 1.0):  # no spread to see: one trial a cluster, the widest that clusters allow
        return share(m if ratio else 0, m, level)
    variance = m / (m - 1) * np.sum((x - ratio * n) ** 2) / n.sum() ** 2
    half = _z(level) * np.sqrt(variance)
    return Interval(float(ratio), float(max(ratio - half, 0.0)), float(min(ratio + half, 1.0)))


def observed_expected(observed: int, expected: float, level: float = 0.95) -> Interval:
    """O/E with the exact Poisson interval of O (Garwood 1936)."""
    if expected <= 0:
        return NONE
    tail = (1 - level) / 2
    low = chi2.ppf(tail, 2 * observed) / 2 if observed else 0.0
    high = chi2.ppf(1 - tail, 2 * observed + 2) / 2
    return Interval(observed / expected, float(low / expected), float(high / expected))


def concordance(risk: ArrayLike, years: ArrayLike, event: ArrayLike, level: float = 0.95) -> Interval:
    """Harrell's C: of all pairs in which one person's event came while the other was still followed, the share in which
    that person had the higher risk (ties half). The interval adds the spread between cases and between their
    controls, as DeLong does for the area under a ROC curve."""
    r, t, e = (np.asarray(a, dtype=float) for a in (risk, years, event))
    cases = np.flatnonzero(e > 0)
    wins, pairs = np.zeros(len(cases)), np.zeros(len(cases))
    lost, against = np.zeros(len(r)), np.zeros(len(r))
    for k, i in enumerate(cases):
        later = (t > t[i]) | ((t == t[i]) & (e == 0))
        score = np.where(r[i] > r, 1.0, np.where(r[i] == r, 0.5, 0.0)) * later
        wins[k], pairs[k] = score.sum(), later.sum()
        lost += score
        against += later
    if pairs.sum() == 0:
        return NONE
    c = float(wins.sum() / pairs.sum())
    if c in (0.0, 1.0):  # no spread to see: as if each case were one comparison
        used = int((pairs > 0).sum())
        return share(used if c else 0, used, level)
    variance = _spread(wins, pairs, c) + _spread(lost, against, c)
    half = _z(level) * np.sqrt(variance)
    return Interval(c, max(c - half, 0.0), min(c + half, 1.0))


def _spread(wins: Array, pairs: Array, c: float) -> float:
    used = pairs > 0
    m = int(used.sum())
    if m < 2:
        return 0.0
    return float(m / (m - 1) * np.sum((wins[used] - c * pairs[used]) ** 2) / pairs.sum() ** 2)


@dataclass(frozen=True, slots=True)
class Curve:
    """Kaplan-Meier: share with an event by each time, with its interval."""

    years: Array
    share: Array
    low: Array
    high: Array


def event_curve(years: ArrayLike, event: ArrayLike, level: float = 0.95) -> Curve:
    """1 - S(t); interval on the log(-log) scale with Greenwood's variance (Kalbfleisch and Prentice 1980)."""
    t, e = np.asarray(years, dtype=float), np.asarray(event, dtype=float)
    at = np.unique(t[e > 0])
    died = np.array([np.sum((t == x) & (e > 0)) for x in at], dtype=float)
    risk = np.array([np.sum(t >= x) for x in at], dtype=float)
    survival = np.cumprod(1.0 - died / risk) if len(at) else np.zeros(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        green = np.cumsum(died / (risk * (risk - died)))
        spread = np.sqrt(green) / np.abs(np.log(survival)) * _z(level)
        low = 1.0 - survival ** np.exp(-spread)
        high = 1.0 - survival ** np.exp(spread)
    low, high = np.nan_to_num(low, nan=1.0), np.nan_to_num(high, nan=1.0)
    zero = np.zeros(1)
    return Curve(
        np.concatenate([zero, at]), np.concatenate([zero, 1.0 - survival]),
        np.concatenate([zero, np.minimum(low, high)]), np.concatenate([zero, np.maximum(low, high)]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cox:
    """Coefficients (k,) and their standard errors; converged says whether Newton's steps came to rest."""

    beta: Array
    se: Array
    converged: bool


def cox(x: ArrayLike, years: ArrayLike, event: ArrayLike, *, steps: int = 25) -> Cox:
    """Proportional hazards by Newton's method on Breslow's partial likelihood (Breslow 1974). x (N, k)."""
    design, t, e = np.asarray(x, dtype=float), np.asarray(years, dtype=float), np.asarray(event, dtype=float)
    order = np.argsort(-t, kind="stable")
    design, t, e = design[order] - design.mean(axis=0), t[order], e[order] > 0
    k = design.shape[1]
    last = np.searchsorted(-t, -t, side="right") - 1  # ties share one risk set
    cases, beta = np.flatnonzero(e), np.zeros(k)
    outer = design[:, :, None] * design[:, None, :]
    information, converged = np.eye(k), False
    for _ in range(steps):
        w = np.exp(np.clip(design @ beta, -50, 50))
        s0 = np.cumsum(w)[last[cases]]
        s1 = np.cumsum(design * w[:, None], axis=0)[last[cases]] / s0[:, None]
        s2 = np.cumsum(outer * w[:, None, None], axis=0)[last[cases]] / s0[:, None, None]
        score = (design[cases] - s1).sum(axis=0)
        information = (s2 - s1[:, :, None] * s1[:, None, :]).sum(axis=0)
        try:
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            break
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.max(np.abs(step)) < 1e-9:
            converged = True
            break
    try:
        se = np.sqrt(np.diag(np.linalg.inv(information)))
    except np.linalg.LinAlgError:
        se = np.full(k, np.inf)
    return Cox(beta, se, converged)

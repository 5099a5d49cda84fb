"""Virtual trials: draw participants, randomise, let events happen, analyse as a real trial would; many times.

Each replicate lives in one of the parameter worlds, so the spread over replicates is sampling *and* uncertainty of the
effects. Events: exponential within the follow-up with each person's own hazard; death competes; people drop out.
Analysis: Cox, unadjusted and adjusted for the twin's forecast under control (PROCOVA: a prognostic score from outside
the trial as covariate, never a synthetic control arm). Continuous endpoints: difference of means, and analysis of
covariance on the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fhir_twin.population import statistics as st
from fhir_twin.population.statistics import Curve, Interval

Array = NDArray[np.float64]
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, repr=False)
class Candidates:
    """Eligible people with a forecast of the endpoint: control (P,) probability within the follow-up; worlds (P, W)
    differences under the arm; death (P,) probability (0 where it cannot be told); groups: dimension -> labels (P,)."""

    control: Array
    worlds: Array
    death: Array
    groups: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Over the replicates: median hazard ratio with the middle 95 %, mean standard error of its log, share of
    replicates significant in the right direction."""

    ratio: Interval
    se: float
    power: float


@dataclass(frozen=True, slots=True)
class EventResult:
    """One outcome under one arm. expected: (control, treated) probabilities in the candidates, mean over
    worlds; events:
    mean number in a trial; needed: participants for the protocol's power at this effect; saved: share of them that
    adjustment saves; curves: one large virtual trial, for the figure."""

    outcome: str
    arm: str
    people: int
    expected: tuple[float, float]
    events: tuple[float, float]
    unadjusted: Estimate
    adjusted: Estimate | None
    needed: int | None
    difference: Interval
    curves: tuple[tuple[str, Curve], ...]
    subgroups: tuple[tuple[str, str, int, Interval], ...]


@dataclass(frozen=True, slots=True)
class Design:
    """What the simulation needs of a protocol."""

    follow_up: float
    participants: int
    replicates: int
    seed: int
    alpha: float
    power: float
    dropout: float
    adjust: bool
    share: float  # randomised to this arm, of those in this comparison


def simulate_events(outcome: str, arm: str, who: Candidates, design: Design) -> EventResult:
    """All replicates of one comparison. Needs at least 20 candidates."""
    rng = np.random.default_rng(np.random.SeedSequence([design.seed, _number(outcome), _number(arm)]))
    plain: list[tuple[float, float]] = []
    adjusted: list[tuple[float, float]] = []
    counts = []
    for r in range(design.replicates):
        world = r % who.worlds.shape[1]
        trial = _trial(who, world, design, rng, design.participants)
        counts.append((trial.event[~trial.treated].sum(), trial.event[trial.treated].sum()))
        plain.append(_fit(trial, None))
        if design.adjust:
            adjusted.append(_fit(trial, trial.score))
    estimate = _summary(plain, design)
    large = _trial(who, 0, design, rng, max(20_000, design.participants), average=True)
    curves = tuple(
        (name, st.event_curve(large.years[chosen], large.event[chosen]))
        for name, chosen in (("control", ~large.treated), (arm, large.treated))
    )
    after = who.control[:, None] + who.worlds
    difference = (after - who.control[:, None]).mean(axis=0)
    means = np.array(counts, dtype=float).mean(axis=0)
    return EventResult(
        outcome, arm, len(who.control), (float(who.control.mean()), float(after.mean())),
        (float(means[0]), float(means[1])), estimate, _summary(adjusted, design) if adjusted else None,
        _needed(float(np.log(estimate.ratio.value)), who, after, design), _middle(difference), curves,
        _subgroups(who),
    )  # fmt: skip


def _number(text: str) -> int:
    return int.from_bytes(text.encode()[:12].ljust(12, b"\0"), "big") % (2**63)


@dataclass(frozen=True, slots=True, repr=False)
class _Trial:
    treated: NDArray[np.bool_]
    years: Array
    event: Array
    score: Array


def _trial(
    who: Candidates, world: int, design: Design, rng: np.random.Generator, size: int, *, average: bool = False
) -> _Trial:
    chosen = rng.integers(0, len(who.control), size)
    treated = rng.permutation(size) < round(size * design.share)
    control = who.control[chosen]
    shift = who.worlds[chosen].mean(axis=1) if average else who.worlds[chosen, world]
    probability = np.clip(np.where(treated, control + shift, control), 1e-9, 1 - 1e-9)
    rate = -np.log1p(-probability) / design.follow_up
    other = -np.log1p(-np.clip(who.death[chosen], 0.0, 1 - 1e-9)) / design.follow_up
    leave = -np.log1p(-design.dropout)
    with np.errstate(divide="ignore"):
        when = rng.standard_exponential(size) / rate
        gone = rng.standard_exponential(size) / (other + leave)
    end = np.minimum(gone, design.follow_up)
    score = np.log(-np.log1p(-np.clip(control, 1e-9, 1 - 1e-9)))
    return _Trial(treated, np.minimum(when, end), (when <= end).astype(float), score)


def _fit(trial: _Trial, score: Array | None) -> tuple[float, float]:
    """(log hazard ratio, standard error); NaN when it cannot be fitted (no events in an arm)."""
    per_arm = [trial.event[trial.treated == arm].sum() for arm in (False, True)]
    if min(per_arm) < 1:
        return float("nan"), float("nan")
    columns = [trial.treated.astype(float)]
    if score is not None and score.std() > 1e-9:
        columns.append(score)
    fit = st.cox(np.column_stack(columns), trial.years, trial.event)
    return (float(fit.beta[0]), float(fit.se[0])) if fit.converged else (float("nan"), float("nan"))


def _summary(fits: list[tuple[float, float]], design: Design) -> Estimate:
    log, se = np.array(fits).T
    used = ~np.isnan(log)
    if not used.any():
        return Estimate(st.NONE, float("nan"), 0.0)
    limit = float(ndtri(1.0 - design.alpha / 2.0))
    ratio = np.quantile(log[used], [0.5, 0.025, 0.975])
    won = (log[used] / se[used] < -limit).sum() / len(log)
    return Estimate(Interval(*(float(np.exp(v)) for v in ratio)), float(se[used].mean()), float(won))


def _middle(draws: Array) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(draws.mean()), float(low), float(high))


def _needed(log_ratio: float, who: Candidates, after: Array, design: Design) -> int | None:
    """Schoenfeld (1983): events = (z_alpha/2 + z_power)^2 / (p q log(HR)^2); participants = events / event share."""
    if not np.isfinite(log_ratio) or abs(log_ratio) < 1e-6:
        return None
    z = float(ndtri(1 - design.alpha / 2) + ndtri(design.power))
    p = design.share
    events = z * z / (p * (1 - p) * log_ratio**2)
    share = (1 - p) * who.control.mean() + p * after.mean()
    return int(np.ceil(events / share))


def _subgroups(who: Candidates) -> tuple[tuple[str, str, int, Interval], ...]:
    """Ratio of cumulative hazards by subgroup, over the parameter worlds (no sampling): what the model says,
    exactly."""
    found = []
    for dimension, labels in who.groups.items():
        for label in sorted(set(labels.tolist())):
            here = labels == label
            if here.sum() < 20:
                continue
            before = -np.log1p(-who.control[here]).sum()
            after = -np.log1p(-np.clip(who.control[here, None] + who.worlds[here], 0, 1 - 1e-9)).sum(axis=0)
            found.append((dimension, str(label), int(here.sum()), _middle(after / before)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MeanResult:
    """A continuous endpoint: mean difference (canonical unit) with the middle 95 % over replicates, mean
    standard errors without and with the forecast as covariate, and what that saves: share of participants."""

    outcome: str
    arm: str
    people: int
    difference: Interval
    se: float
    se_adjusted: float
    power: float
    power_adjusted: float

    @property
    def saved(self) -> float:
        """1 - (se_adjusted / se)^2."""
        return 1.0 - (self.se_adjusted / self.se) ** 2 if self.se > 0 else 0.0


def simulate_means(
    outcome: str, arm: str, control: tuple[Array, Array], treated: tuple[Array, Array], design: Design
) -> MeanResult:
    """control, treated: forecast (mean, SD) per person under each arm; the SD under control is what the twin does not
    know about the person."""
    rng = np.random.default_rng(np.random.SeedSequence([design.seed, _number(outcome), _number(arm), 2]))
    limit = float(ndtri(1.0 - design.alpha / 2.0))
    rows = []
    for _ in range(design.replicates):
        who = rng.integers(0, len(control[0]), design.participants)
        arm_of = (rng.permutation(design.participants) < round(design.participants * design.share)).astype(
            float
        )
        mean = np.where(arm_of > 0, treated[0][who], control[0][who])
        sd = np.where(arm_of > 0, treated[1][who], control[1][who])
        y = mean + sd * rng.standard_normal(design.participants)
        rows.append((*_regress(y, arm_of, None), *_regress(y, arm_of, control[0][who])))
    b, se, b_adjusted, se_adjusted = np.array(rows).T
    low, high = np.quantile(b, [0.025, 0.975])
    return MeanResult(
        outcome, arm, len(control[0]), Interval(float(np.median(b)), float(low), float(high)), float(se.mean()),
        float(se_adjusted.mean()), float((np.abs(b / se) > limit).mean()),
        float((np.abs(b_adjusted / se_adjusted) > limit).mean()),
    )  # fmt: skip


def _regress(y: Array, arm: Array, score: Array | None) -> tuple[float, float]:
    """Least squares of y on the arm (and the forecast): coefficient of the arm and its standard error."""
    columns = [np.ones_like(y), arm] + ([] if score is None else [score])
    x = np.column_stack(columns)
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ (x.T @ y)
    rest = y - x @ beta
    variance = float(rest @ rest) / (len(y) - x.shape[1])
    return float(beta[1]), float(np.sqrt(variance * inverse[1, 1]))

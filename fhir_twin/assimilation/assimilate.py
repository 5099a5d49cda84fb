"""The filter run of one person: prior, visits, drug starts, two slope regimes, and the state at as_of.

Slope regimes differ only in their prior, so one filter per regime with weights share x likelihood is the exact
Bayesian mixture; it is summarised by its mean and covariance. When a drug starts, its response enters the state with
the trial's mean for the person's estimate at that moment and the trial's spread between people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fhir_twin.assimilation.visits import Group, Table, tabulate
from fhir_twin.dynamics.kalman import Belief, Robust, Trace, kalman_filter
from fhir_twin.dynamics.layout import Layout, build_layout
from fhir_twin.dynamics.prior import ageing_rates, prior_belief, slope_regimes
from fhir_twin.dynamics.state_space import propagate
from fhir_twin.model.biomarker import BiomarkerModel, BiomarkerSet, TreatmentEffect
from fhir_twin.model.twin import Array, Memory, Point, Profile, TreatmentTerm

ROBUST = Robust()


@dataclass(frozen=True, slots=True)
class Effect:
    """What one group of readings did: gain 0..1, shift of the estimate in canonical units, weight after the gate, and
    z = (value - forecast) / SD of the forecast, from everything before it."""

    gain: float
    shift: float
    weight: float
    z: float


@dataclass(frozen=True, slots=True, repr=False)
class Assimilated:
    """mean (n,), covariance (n, n): current values; state (m,), state_covariance (m, m): everything; memory: where
    the filter stands after the last visit; traces: one per group; jumps (c, n): variance by which confirmed
    changes opened each level."""

    mean: Array
    covariance: Array
    state: Array
    state_covariance: Array
    layout: Layout
    memory: Memory
    traces: tuple[Effect, ...]
    jumps: Array


def start_memory(
    known: BiomarkerSet,
    profile: Profile,
    age: float | None,
    reference: float,
    terms: tuple[TreatmentTerm, ...],
) -> Memory:
    """The prior, one belief per slope regime, at the reference time. age: years at that time."""
    layout = build_layout(known, terms)
    mean, covariance = prior_belief(known, layout, profile, age)
    beliefs = [(0.0, mean, covariance)]
    for row, column in layout.slopes:
        split = []
        for log_weight, mu, p in beliefs:
            for regime in slope_regimes(known.models[row], profile):
                mu_r, p_r = mu.copy(), p.copy()
                mu_r[column], p_r[column, column] = regime.mean, regime.sd**2
                split.append((log_weight + math.log(regime.share), mu_r, p_r))
        beliefs = split
    memory = Memory(
        log_weights=np.array([b[0] for b in beliefs]),
        mean=np.array([b[1] for b in beliefs]),
        covariance=np.array([b[2] for b in beliefs]),
        time=reference,
        seen=(0,) * len(known.models),
        reference=reference,
        day=-1,
        terms=terms,
        away=(0,) * len(known.models),
    )
    for row, column, term in layout.terms:
        if term.start == -math.inf:
            memory = _ignite(memory, known, layout, row, column, term)
    return memory


def advance(
    memory: Memory,
    groups: Sequence[Group],
    known: BiomarkerSet,
    profile: Profile,
    as_of: float,
) -> Assimilated:
    """Assimilate `groups` (later than the memory) and read the state at `as_of`. O(number of new groups)."""
    layout = build_layout(known, memory.terms)
    drift = ageing_rates(known.models, profile.sex)
    table = tabulate(groups, len(known.models), drift, memory.reference)
    start, traces = memory, list[Trace]()
    for part, starting in _segments(table, layout, memory.time, as_of):
        if part.stop > part.start:
            memory, trace = _filter(memory, layout, table, part)
            traces.append(trace)
        for row, column, term in starting:
            memory = _ignite(memory, known, layout, row, column, term)
    if groups:
        memory = replace(memory, day=max(g.day for g in groups))
    state, state_covariance = _mixture(memory, layout, as_of)
    load = layout.loadings(np.array([as_of]), memory.reference, memory.away)[0]
    mean = load @ state + drift * (as_of - memory.reference)
    return Assimilated(
        mean,
        load @ state_covariance @ load.T,
        state,
        state_covariance,
        layout,
        memory,
        _effects(traces, table, start, drift),
        sum(
            (np.nan_to_num(t.jump).sum(axis=1) for t in traces),
            np.zeros((len(memory.log_weights), len(drift))),
        ),
    )


def contributions(points: Sequence[Point], groups: Sequence[Group], result: Assimilated) -> tuple[Point, ...]:
    """The points with what each did: a group's gain and shift are shared among its readings as they make its value."""
    done = list(points)
    for group, effect in zip(groups, result.traces, strict=True):
        for index, share in zip(group.members, group.shares, strict=True):
            done[index] = done[index].caused(effect.gain * share, effect.shift * share, effect.weight)
    return tuple(done)


def _segments(
    table: Table, layout: Layout, begin: float, as_of: float
) -> list[tuple[slice, list[tuple[int, int, TreatmentTerm]]]]:
    """Visits up to each drug start, and the drugs that start then. A visit on the day of the start is before it."""
    starts = sorted({t.start for _, _, t in layout.terms if begin < t.start <= as_of})
    segments, position = [], 0
    for start in starts:
        stop = max(position, int(np.searchsorted(table.times, start + 0.5 / 365.25, side="right")))
        segments.append((slice(position, stop), [x for x in layout.terms if x[2].start == start]))
        position = stop
    segments.append((slice(position, len(table.times)), []))
    return segments


def _filter(memory: Memory, layout: Layout, table: Table, part: slice) -> tuple[Memory, Trace]:
    copies = len(memory.log_weights)
    belief = Belief(
        memory.mean,
        memory.covariance,
        np.full(copies, memory.time),
        np.tile(np.array(memory.seen, dtype=np.int64), (copies, 1)),
        None if memory.doubt is None else memory.doubt.astype(np.int64),
    )
    visits = table.visits(layout, memory.reference, copies, part)
    done = kalman_filter(belief, layout.dynamics, layout.design, visits, robust=ROBUST, trace=True)
    assert done.trace is not None
    memory = replace(
        memory,
        log_weights=memory.log_weights + done.log_likelihood,
        mean=done.belief.mean,
        covariance=done.belief.covariance,
        time=float(done.belief.time[0]),
        seen=tuple(int(v) for v in done.belief.seen[0]),
        doubt=None if done.belief.doubt is None else done.belief.doubt.astype(np.float64),
        squares=done.squares if memory.squares is None else memory.squares + done.squares,
        away=tuple(n + int(new) for n, new in zip(memory.away, table.away[part].sum(axis=0), strict=True)),
    )
    return memory, done.trace


def _ignite(
    memory: Memory, known: BiomarkerSet, layout: Layout, row: int, column: int, term: TreatmentTerm
) -> Memory:
    """A drug starts: give its response the trial's mean for this person's level and the spread between people.

    Responses to classes of one family are alike: the deviation of the later drug is regressed on that of the
    earlier one, d2 = rho (s2/s1) d1 + e."""
    effect = replace(_effect(known.models[row], term.drug_class), mean=term.trial)
    mean, covariance = memory.mean.copy(), memory.covariance.copy()
    at = memory.time if term.start == -math.inf else max(term.start, memory.time)
    load = layout.loadings(np.array([at]), memory.reference, memory.away)[0][row]
    expected = np.array([adapted_mean(effect, float(v)) for v in np.exp(mean @ load)])
    mean[:, column] = expected
    variance = np.full(len(mean), effect.spread**2)
    kin = _kin(known.models[row], memory.terms, layout, row, column, effect, covariance)
    if kin is not None:
        other, prior_mean, slope = kin
        mean[:, column] += slope * (mean[:, other] - prior_mean)
        covariance[:, column, :] = slope * covariance[:, other, :]
        covariance[:, :, column] = slope * covariance[:, :, other]
        free = effect.spread**2 * (1.0 - effect.correlation**2)
        variance = slope**2 * covariance[:, other, other] + free
    covariance[:, column, column] = variance
    known_mean = float(regime_weights(memory) @ expected)
    terms = tuple(replace(t, mean=known_mean) if _same(t, term) else t for t in memory.terms)
    return replace(memory, mean=mean, covariance=covariance, terms=terms)


def _same(left: TreatmentTerm, right: TreatmentTerm) -> bool:
    return (left.biomarker, left.drug_class) == (right.biomarker, right.drug_class)


def _kin(
    model: BiomarkerModel,
    terms: Sequence[TreatmentTerm],
    layout: Layout,
    row: int,
    column: int,
    effect: TreatmentEffect,
    covariance: Array,
) -> tuple[int, float, float] | None:
    """The first class of the same family that has already started: (state, its prior mean, regression slope)."""
    if not effect.family or not effect.correlation:
        return None
    for r, c, term in layout.terms:
        if r == row and c != column and covariance[0, c, c] > 0:
            other = _effect(model, term.drug_class)
            if other.family == effect.family:
                prior_mean = next(t.mean for t in terms if _same(t, term))
                return c, prior_mean, effect.correlation * effect.spread / other.spread
    return None


def _effect(model: BiomarkerModel, drug_class: str) -> TreatmentEffect:
    return next(t for t in model.treatments if t.drug_class == drug_class)


def adapted_mean(effect: TreatmentEffect, level: float) -> float:
    """Trial mean (log ratio) for a person at `level`: absolute effect at the trial's baseline plus `per_unit` times
    the distance from it; never the wrong sign and never more than twice the trial's ratio."""
    if not effect.per_unit:
        return effect.mean
    absolute = effect.baseline * math.expm1(effect.mean) + effect.per_unit * (level - effect.baseline)
    ratio = absolute / level
    low, high = sorted((0.0, 2.0 * math.expm1(effect.mean)))
    return math.log1p(min(max(ratio, low), high))


def _mixture(memory: Memory, layout: Layout, as_of: float) -> tuple[Array, Array]:
    gap = np.full(len(memory.log_weights), max(as_of - memory.time, 0.0))
    means, covariances = propagate(layout.dynamics, memory.mean, memory.covariance, gap)
    weights = regime_weights(memory)
    mean = weights @ means
    off = means - mean
    return mean, np.einsum("c,cij->ij", weights, covariances + off[:, :, None] * off[:, None, :])


def regime_weights(memory: Memory) -> Array:
    """Posterior probability of each slope regime, (c,)."""
    weights = np.exp(memory.log_weights - memory.log_weights.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _effects(traces: Sequence[Trace], table: Table, start: Memory, drift: Array) -> tuple[Effect, ...]:
    """What each group did, averaged over the slope regimes with the weights they have once the visit is in (so a later
    visit does not rewrite what an earlier one did); its forecast with the weights from before it."""
    if not traces:
        return ()
    gain, before, after, off, spread, density, _ = (
        np.concatenate([getattr(t, name) for t in traces], axis=1) for name in Trace.__slots__
    )
    each = np.nan_to_num(density).sum(axis=2)
    log_weights = start.log_weights[:, None] + each.cumsum(axis=1)
    now, then = _normalised(log_weights), _normalised(log_weights - each)
    known = drift * (table.times - start.reference)[:, None]
    shift = (now * (np.exp(after + known) - np.exp(before + known))).sum(axis=0)
    share, down = (now * gain).sum(axis=0), (now * off).sum(axis=0)
    expected = (then * before).sum(axis=0)
    variance = (then * (spread**2 + (before - expected) ** 2)).sum(axis=0)
    z = (table.values - expected) / np.sqrt(variance)
    return tuple(
        Effect(float(share[p]), float(shift[p]), 1.0 - float(down[p]), float(z[p])) for p in table.places
    )


def _normalised(log_weights: Array) -> Array:
    """(c, V) log weights -> (c, V, 1) weights that sum to one over c."""
    weights = np.exp(log_weights - log_weights.max(axis=0))
    return np.asarray((weights / weights.sum(axis=0))[:, :, None], dtype=np.float64)

"""Hazard ratio of each outcome of a scenario, averaged over the horizon; all scenarios of a patient in one go.

A composite without a ratio of its own is the mixture of its parts, weighted by this patient's own hazards. Taken apart,
each outcome's ratio over time is a sum of products,

    ratio(t) = sum over i of share_i exp(sum of the terms of product i at t)

so its time average is the same sum over averaged products, which `dynamics.mean_ratio` works out together. Which
products there are depends on names alone (`_sums`), and is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.dynamics.hazards import time_weights
from fhir_twin.dynamics.mean_ratio import Curve, Row, mean_ratios
from fhir_twin.model.twin import Array, readonly
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.responses import EventTerm

PARTS = {"ascvd": ("mi", "stroke"), "cvd": ("ascvd", "heart-failure")}
WHOLE = {"mi": "ascvd", "stroke": "ascvd"}
Product = tuple[int, ...]  # places of terms in a scenario's list, ascending; () = 1
Factor = tuple[Literal["share", "rest"], tuple[str, ...]]  # of a part in its composite; what parts leave
Addend = tuple[tuple[Factor, ...], Product]
Names = tuple[tuple[str, str], ...]  # (outcome, intervention) of a scenario's terms


@dataclass(frozen=True, slots=True, repr=False)
class Shares:
    """Baselines by outcome; how much of a composite each part is. Products of shares are worked out once."""

    base: dict[str, Baseline]
    _shares: dict[str, Array]
    _made: dict[tuple[Factor, ...], Array]

    def of(self, factors: tuple[Factor, ...]) -> Array | None:
        """The product (D,); None = 1."""
        if not factors:
            return None
        if factors not in self._made:
            *before, (kind, parts) = factors
            last = np.asarray(sum(self._shares[p] for p in parts))
            last = 1.0 - last if kind == "rest" else last
            others = self.of(tuple(before))
            self._made[factors] = np.asarray(last if others is None else others * last)
        return self._made[factors]


def shares_of(base: dict[str, Baseline]) -> Shares:
    """For the composites whose parts are all there."""
    found = {}
    for parts in PARTS.values():
        if all(p in base for p in parts):
            hazard = sum(base[p].hazard for p in parts)
            found.update({p: base[p].hazard / hazard for p in parts})
    return Shares(base, found, {})


def averages(
    scenarios: Sequence[tuple[Shares, list[EventTerm]]], draws: int, only: str = ""
) -> list[dict[str, Array]]:
    """Per scenario: outcome -> mean hazard ratio (D,) over the baseline's horizon against "continue as now", with the
    weights of the baseline hazard. Outcomes that no term speaks of are left out: their ratio is 1. only: the one
    outcome that is asked for ("" = all)."""
    rows: list[Row] = []
    weights: dict[tuple[float, float], Array] = {}
    asked: list[list[tuple[str, list[tuple[Array | None, int]]]]] = []
    for shares, terms in scenarios:
        places: dict[tuple[Product, float, float], int] = {}
        wanted = []
        names = tuple((t.outcome, t.intervention) for t in terms)
        for outcome, addends in _sums(tuple(shares.base), names) if terms else ():
            if only and outcome != only:
                continue
            item = shares.base[outcome]
            kind = (item.horizon, item.growth)
            if kind not in weights:
                weights[kind] = time_weights(edges(item.horizon), item.growth)
            parts = []
            for factors, product in addends:
                place = places.get((product, *kind), -1)
                if product and place < 0:
                    place = places[product, *kind] = len(rows)
                    rows.append(_row([terms[i] for i in product], item.horizon, weights[kind]))
                parts.append((shares.of(factors), place))
            wanted.append((outcome, parts))
        asked.append(wanted)
    means = mean_ratios(rows, draws) if rows else np.empty((0, draws))
    return [{outcome: _added(parts, means) for outcome, parts in wanted} for wanted in asked]


def _added(parts: list[tuple[Array | None, int]], means: Array) -> Array:
    """sum of share x mean; share None and place -1 = 1."""
    total: Array | None = None
    for share, place in parts:
        if place < 0:
            each = share
        else:
            each = means[place] if share is None else share * means[place]
        total = each if total is None or each is None else total + each
    assert total is not None
    return total


@lru_cache(maxsize=4096)
def _sums(outcomes: tuple[str, ...], terms: Names) -> tuple[tuple[str, tuple[Addend, ...]], ...]:
    """The addends of each outcome that a term speaks of."""
    found = ((outcome, _over_time(outcome, frozenset(outcomes), terms, frozenset())) for outcome in outcomes)
    return tuple((outcome, tuple(addends)) for outcome, addends in found if addends is not None)


def _over_time(
    outcome: str, known: frozenset[str], terms: Names, done: frozenset[str]
) -> list[Addend] | None:
    """None = 1 throughout. done: interventions whose ratio for a composite above is direct and must not act again
    through its parts."""
    direct = [i for i, (o, by) in enumerate(terms) if o == outcome and by not in done]
    own = done.union(terms[i][1] for i in direct)
    whole = WHOLE.get(outcome)  # a part without its own ratio shares that of its composite
    direct += [i for i, (o, by) in enumerate(terms) if o == whole and by not in own]
    parts = PARTS.get(outcome, ())
    split: list[list[Addend] | None] = []
    if all(p in known for p in parts):
        split = [_over_time(p, known, terms, own) for p in parts]
    if all(s is None for s in split):
        return [((), tuple(sorted(direct)))] if direct else None
    moved = [p for p, ratio in zip(parts, split, strict=True) if ratio is not None]
    mixed: list[Addend] = [
        ((("share", (part,)), *factors), product)
        for part, ratio in zip(parts, split, strict=True)
        for factors, product in ratio or ()
    ]
    if len(moved) < len(parts):  # else nothing is left but rounding
        mixed.append(((("rest", tuple(moved)),), ()))
    return [(factors, tuple(sorted((*product, *direct)))) for factors, product in mixed]


def _row(terms: list[EventTerm], horizon: float, weights: Array) -> Row:
    """Terms that grow alike are one: their log ratios at full effect add up."""
    if len(terms) == 1:
        term = terms[0]
        return Row((term.log_ratio,), (_curve(horizon, term.tau, term.delay, term.boost),), weights)
    alike: dict[tuple[float, float], Array] = {}
    for term in terms:
        key = (term.tau, term.delay)
        full = term.boost * term.log_ratio
        alike[key] = alike[key] + full if key in alike else full
    curves = tuple(_curve(horizon, tau, delay, 1.0) for tau, delay in alike)
    return Row(tuple(alike.values()), curves, weights)


@lru_cache(maxsize=4096)
def _curve(horizon: float, tau: float, delay: float, boost: float) -> Curve:
    """Growth of an effect at the middle of each interval of the grid, (T,)."""
    return Curve.of(readonly(boost * onset(midpoints(edges(horizon)) - delay, tau)))

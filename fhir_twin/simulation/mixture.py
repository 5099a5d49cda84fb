"""Hazard ratio of each outcome of a scenario, averaged over the horizon; all scenarios of a patient in one go.

A composite without a ratio of its own is the mixture of its parts, weighted by this patient's own hazards. Taken apart,
each outcome's ratio over time is a sum of products,

    ratio(t) = sum over i of share_i exp(sum of the terms of product i at t)

so its time average is the same sum over averaged products, which `dynamics.mean_ratio` works out together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.dynamics.hazards import time_weights
from fhir_twin.dynamics.mean_ratio import Row, mean_ratios
from fhir_twin.model.twin import Array, readonly
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.responses import EventTerm

PARTS = {"ascvd": ("mi", "stroke"), "cvd": ("ascvd", "heart-failure")}
WHOLE = {"mi": "ascvd", "stroke": "ascvd"}
Product = tuple[int, ...]  # places of terms in a scenario's list, ascending; () = 1
Share = Array | None  # (D,); None = 1


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """One scenario: its baselines by outcome, the share of each part in the hazard of its composite (D,), its terms,
    and where the terms of each outcome stand among them."""

    base: dict[str, Baseline]
    shares: dict[str, Array]
    terms: list[EventTerm]
    places: dict[str, list[int]]


def asked(base: dict[str, Baseline], shares: dict[str, Array], terms: list[EventTerm]) -> Asked:
    places: dict[str, list[int]] = {}
    for i, term in enumerate(terms):
        places.setdefault(term.outcome, []).append(i)
    return Asked(base, shares, terms, places)


def shares_of(base: dict[str, Baseline]) -> dict[str, Array]:
    """Part -> its share of the hazard of its composite (D,), for the composites whose parts are all there."""
    found = {}
    for parts in PARTS.values():
        if all(p in base for p in parts):
            hazard = sum(base[p].hazard for p in parts)
            found.update({p: base[p].hazard / hazard for p in parts})
    return found


def averages(scenarios: Sequence[Asked], draws: int) -> list[dict[str, Array]]:
    """Per scenario: outcome -> mean hazard ratio (D,) over the baseline's horizon against "continue as now", with the
    weights of the baseline hazard. Outcomes that no term speaks of are left out: their ratio is 1."""
    sums = [_sums(s) for s in scenarios]
    rows = _Rows()
    for scenario, found in zip(scenarios, sums, strict=True):
        for outcome, parts in found.items():
            for _, product in parts:
                rows.ask(scenario, product, scenario.base[outcome])
    means = mean_ratios(rows.rows, draws) if rows.rows else np.empty((0, draws))
    return [
        {
            outcome: _sum(
                [(s, means[rows.ask(scenario, p, scenario.base[outcome])] if p else None) for s, p in parts]
            )
            for outcome, parts in found.items()
        }
        for scenario, found in zip(scenarios, sums, strict=True)
    ]


def _sums(scenario: Asked) -> dict[str, list[tuple[Share, Product]]]:
    if not scenario.terms:
        return {}
    found = {outcome: _over_time(outcome, scenario, frozenset()) for outcome in scenario.base}
    return {outcome: parts for outcome, parts in found.items() if parts is not None}


class _Rows:
    """Averaged products, each once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._places: dict[tuple[int, Product, float, float], int] = {}
        self._weights: dict[tuple[float, float], Array] = {}

    def ask(self, scenario: Asked, product: Product, item: Baseline) -> int:
        """The place of the average over the horizon of `item`; -1 for the empty product."""
        if not product:
            return -1
        key = (id(scenario), product, item.horizon, item.growth)
        if key not in self._places:
            self._places[key] = len(self.rows)
            weights = self._weights.get(key[2:])
            if weights is None:
                weights = self._weights[key[2:]] = time_weights(edges(item.horizon), item.growth)
            self.rows.append(_row([scenario.terms[i] for i in product], item.horizon, weights))
        return self._places[key]


def _over_time(outcome: str, asked: Asked, done: frozenset[str]) -> list[tuple[Share, Product]] | None:
    """Shares and products; None = 1 throughout. done: interventions whose ratio for a composite above is direct and
    must not act again through its parts."""
    terms, places = asked.terms, asked.places
    direct = [i for i in places.get(outcome, ()) if terms[i].intervention not in done]
    own = done.union(terms[i].intervention for i in direct) if direct else done
    whole = WHOLE.get(outcome, "")  # a part without its own ratio shares that of its composite
    direct += [i for i in places.get(whole, ()) if terms[i].intervention not in own]
    parts = PARTS.get(outcome, ())
    split: list[list[tuple[Share, Product]] | None] = []
    if all(p in asked.base for p in parts):
        split = [_over_time(p, asked, own) for p in parts]
    if all(s is None for s in split):
        return [(None, tuple(sorted(direct)))] if direct else None
    mixed: list[tuple[Share, Product]] = []
    rest: Array | float = 1.0
    for part, ratio in zip(parts, split, strict=True):
        if ratio is not None:
            share = asked.shares[part]
            rest = rest - share
            mixed += [(share if s is None else share * s, product) for s, product in ratio]
    if any(s is None for s in split):  # else nothing is left but rounding
        mixed.append((np.asarray(rest), ()))
    return [(share, tuple(sorted((*product, *direct)))) for share, product in mixed]


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
def _curve(horizon: float, tau: float, delay: float, boost: float) -> Array:
    """Growth of an effect at the middle of each interval of the grid, (T,)."""
    return readonly(boost * onset(midpoints(edges(horizon)) - delay, tau))


def _sum(parts: list[tuple[Share, Array | None]]) -> Array:
    """sum of share x mean; None = 1."""
    total: Array | float = 0.0
    for share, mean in parts:
        if share is not None and mean is not None:
            total = total + share * mean
        else:
            total = total + (share if mean is None else mean)  # type: ignore[operator]
    return np.asarray(total)

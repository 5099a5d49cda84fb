"""What a scenario does to the biomarkers: their course over time, and the change a year on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fhir_twin.dynamics.effects import onset
from fhir_twin.model.twin import Z80, Array, Twin, readonly
from fhir_twin.simulation.grid import edges
from fhir_twin.simulation.ledger import moments
from fhir_twin.simulation.responses import BiomarkerTerm, Person

CHANGE_AT = 1.0  # years after the start at which biomarker changes are reported
Shift = tuple[Array, Array] | None


def shifts(
    scenarios: Sequence[list[BiomarkerTerm]], times: Sequence[Array], twin: Twin, person: Person
) -> list[Shift]:
    """Per scenario the mean shift and extra variance (T, n) on the model scale; None where nothing is moved.

    times: (T,) of each scenario."""
    places = {key: i for i, key in enumerate(twin.biomarkers)}
    logged = {key: scale == "log" for key, scale in zip(twin.biomarkers, twin.scales, strict=True)}
    rows = [
        _on_model_scale(t, logged[t.biomarker], person.values[t.biomarker])
        for terms in scenarios
        for t in terms
    ]
    means, variances = moments(rows) if rows else ([], [])
    numbers = iter(zip(means, variances, strict=True))
    found: list[Shift] = []
    for terms, grid in zip(scenarios, times, strict=True):
        if not terms:
            found.append(None)
            continue
        shift = np.zeros((len(grid), len(twin.biomarkers)))
        spread = np.zeros_like(shift)
        own = [(term, *next(numbers)) for term in terms]
        for term, mean, variance in sorted(own, key=lambda x: places[x[0].biomarker]):
            i, grown = places[term.biomarker], _growth(float(grid[-1]), term.delay, term.tau)
            shift[:, i] += grown * mean
            spread[:, i] += grown**2 * variance
        found.append((shift, spread))
    return found


@lru_cache(maxsize=4096)
def _growth(horizon: float, delay: float, tau: float) -> Array:
    """Share of the full effect at the edges of the grid, (T,)."""
    return readonly(onset(edges(horizon) - delay, tau))


def _on_model_scale(term: BiomarkerTerm, log: bool, values: Array) -> Array:
    if log:
        return term.change if term.logged else np.log(np.maximum(1.0 + term.change / values, 0.05))
    return values * np.expm1(term.change) if term.logged else term.change


def courses(twin: Twin, natural: tuple[Array, Array], shift: Shift) -> tuple[Array, Array, Array]:
    """Median, low and high (T, n) in canonical units, read-only. natural: mean and variance of the natural course."""
    mean, variance = natural
    if shift is not None:
        mean, variance = mean + shift[0], variance + shift[1]
    half = Z80 * np.sqrt(variance)
    log = np.array([s == "log" for s in twin.scales])
    together = np.stack([mean, mean - half, mean + half])
    together = np.where(log, np.exp(np.where(log, together, 0.0)), together)
    together.setflags(write=False)
    return together[0], together[1], together[2]


def biomarker_changes(terms: list[BiomarkerTerm], person: Person) -> dict[str, Array]:
    """Biomarker -> its change (D,) a year on, canonical unit, against "continue as now"."""
    found = {}
    for key in dict.fromkeys(t.biomarker for t in terms):
        values = person.values[key]
        at = [(t, _grown(t.delay, t.tau)) for t in terms if t.biomarker == key]
        logged = [t.change * g for t, g in at if t.logged]
        factor: Array | float = np.exp(sum(logged[1:], logged[0])) if logged else 1.0
        found[key] = values * factor - values + sum(t.change * g for t, g in at if not t.logged)
    return found


@lru_cache(maxsize=4096)
def _grown(delay: float, tau: float) -> float:
    """Share of the full effect at CHANGE_AT."""
    return float(onset(np.array(CHANGE_AT - delay), tau))

"""The averaged mixture of all scenarios against the ratio over time of one scenario, worked out draw x time."""

from __future__ import annotations

import numpy as np
import pytest

from fhir_twin.dynamics.effects import onset
from fhir_twin.dynamics.hazards import time_weights
from fhir_twin.model.twin import Array
from fhir_twin.simulation.baseline import Baseline
from fhir_twin.simulation.grid import edges, midpoints
from fhir_twin.simulation.mixture import PARTS, WHOLE, averages, shares_of
from fhir_twin.simulation.responses import EventTerm

DRAWS = 200
GROWTH = {
    "cvd": 0.06,
    "ascvd": 0.055,
    "mi": 0.05,
    "stroke": 0.08,
    "heart-failure": 0.09,
    "kidney-failure": 0.0,
}


def _base(rng: np.random.Generator, outcomes: tuple[str, ...]) -> dict[str, Baseline]:
    return {
        o: Baseline(
            o, 5.0 if o == "kidney-failure" else 10.0, rng.uniform(0.01, 0.2, DRAWS), GROWTH[o], o, ()
        )
        for o in outcomes
    }


def _terms(rng: np.random.Generator, spec: tuple[tuple[str, str], ...]) -> list[EventTerm]:
    found = []
    for drug, outcome in spec:
        tau, delay, boost = rng.choice([0.0, 0.5, 1.5]), rng.choice([0.0, 0.0, 2.0]), rng.uniform(1.0, 1.4)
        found.append(
            EventTerm(outcome, drug, rng.normal(-0.25, 0.1, DRAWS), float(tau), float(delay), float(boost))
        )
    return found


def _reference(
    outcome: str, base: dict[str, Baseline], terms: list[EventTerm], middle: Array, done: frozenset[str]
) -> Array:
    """Ratio (D, T), straight from its definition (the rule of `mixture`, worked out at every time)."""
    direct = [t for t in terms if t.outcome == outcome and t.intervention not in done]
    own = {t.intervention for t in direct}
    direct += [t for t in terms if t.outcome == WHOLE.get(outcome) and t.intervention not in own | done]
    total = np.ones((DRAWS, len(middle)))
    for t in direct:
        total = total * np.exp(t.log_ratio[:, None] * t.boost * onset(middle - t.delay, t.tau))
    parts = PARTS.get(outcome, ())
    if not parts or any(p not in base for p in parts):
        return total
    hazard = sum(base[p].hazard for p in parts)
    mixture = sum(
        (base[p].hazard / hazard)[:, None] * _reference(p, base, terms, middle, done | own) for p in parts
    )
    return np.asarray(mixture * total)


ALL = ("cvd", "ascvd", "mi", "stroke", "heart-failure", "kidney-failure")
SPECS = (
    (("a", "mi"), ("a", "stroke")),
    (("a", "ascvd"),),
    (("a", "cvd"), ("a", "mi")),
    (("a", "heart-failure"), ("b", "ascvd"), ("b", "stroke")),
    (("a", "mi"), ("b", "mi"), ("b", "cvd"), ("c", "stroke"), ("c", "kidney-failure")),
    (("a", "kidney-failure"),),
    (),
)


@pytest.mark.parametrize(
    "outcomes", [ALL, ("ascvd", "mi"), ("mi", "stroke"), ("cvd", "ascvd", "heart-failure")]
)
@pytest.mark.parametrize("seed", range(4))
def test_averages_are_those_of_the_ratio_over_time(outcomes: tuple[str, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = _base(rng, outcomes)
    terms = [_terms(rng, spec) for spec in SPECS]
    shares = shares_of(base)
    found = averages([(shares, t) for t in terms], DRAWS)
    for own, ratios in zip(terms, found, strict=True):
        for outcome, item in base.items():
            times = edges(item.horizon)
            over_time = _reference(outcome, base, own, midpoints(times), frozenset())
            expected = over_time @ time_weights(times, item.growth)
            if outcome in ratios:
                np.testing.assert_allclose(ratios[outcome], expected, rtol=1e-12)
            else:
                np.testing.assert_allclose(expected, 1.0, rtol=1e-12)


def test_scenarios_do_not_know_each_other() -> None:
    rng = np.random.default_rng(5)
    base = _base(rng, ALL)
    terms = [_terms(rng, spec) for spec in SPECS]
    shares = shares_of(base)
    together = averages([(shares, t) for t in terms], DRAWS)
    for own, ratios in zip(terms, together, strict=True):
        (alone,) = averages([(shares, own)], DRAWS)
        assert alone.keys() == ratios.keys()
        assert all(np.array_equal(values, ratios[outcome]) for outcome, values in alone.items())


def test_what_no_term_speaks_of_is_left_out() -> None:
    rng = np.random.default_rng(6)
    base = _base(rng, ALL)
    (found,) = averages([(shares_of(base), _terms(rng, (("a", "kidney-failure"),)))], DRAWS)
    assert set(found) == {"kidney-failure"}

"""Kalman filter for many people at once: irregular visits, any missing pattern, scalar updates in sequence.

Small batches run in numpy (`block`), large ones as machine code (`batch`, `compiled`); both give the same to 1e-12.

    predict   m = F m,  P = F P F' + Q          (F diagonal, see state_space)
    update    z = y - h'm,  S = h'Ph + R/w,  K = Ph/S
              m = m + K z,  P = P - K (Ph)'

Visit noises of one visit are independent, so updating one biomarker after the other is exact for every
missing pattern: a NaN is simply not updated.
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics import batch
from fhir_twin.dynamics.beliefs import Belief, Filtered, Loading, Robust, Trace, Visits
from fhir_twin.dynamics.block import Block
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.errors import InvalidInput
from fhir_twin.model.twin import Array

__all__ = ["Belief", "Filtered", "Loading", "Robust", "Trace", "Visits", "kalman_filter"]

BLOCK = 3072


def kalman_filter(
    start: Belief,
    dynamics: Dynamics,
    design: Array,
    visits: Visits,
    *,
    robust: Robust | None = None,
    trace: bool = False,
) -> Filtered:
    """Assimilate all visits of all people. design (k, m): constant loadings; `visits.loadings` are added to it.

    Returns the belief at each person's last visit, the log likelihood (P,) of the exact values, and with
    `trace=True` what each value did. A person's answer does not depend on who else is in the batch. Raises InvalidInput
    for shapes that do not go together."""
    _check(start, dynamics, design, visits)
    people = start.mean.shape[0]
    if batch.is_large(start, visits) and not trace:
        done = batch.run_many(start, dynamics, design, visits, robust)
        if done is not None:
            return done
    parts = [
        Block(start, dynamics, design, visits, robust, trace, slice(i, min(i + BLOCK, people))).run()
        for i in range(0, max(people, 1), BLOCK)
    ]
    belief = Belief(
        np.concatenate([p.belief.mean for p in parts]),
        np.concatenate([p.belief.covariance for p in parts]),
        np.concatenate([p.belief.time for p in parts]),
        np.concatenate([p.belief.seen for p in parts]),
        np.concatenate([p.belief.doubt for p in parts if p.belief.doubt is not None]),
    )
    traces = [p.trace for p in parts if p.trace is not None]
    joined = (
        Trace(*(np.concatenate([getattr(t, n) for t in traces]) for n in Trace.__slots__)) if traces else None
    )
    log_likelihood, squares = (
        np.concatenate([getattr(p, n) for p in parts]) for n in ("log_likelihood", "squares")
    )
    return Filtered(belief, log_likelihood, squares, joined)


def _check(start: Belief, dynamics: Dynamics, design: Array, visits: Visits) -> None:
    (people, m), (k, columns), times = start.mean.shape, design.shape, visits.times.shape
    fits = {
        "start: covariance (P, m, m)": start.covariance.shape == (people, m, m),
        "start: time (P,)": start.time.shape == (people,),
        "start: seen (P, k)": start.seen.shape == (people, k),
        "dynamics: m states": dynamics.stationary.shape == (m, m),
        "design: (k, m)": columns == m,
        "visits: times (P, V)": len(times) == 2 and times[0] == people,
        "visits: values (P, V, k)": visits.values.shape == (*times, k),
        "visits: loadings (P, V)": all(x.values.shape == times for x in visits.loadings),
    }
    for words, right in fits.items():
        if not right:
            raise InvalidInput(f"{words}: another shape, of {people} people, {m} states and {k} biomarkers")

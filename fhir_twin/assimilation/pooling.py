"""Readings of one visit -> one value: y_j = u + v + e_j with v shared by all and e_j each assay's own.

What the readings say of u + v is their mean weighted by 1 / var(e_j), with variance var(v) + 1 / sum(1 / var(e_j)); it
is sufficient, so one scalar update with it is the exact update with all of them and their common noise. Readings of one
assay have one e (see prior.noise_parts). Where the usual assay has no error of its own beyond the visit's, another
assay's value of the same visit adds nothing to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fhir_twin.dynamics.prior import noise_parts
from fhir_twin.model.biomarker import BiomarkerModel
from fhir_twin.model.twin import Point


def pool(
    points: Sequence[Point], model: BiomarkerModel, age: float | None
) -> tuple[float, float, tuple[float, ...]]:
    """Value and variance (model scale) of the readings of one visit in one setting, and each one's share in the value
    (they sum to 1). The assays' mean differences to the usual one are out of the value."""
    assays = sorted({p.assay for p in points})
    found = [_of_assay(a, [p for p in points if p.assay == a], model, age) for a in assays]
    exact = [not own for _, _, own, _ in found]
    raw = [float(e) for e in exact] if any(exact) else [1.0 / own for _, _, own, _ in found]
    total = math.fsum(raw)
    weights = {a: w / total for a, w in zip(assays, raw, strict=True)}
    value = math.fsum(w * y for w, (y, _, _, _) in zip(weights.values(), found, strict=True))
    own = 0.0 if any(exact) else 1.0 / total
    readings = {a: n for a, (_, _, _, n) in zip(assays, found, strict=True)}
    shares = tuple(weights[p.assay] * p.readings / readings[p.assay] for p in points)
    return value, found[0][1] + own, shares


def _of_assay(
    assay: str, points: Sequence[Point], model: BiomarkerModel, age: float | None
) -> tuple[float, float, float, int]:
    """Mean (weighted by readings), shared variance, own variance and number of readings of one assay."""
    readings = sum(p.readings for p in points)
    mean = math.fsum(math.log(p.value) * p.readings for p in points) / readings
    value = mean - model.assay(assay).bias
    shared, own = noise_parts(model, points[0].setting, readings, age, assay, math.exp(value))
    return value, shared, own, readings

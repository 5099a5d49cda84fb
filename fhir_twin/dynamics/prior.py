"""What we expect of a person before any value: by sex, age and condition group.

Unknown sex or age is not assumed: the prior is then the mixture over what it could be (mean of means; the
widest spread within plus the spread between). The prior is that of the *population*, not of treated or diagnosed
people, unless a row names the group: readings that led to a diagnosis or a drug are in the data too, and a prior that
already knew of them would count them twice (regression to the mean would then be booked as drug effect).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from fhir_twin.dynamics.layout import Layout
from fhir_twin.model.biomarker import BiomarkerModel, BiomarkerSet, PriorRow, SlopeRegime
from fhir_twin.model.twin import Array, Profile

ADULT = 18.0


def prior_belief(
    known: BiomarkerSet, layout: Layout, profile: Profile, age: float | None
) -> tuple[Array, Array]:
    """Mean (m,) and covariance (m, m) of the state at the reference time; slopes and responses are left at zero
    (they come with their regime and with the drug's start). age: years at the reference time."""
    n, m = layout.design.shape
    mean, covariance = np.zeros(m), layout.dynamics.stationary.copy()
    sd = np.empty(n)
    for i, model in enumerate(known.models):
        mean[i], sd[i] = level_prior(model, profile, age)
    covariance[:n, :n] = known.level_correlation * sd[:, None] * sd[None, :]
    for row, column in layout.offsets:
        offset = known.models[row].offset
        covariance[column, column] = 0.0 if offset is None else offset.sd**2
    return mean, covariance


def level_prior(model: BiomarkerModel, profile: Profile, age: float | None) -> tuple[float, float]:
    """Mean and SD of the personal level (model scale)."""
    groups = _groups(profile)
    rows = [r for r in model.priors if r.group and r.group in groups][-1:]
    rows = rows or [r for r in model.priors if not r.group]
    if profile.sex is not None:
        rows = [r for r in rows if r.sex in ("", profile.sex)] or rows
    if age is not None:
        inside = max(age, ADULT)
        rows = [r for r in rows if r.age_low <= inside < r.age_high] or rows
    return _mixture(rows)


def _groups(profile: Profile) -> frozenset[str]:
    """Groups that hold or held; any kind of diabetes is diabetes."""
    return profile.groups | profile.ever | (frozenset({"diabetes"}) if profile.diabetes else frozenset())


def _mixture(rows: list[PriorRow]) -> tuple[float, float]:
    if len(rows) == 1:
        return rows[0].mean, sqrt(rows[0].sd ** 2)
    means = np.array([r.mean for r in rows])
    variances = np.array([r.sd**2 for r in rows])
    return float(means.mean()), float(np.sqrt(variances.max() + means.var()))


def slope_regimes(model: BiomarkerModel, profile: Profile) -> tuple[SlopeRegime, ...]:
    """The regimes for this person: those of the most specific matching rows (group and sex, then plain)."""
    groups = _groups(profile)
    fitting = [
        r
        for r in model.slopes
        if (not r.group or r.group in groups) and (not r.sex or profile.sex is None or r.sex == profile.sex)
    ]
    special = [r for r in fitting if r.group]
    chosen = special or [r for r in fitting if not r.group]
    total = sum(r.share for r in chosen)
    return tuple(SlopeRegime(r.name, r.share / total, r.mean, r.sd, r.sex, r.group) for r in chosen)


def visit_variance(
    model: BiomarkerModel,
    setting: str,
    readings: int,
    age: float | None,
    assay: str = "",
    value: float | None = None,
) -> float:
    """R of one visit (model scale): what its readings share and what is each reading's own. value: canonical units,
    needed only by an assay whose error is known in those (None: as at the assay's relative error)."""
    shared, own = noise_parts(model, setting, readings, age, assay, value)
    return shared + own


def noise_parts(
    model: BiomarkerModel,
    setting: str,
    readings: int,
    age: float | None,
    assay: str = "",
    value: float | None = None,
) -> tuple[float, float]:
    """Variances (model scale): of the visit, which all its readings share, and of these readings themselves.

    The error of an assay does not fall with the number of readings: the calibration, the strip lot and the cuff are
    the same in all of them."""
    noise, way = model.noise, model.assay(assay)
    factor = noise.settings.get(setting, 1.0) * way.factor
    if age is not None and noise.ages:
        factor *= next((f for start, f in reversed(noise.ages) if age >= start), noise.ages[0][1])
    own = way.cv if value is None else way.error(value)
    return noise.visit**2 * factor**2, noise.reading**2 / readings * factor**2 + own**2


def ageing_rates(models: Sequence[BiomarkerModel], sex: str | None) -> Array:
    """Known change per year (model scale), (n,): that of the sex, the mean of both when it is unknown."""
    rates = []
    for model in models:
        known = model.ageing
        rates.append(known.get(sex, 0.0) if sex else sum(known.values()) / max(len(known), 1))
    return np.array(rates)

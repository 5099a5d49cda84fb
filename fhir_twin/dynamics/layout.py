"""Which state stands where: levels, fluctuations, slopes, responses, for one set of models and treatment terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fhir_twin.dynamics.state_space import Dynamics, exposure
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.memo import ById
from fhir_twin.model.twin import Array, TreatmentTerm, readonly


@dataclass(frozen=True, slots=True, repr=False)
class Layout:
    """names (m,) of the states; dynamics; design (n, m): constant loadings; slope: (biomarker row, state column) of
    each slope; offsets: (biomarker row, state column) of each personal difference between home and office, seen only by
    values from outside the office; terms: (biomarker row, state column, term)."""

    names: tuple[str, ...]
    dynamics: Dynamics
    design: Array
    fluctuations: tuple[tuple[int, int], ...]
    slopes: tuple[tuple[int, int], ...]
    terms: tuple[tuple[int, int, TreatmentTerm], ...]
    offsets: tuple[tuple[int, int], ...] = ()

    def loadings(self, times: Array, reference: float, away: Sequence[int] = ()) -> Array:
        """H (T, n, m) of the usual value at times (T,) (years since 2000): constant part, slopes, exposures.

        away (n,): how many values from outside the office there are. Once there are some, the usual value is the
        office-equivalent of those (guidelines trust them more: a white coat is no hypertension, a masked one is)."""
        load = np.broadcast_to(self.design, (len(times), *self.design.shape)).copy()
        for row, column in self.slopes:
            load[:, row, column] = times - reference
        for row, column, term in self.terms:
            load[:, row, column] = term_exposure(term, times)
        for row, column in self.offsets:
            load[:, row, column] = 1.0 if away and away[row] else 0.0
        return load


def term_exposure(term: TreatmentTerm, times: Array) -> Array:
    """0..1 at times (T,): rises after the start, falls after the end, with the same time constant."""
    on = exposure(times - term.start, term.onset) if np.isfinite(term.start) else np.ones_like(times)
    if not np.isfinite(term.end):
        return on
    at_end = exposure(np.array([term.end - term.start]), term.onset)[0] if np.isfinite(term.start) else 1.0
    off = at_end * (1.0 - exposure(times - term.end, term.onset))
    return np.where(times <= term.end, on, off)


def build_layout(known: BiomarkerSet, terms: tuple[TreatmentTerm, ...] = ()) -> Layout:
    """States in the order: levels (n), fluctuations, slopes, offsets, responses."""
    key = ById(known)
    return _with_terms(key, terms) if terms else _cached(key)


@lru_cache(maxsize=256)
def _with_terms(key: ById[BiomarkerSet], terms: tuple[TreatmentTerm, ...]) -> Layout:
    known, base = key.value, _cached(key)
    m = base.design.shape[1]
    keys = known.keys
    kept = [t for t in terms if t.biomarker in keys]
    names = base.names + tuple(f"{t.biomarker}:{t.drug_class}" for t in kept)
    pad = len(kept)
    dynamics = Dynamics(
        np.pad(base.dynamics.rate, (0, pad)),
        np.pad(base.dynamics.stationary, (0, pad)),
        np.pad(base.dynamics.walk, (0, pad)),
    )
    placed = tuple((keys.index(t.biomarker), m + i, t) for i, t in enumerate(kept))
    design = np.pad(base.design, ((0, 0), (0, pad)))
    return Layout(names, dynamics, readonly(design), base.fluctuations, base.slopes, placed, base.offsets)


@lru_cache(maxsize=8)
def _cached(key: ById[BiomarkerSet]) -> Layout:
    models = key.value.models
    n = len(models)
    moving = [i for i, m in enumerate(models) if m.fluctuation_sd > 0]
    sloped = [i for i, m in enumerate(models) if m.slopes]
    away = [i for i, m in enumerate(models) if m.offset is not None]
    m = n + len(moving) + len(sloped) + len(away)
    names = [f"{x.key}:level" for x in models]
    names += [f"{models[i].key}:fluctuation" for i in moving]
    names += [f"{models[i].key}:slope" for i in sloped]
    names += [f"{models[i].key}:out-of-office" for i in away]
    rate, walk, stationary = np.zeros(m), np.zeros(m), np.zeros((m, m))
    walk[:n] = [x.walk**2 for x in models]
    design = np.zeros((n, m))
    design[:, :n] = np.eye(n)
    sd = np.array([models[i].fluctuation_sd for i in moving])
    stop = n + len(moving)
    correlation = key.value.fluctuation_correlation[np.ix_(moving, moving)]
    stationary[n:stop, n:stop] = correlation * sd[:, None] * sd[None, :]
    rate[n:stop] = [1.0 / models[i].fluctuation_tau for i in moving]
    design[moving, np.arange(n, stop)] = 1.0
    return Layout(
        tuple(names),
        Dynamics(readonly(rate), readonly(stationary), readonly(walk)),
        readonly(design),
        tuple((row, n + i) for i, row in enumerate(moving)),
        tuple((row, stop + i) for i, row in enumerate(sloped)),
        (),
        tuple((row, stop + len(sloped) + i) for i, row in enumerate(away)),
    )

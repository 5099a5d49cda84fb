"""The Twin: the patient-specific state, how sure it is, and what each source contributed.

Arrays are read-only numpy; n = number of biomarkers, m = length of the state vector. `mean`/`covariance` are
the *current value* of each biomarker on its model scale (natural log or linear, see `scales`); use
`estimate(key)` for numbers in canonical units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fhir_twin.errors import Issue
from fhir_twin.model.memo import HIDDEN

Array = NDArray[np.float64]
Scale = Literal["log", "linear"]
Z80 = 1.2815515655446004


def readonly(array: Array) -> Array:
    """A float64 copy that refuses writes."""
    copy = np.array(array, dtype=np.float64)
    copy.setflags(write=False)
    return copy


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """What equations and rules need besides biomarkers. None = not known (never assumed).

    age in years at `as_of`; smoker: current smoker; treated_*: on such a drug now; cvd: known cardiovascular
    disease; groups: condition groups that hold now; ever: groups that hold or held; classes: current drug
    classes and ingredients; sources: fact -> the resource that says so."""

    age: float | None
    sex: Literal["female", "male"] | None
    smoker: bool | None
    smoking: str
    diabetes: bool
    treated_bp: bool
    statin: bool
    cvd: bool
    pregnant: bool | None
    groups: frozenset[str]
    ever: frozenset[str]
    classes: frozenset[str]
    deceased: bool = False
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Point:
    """One value offered to the twin, in canonical unit, and what became of it.

    used False -> `reason` says why ("unknown-unit", "implausible", "duplicate", "not-final", ...).
    weight: 1.0 normal, < 1 when the outlier gate turned it down. gain: share of the state's move that this
    value caused, 0..1. shift: how far the estimate of this biomarker moved, canonical unit. bound: set for
    censored values. readings: averaged in the source. reported: value and unit as written ("54 mmol/mol").
    assay: the way of measuring, where the record names one ("" the usual one)."""

    biomarker: str
    source: str
    time: datetime | None
    value: float
    unit: str
    bound: Literal["<", "<=", ">=", ">"] | None = None
    setting: str = "unknown"
    used: bool = True
    reason: str = ""
    weight: float = 1.0
    gain: float = 0.0
    shift: float = 0.0
    flags: tuple[str, ...] = ()
    readings: int = 1
    reported: str = ""
    assay: str = ""

    def caused(self, gain: float, shift: float, weight: float) -> Point:
        """The same point with what it did to the estimate (as `replace`, which takes its time over each field)."""
        return Point(
            *(
                self.biomarker,
                self.source,
                self.time,
                self.value,
                self.unit,
                self.bound,
                self.setting,
                self.used,
            ),
            *(self.reason, weight, gain, shift, self.flags, self.readings, self.reported, self.assay),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 80 % interval, canonical unit. basis: "personal" (observed) or "population" (prior only)."""

    biomarker: str
    unit: str
    mean: float
    low: float
    high: float
    basis: Literal["personal", "population"]
    observations: int
    last: datetime | None


@dataclass(frozen=True, slots=True)
class TreatmentTerm:
    """A drug class that started (or stopped) while the person was under observation: its own response state.
    start, end: years since 2000-01-01 UTC (end = inf while it goes on). baseline: the estimate when it started,
    canonical unit; trial: the trial's mean at this dose; mean, spread: the prior of this person's response, once the
    drug has started adapted to the level it started from (model scale)."""

    biomarker: str
    drug_class: str
    start: float
    end: float
    onset: float
    mean: float
    spread: float
    sources: tuple[str, ...] = ()
    trial: float = 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Memory:
    """What the filter needs to go on from here in O(1): one belief per slope regime, as of the last visit.

    log_weights (c,): log share + log likelihood of each regime; mean (c, m); covariance (c, m, m); time: years
    since 2000-01-01 UTC of the last visit; seen (n,): values assimilated; reference: time at which ageing and
    slopes are zero; doubt (c, n): side of a last value that was gated, 0 none; squares (c, n): squared standardised
    forecast errors so far (the person's own spread, see dynamics.intervals); away (n,): values from outside the
    office so far; day:
    ordinal UTC day of the last visit (a later day can be appended, anything else is replayed)."""

    log_weights: Array
    mean: Array
    covariance: Array
    time: float
    seen: tuple[int, ...]
    reference: float
    day: int
    terms: tuple[TreatmentTerm, ...] = ()
    doubt: Array | None = None
    squares: Array | None = None
    away: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Twin:
    """mean (n,), covariance (n, n): current usual values of `biomarkers` on the model scale. state (m,),
    state_covariance (m, m), state_names (m,): levels, fluctuations, eGFR slope, drug responses. points: in order of
    time. refused: why no plan may rest on it, "" if one may. responses: (biomarker, drug class, mean, SD) of the
    personal response, model scale (log ratio). memory, terms: where the filter goes on. model_version: digest of the
    biomarker knowledge."""

    subject: str
    as_of: datetime
    profile: Profile
    biomarkers: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[Scale, ...]
    mean: Array
    covariance: Array
    state: Array
    state_covariance: Array
    state_names: tuple[str, ...]
    points: tuple[Point, ...] = ()
    issues: tuple[Issue, ...] = ()
    model_version: str = ""
    refused: str = ""
    responses: tuple[tuple[str, str, float, float], ...] = field(default=())
    memory: Memory | None = None
    terms: tuple[TreatmentTerm, ...] = ()
    _memo: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, metadata=HIDDEN
    )

    def index(self, biomarker: str) -> int:
        """Raises ValueError when the twin does not model `biomarker`."""
        return self.biomarkers.index(biomarker)

    def used(self, biomarker: str) -> tuple[Point, ...]:
        by_name: dict[str, tuple[Point, ...]] | None = self._memo.get("used")
        if by_name is None:
            found: dict[str, list[Point]] = {}
            for point in self.points:
                if point.used:
                    found.setdefault(point.biomarker, []).append(point)
            by_name = self._memo["used"] = {key: tuple(points) for key, points in found.items()}
        return by_name.get(biomarker, ())

    def estimate(self, biomarker: str) -> Estimate:
        """Current value, canonical unit: median on a log scale, mean on a linear one, with its 80 % interval."""
        known: dict[str, Estimate] = self._memo.setdefault("estimates", {})
        if biomarker not in known:
            known[biomarker] = self._estimate(biomarker)
        return known[biomarker]

    def _estimate(self, biomarker: str) -> Estimate:
        i = self.index(biomarker)
        half = Z80 * float(np.sqrt(self.covariance[i, i]))
        centre = float(self.mean[i])
        values = (centre, centre - half, centre + half)
        if self.scales[i] == "log":
            values = tuple(float(np.exp(v)) for v in values)  # type: ignore[assignment]
        seen = self.used(biomarker)
        last = max((p.time for p in seen if p.time), default=None)
        return Estimate(
            biomarker, self.units[i], *values, "personal" if seen else "population", len(seen), last
        )

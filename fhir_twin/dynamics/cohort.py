"""The people of a batch: covariates as the caller gives them, and the visit noise that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fhir_twin.dynamics.prior import visit_variance
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Array, Profile

SEXES: dict[str, Literal["female", "male"]] = {"female": "female", "male": "male", "f": "female", "m": "male"}
SETTINGS = ("office", "home", "ambulatory", "inpatient", "community", "unknown")


@dataclass(frozen=True, slots=True, repr=False)
class People:
    """One row per person: age at time zero (NaN unknown), profile, setting, readings per visit. assays: biomarker ->
    key of the assay of each value (anything that broadcasts to people, visits)."""

    age: Array
    profiles: tuple[Profile, ...]
    setting: tuple[str, ...]
    readings: int
    assays: Mapping[str, Any] = field(default_factory=dict)


def read_people(covariates: Mapping[str, Any], count: int) -> People:
    """The people of `forecast.forecast`'s covariates; None is as if not given. Raises InvalidInput naming the one that
    cannot be read."""

    def column(name: str, missing: Any) -> list[Any]:
        given = covariates.get(name)
        given = missing if given is None else given
        if _single(given):
            return [given] * count
        if len(given) != count:
            raise InvalidInput(f"covariates: {name} must have one entry per person")
        return list(given)

    ages = np.array(
        [np.nan if a is None else number(a, "covariates: age in years") for a in column("age", np.nan)],
        dtype=np.float64,
    )
    given = covariates.get("groups")
    one_set = isinstance(given, list | tuple) and bool(given) and all(isinstance(g, str) for g in given)
    groups = [frozenset(given)] * count if one_set and given else column("groups", frozenset())
    cache: dict[tuple[Any, ...], Profile] = {}
    profiles = []
    for word, held in zip(column("sex", ""), groups, strict=True):
        key = (sex_of(word), frozenset() if held is None else _one_or_more(held))
        if key not in cache:
            cache[key] = _profile(*key)
        profiles.append(cache[key])
    settings = tuple("unknown" if s is None else str(s) for s in column("setting", "unknown"))
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise InvalidInput(f"covariates: setting {unknown[0]} is none of {', '.join(SETTINGS)}")
    assays = covariates.get("assay")
    if not isinstance(assays, Mapping | None):
        raise InvalidInput("covariates: assay must be {biomarker: key, or one per person or value}")
    return People(ages, tuple(profiles), settings, _readings(covariates.get("readings")), assays or {})


def sex_of(word: Any) -> Literal["female", "male"] | None:
    """None for what is missing or another word. Raises InvalidInput for a number: what it codes is not known."""
    if isinstance(word, int | float | np.integer | np.floating) and not np.isnan(word):
        raise InvalidInput("sex must be female or male, in words")
    return SEXES.get(str(word).strip().lower())


def _single(given: Any) -> bool:
    """One for all people: a word, number or set, not a column."""
    return (
        isinstance(given, str | frozenset | set)
        or not hasattr(given, "__len__")
        or getattr(given, "shape", None) == ()
    )


def _one_or_more(held: Any) -> frozenset[str]:
    return frozenset((held,) if isinstance(held, str) else () if isinstance(held, float) else held)


def number(value: Any, name: str) -> float:
    """Raises InvalidInput naming what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} must be a number") from None


def _readings(given: Any) -> int:
    found = 1.0 if given is None else number(given, "covariates: readings")
    if not (1.0 <= found < np.inf):
        raise InvalidInput("covariates: readings must be one number, at least 1")
    return int(found)


def _profile(known: Literal["female", "male"] | None, groups: frozenset[str]) -> Profile:
    return Profile(
        None, known, None, "unknown", "diabetes" in groups, False, False, False, None, groups, groups,
        frozenset(),
    )  # fmt: skip


def visit_noise(model: BiomarkerSet, people: People, times: Array) -> Array:
    """R (P, V, k). The visit's age decides the age factor; equal people share one computation."""
    ages = people.age[:, None] + np.nan_to_num(times)
    noise = np.empty((*times.shape, len(model.models)))
    settings = np.array(people.setting)
    for i, m in enumerate(model.models):
        edges = [start for start, _ in m.noise.ages]
        band = np.searchsorted(edges, ages, side="right") if edges else np.zeros(ages.shape, dtype=int)
        for setting in sorted(set(people.setting)):
            for b in np.unique(band):
                age = edges[max(b - 1, 0)] if edges else None
                here = (settings == setting)[:, None] & (band == b)
                noise[here, i] = visit_variance(m, setting, people.readings, age)
        if edges:
            unknown = np.isnan(people.age)
            for setting in sorted(set(people.setting)):
                here = unknown & (settings == setting)
                noise[here, :, i] = visit_variance(m, setting, people.readings, None)
    return noise


def assay_effects(model: BiomarkerSet, people: People, values: Array) -> tuple[Array, Array, Array]:
    """What the assay of each value (P, V, k; canonical units) does: factor of the visit variance, variance of its own
    and mean difference to the usual assay (model scale). Raises InvalidInput for an assay or biomarker not known."""
    factor, own, bias = np.ones(values.shape), np.zeros(values.shape), np.zeros(values.shape)
    unknown = set(people.assays) - set(model.keys)
    if unknown:
        raise InvalidInput(f"covariates: assay of {', '.join(sorted(unknown))}: not among the biomarkers")
    for i, m in enumerate(model.models):
        if m.key in people.assays:
            keys = _keys_of(people.assays[m.key], values.shape[:2])
            for key in {k for k in keys.ravel() if k}:
                if key not in m.noise.assays:
                    raise InvalidInput(f"covariates: {m.key} has no assay {key}")
                way, here = m.noise.assays[key], keys == key
                factor[here, i], bias[here, i] = way.factor**2, way.bias
                own[here, i] = [way.error(v * np.exp(-way.bias)) ** 2 for v in values[here, i]]
    return factor, np.nan_to_num(own), bias


def _keys_of(given: Any, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    raw = np.array(given, dtype=object)
    if any(isinstance(key, list | tuple) for key in raw.ravel()):
        raise InvalidInput("covariates: assay must have rows of equal length")
    keys = np.array([key if isinstance(key, str) else "" for key in raw.ravel()], dtype=object).reshape(
        raw.shape
    )
    try:
        return np.broadcast_to(keys[:, None] if keys.ndim == 1 else keys, shape)
    except ValueError:
        raise InvalidInput("covariates: assay must be one key, or one per person or value") from None

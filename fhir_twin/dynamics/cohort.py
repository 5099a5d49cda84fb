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

SEXES: dict[str, Literal["female", "male"]] = {"female": "female", "male": "male"}


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
    def column(name: str, missing: Any) -> list[Any]:
        given = covariates.get(name, missing)
        if isinstance(given, str | float | int | frozenset | set):
            return [given] * count
        if len(given) != count:
            raise InvalidInput(f"covariates: {name} must have one entry per person")
        return list(given)

    ages = np.array([np.nan if a is None else float(a) for a in column("age", float("nan"))])
    sexes, groups = column("sex", "unknown"), column("groups", frozenset())
    cache: dict[tuple[Any, ...], Profile] = {}
    profiles = []
    for sex, held in zip(sexes, groups, strict=True):
        key = (str(sex), frozenset(held))
        if key not in cache:
            cache[key] = _profile(*key)
        profiles.append(cache[key])
    settings = tuple(str(s) for s in column("setting", "unknown"))
    assays = covariates.get("assay", {})
    if not isinstance(assays, Mapping):
        raise InvalidInput("covariates: assay must be {biomarker: key, or one per person or value}")
    return People(ages, tuple(profiles), settings, int(covariates.get("readings", 1)), assays)


def _profile(sex: str, groups: frozenset[str]) -> Profile:
    known = SEXES.get(sex)
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
    keys = np.array([key or "" for key in raw.ravel()], dtype=object).reshape(raw.shape)
    try:
        return np.broadcast_to(keys[:, None] if keys.ndim == 1 else keys, shape)
    except ValueError:
        raise InvalidInput("covariates: assay must be one key, or one per person or value") from None

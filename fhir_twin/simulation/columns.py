"""People as plain columns -> twins, each value known with a stated error; nothing that is not given is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fhir_twin.dynamics.cohort import number, sex_of
from fhir_twin.errors import InvalidInput
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.twin import Point, Twin
from fhir_twin.simulation.reference import AS_OF, plain_profile, plain_twin

FACTS = ("age", "sex", "smoker", "groups", "classes", "pregnant")
SURE = 0.005  # relative standard error of a value given as a plain number


def read_people(people: Mapping[str, Any], known: BiomarkerSet, spread: float = SURE) -> list[Twin]:
    """One twin per person, each value known with relative standard error `spread`. Raises InvalidInput for an unknown
    column, columns of different length or what cannot be read, naming it."""
    if not isinstance(people, Mapping):
        raise InvalidInput("people: must be {name: one value, or one per person}")
    columns = {name: _column(value, name) for name, value in people.items()}
    unknown = [n for n in columns if n not in (*FACTS, "height") and n not in known.keys]
    if unknown:
        raise InvalidInput(f"people: unknown columns {', '.join(sorted(map(str, unknown)))}")
    lengths = {len(c) for c in columns.values() if len(c) != 1}
    if len(lengths) > 1:
        raise InvalidInput("people: columns of different length")
    count = lengths.pop() if lengths else 1
    rows = [
        {name: column[i if len(column) > 1 else 0] for name, column in columns.items()} for i in range(count)
    ]
    return [_twin(row, known, spread) for row in rows]


def _column(value: Any, name: str) -> list[Any]:
    if name in ("groups", "classes"):
        many = isinstance(value, list | tuple | np.ndarray) and not all(isinstance(v, str) for v in value)
        return [_set(v, name) for v in value] if many else [_set(value, name)]
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "shape", None) == ():
        return [value]
    return list(value)


def _set(given: Any, name: str) -> frozenset[str]:
    if _missing(given):
        return frozenset()
    try:
        found = frozenset((given,) if isinstance(given, str) else given)
    except TypeError:
        raise InvalidInput(f"people: {name} must be sets of words") from None
    return found


def _twin(row: Mapping[str, Any], known: BiomarkerSet, spread: float) -> Twin:
    facts = {name: row[name] for name in FACTS if name in row and not _missing(row[name])}
    if "age" in facts:
        facts["age"] = number(facts["age"], "people: age")
    if "sex" in facts:
        facts["sex"] = sex_of(facts["sex"]) or str(
            facts["sex"]
        )  # another word is refused where sex is needed
    for name in ("smoker", "pregnant"):
        if name in facts:
            facts[name] = _truth(facts[name], name)
    values = {k: _positive(v, k) for k, v in row.items() if k in known.keys and not _missing(v)}
    extra = []
    if not _missing(row.get("height")):
        extra.append(Point("height", "Observation/height", AS_OF, _positive(row["height"], "height"), "cm"))
    return plain_twin(known, values, plain_profile(facts), spread=spread, extra=extra)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _positive(value: Any, name: str) -> float:
    found = number(value, f"people: {name}")
    if not 0.0 < found < np.inf:
        raise InvalidInput(f"people: {name}: values must be positive and finite, in canonical units")
    return found


def _truth(value: Any, name: str) -> bool:
    """Words are not read: "no" would be true."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, int | float | np.number) and value in (0, 1)):
        return bool(value)
    raise InvalidInput(f"people: {name} must be true or false")

"""What comes out of our operations, as Parameters."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fhir_twin.errors import NotEnoughData
from fhir_twin.fhir.outcome import to_outcome
from fhir_twin.model.codes import UCUM
from fhir_twin.model.scenario import Trajectory
from fhir_twin.pipeline import Run

Json = dict[str, Any]


def value_part(name: str, kind: str, value: Any) -> Json:
    """A parameter with a primitive or Quantity value."""
    return {"name": name, f"value{kind}": value}


def _decimal(name: str, value: float) -> Json:
    return value_part(name, "Decimal", Decimal(f"{value:.6g}"))


def _quantity(name: str, value: float, unit: str) -> Json:
    number = {"value": Decimal(f"{value:.6g}")}
    return value_part(
        name, "Quantity", {**number, "unit": unit, "system": UCUM, "code": unit} if unit else number
    )


def twin_answer(done: Run, wanted: set[str]) -> Json:
    """The answer of $twin. Raises NotEnoughData when no twin can be made."""
    made = done.twin
    if made.refused:
        raise NotEnoughData(f"no twin can be made of this record: {made.refused}", issues=made.issues)
    parts: list[Json] = [value_part("asOf", "DateTime", made.as_of.isoformat())]
    for key in made.biomarkers:
        if wanted and key not in wanted:
            continue
        e = made.estimate(key)
        rows = [
            value_part("name", "Code", key),
            _quantity("value", e.mean, e.unit),
            _quantity("low", e.low, e.unit),
            _quantity("high", e.high, e.unit),
            value_part("basis", "Code", e.basis),
            value_part("observations", "Integer", e.observations),
        ]
        rows += [value_part("last", "DateTime", e.last.isoformat())] if e.last is not None else []
        parts.append({"name": "biomarker", "part": rows})
    if done.issues:
        parts.append({"name": "outcome", "resource": to_outcome(done.issues)})
    return {"resourceType": "Parameters", "parameter": parts}


def scenario_part(t: Trajectory, done: Run) -> Json:
    """One scenario of $simulate."""
    rows: list[Json] = [value_part("name", "String", t.scenario.name)]
    for r in t.risks:
        rows.append({"name": "risk", "part": [
            value_part("outcome", "Code", r.outcome), _decimal("horizonYears", r.horizon_years),
            _decimal("probability", r.probability), _decimal("low", r.low), _decimal("high", r.high),
            value_part("equation", "String", r.equation),
        ]})  # fmt: skip
    for c in t.changes:
        rows.append({"name": "change", "part": [
            value_part("outcome", "Code", c.outcome), _decimal("horizonYears", c.horizon_years),
            _decimal("difference", c.difference), _decimal("low", c.low), _decimal("high", c.high),
        ]})  # fmt: skip
    rows += _courses(t, done)
    return {"name": "scenario", "part": rows}


def _courses(t: Trajectory, done: Run) -> Iterator[Json]:
    """Biomarkers that were observed: at yearly steps, the last moment included."""
    units = dict(zip(done.twin.biomarkers, done.twin.units, strict=True))
    picked: list[int] = []
    for i, time in enumerate(t.times):
        if not picked or time - t.times[picked[-1]] >= 0.999 or i == len(t.times) - 1:
            picked.append(i)
    for j, key in enumerate(t.biomarkers):
        if key in units and done.twin.used(key):
            points = [
                {"name": "point", "part": [
                    _decimal("years", float(t.times[i])), _quantity("value", float(t.median[i, j]), units[key]),
                    _quantity("low", float(t.low[i, j]), units[key]),
                    _quantity("high", float(t.high[i, j]), units[key]),
                ]}
                for i in picked
            ]  # fmt: skip
            yield {"name": "biomarker", "part": [value_part("name", "Code", key), *points]}

"""The reference simulation: made-up patients with all inputs stated, simulated with today's knowledge.

Their results are kept under version control; a change of any number shows as a difference (Mount Hood practice).
`plain_twin` also serves whoever wants to simulate from plain numbers without a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fhir_twin.dynamics.prior import level_prior
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.model.scenario import CONTINUE, Choice, Scenario, Trajectory
from fhir_twin.model.twin import Point, Profile, Twin, readonly
from fhir_twin.simulation.simulate import simulate
from mappings import Source

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN_DISEASE = frozenset({"ascvd", "heart-failure"})


@dataclass(frozen=True, slots=True)
class ReferencePatient:
    """Made up; `story` in plain words."""

    key: str
    story: str
    twin: Twin


def plain_twin(
    known: BiomarkerSet,
    values: Mapping[str, float],
    profile: Profile,
    *,
    spread: float = 0.03,
    extra: Iterable[Point] = (),
    as_of: datetime = AS_OF,
) -> Twin:
    """A twin from plain numbers (canonical units), each known with relative standard error `spread`.

    What is not in `values` is unknown: its population prior stands, and no equation takes it as an input. Raises
    KeyError for a biomarker that is not modelled."""
    for key in values:
        known.model(key)
    means, variances, points = [], [], list(extra)
    for model in known.models:
        mean, sd = level_prior(model, profile, profile.age)
        if model.key in values:
            value = float(values[model.key])
            mean, sd = (np.log(value), spread) if model.scale == "log" else (value, spread * abs(value))
            points.append(Point(model.key, f"Observation/{model.key}", as_of, value, model.unit))
        means.append(mean)
        variances.append(sd**2)
    return Twin(
        subject="Patient/reference",
        as_of=as_of,
        profile=profile,
        biomarkers=known.keys,
        units=tuple(m.unit for m in known.models),
        scales=tuple(m.scale for m in known.models),
        mean=readonly(np.array(means)),
        covariance=readonly(np.diag(variances)),
        state=readonly(np.zeros(0)),
        state_covariance=readonly(np.zeros((0, 0))),
        state_names=(),
        points=tuple(points),
    )


def plain_profile(table: Mapping[str, Any]) -> Profile:
    """Profile from the keys age, sex, smoker, groups, classes; what follows from them is worked out."""
    groups, classes = frozenset(table.get("groups", ())), frozenset(table.get("classes", ()))
    smoker = table.get("smoker")
    return Profile(
        age=table.get("age"),
        sex=table.get("sex"),
        smoker=smoker,
        smoking="unknown" if smoker is None else ("current" if smoker else "never"),
        diabetes="diabetes" in groups,
        treated_bp="bp-lowering" in classes,
        statin="statin" in classes,
        cvd=bool(KNOWN_DISEASE & groups),
        pregnant=table.get("pregnant"),
        groups=groups,
        ever=groups,
        classes=classes,
    )


def load_reference(source: Source, known: BiomarkerSet) -> tuple[ReferencePatient, ...]:
    """mappings/reference. Raises ValueError or KeyError naming what is wrong."""
    found = []
    for name, table in source.toml("reference"):
        for row in table.get("patient", []):
            if not {"key", "story", "age", "sex", "values"} <= set(row):
                raise ValueError(f"reference/{name}: a patient needs key, story, age, sex, values")
            height = Point("height", "Observation/height", AS_OF, float(row.get("height", 170)), "cm")
            twin = plain_twin(
                known, row["values"], plain_profile(row), spread=row.get("spread", 0.03), extra=(height,)
            )
            found.append(ReferencePatient(row["key"], row["story"], twin))
    return tuple(found)


def options(interventions: Interventions) -> tuple[Scenario, ...]:
    """ "Continue as now" and the start of every intervention that has an effect, whether indicated or not."""
    items = [i for i in interventions.items if i.effects or i.events]
    return (CONTINUE, *(Scenario(i.key, i.title, (Choice(i.key, i.starter),)) for i in items))


def reference_table(
    patients: tuple[ReferencePatient, ...],
    known: BiomarkerSet,
    interventions: Interventions,
    outcomes: Outcomes,
) -> dict[str, Any]:
    """patient -> option -> {risk, change, biomarkers, relative, issues}: plain JSON, five digits after the point."""
    table: dict[str, Any] = {}
    for patient in patients:
        trajectories = simulate(patient.twin, options(interventions), known, interventions, outcomes)
        table[patient.key] = {t.scenario.key: _row(t) for t in trajectories}
    return table


def _row(t: Trajectory) -> dict[str, Any]:
    rows = {
        "risk": {f"{r.outcome} {r.horizon_years:g} y": _round(r.probability, r.low, r.high) for r in t.risks},
        "change": {c.outcome: _round(c.difference, c.low, c.high) for c in t.changes},
        "biomarkers": {key: _round(*numbers, digits=2) for key, *numbers in t.biomarker_changes},
        "relative": {r.outcome: _round(r.ratio, r.low, r.high, digits=3) for r in t.relative},
        "qaly": None if t.qaly is None else _round(*t.qaly, digits=4),
        "issues": [i.diagnostics for i in t.issues],
    }
    return {key: value for key, value in rows.items() if value}


def _round(*numbers: float, digits: int = 5) -> list[float]:
    return [round(float(n), digits) + 0.0 for n in numbers]

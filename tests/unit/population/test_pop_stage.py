"""The batch twin stage is the twin of the pipeline, for what both can see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from fhir_twin.errors import InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import run
from fhir_twin.population.stage import Rows, twin_stage

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
KEYS = ("sbp", "dbp", "ldl", "hdl", "hba1c")
LOINC = {"sbp": "8480-6", "dbp": "8462-4", "ldl": "13457-7", "hdl": "2085-9", "hba1c": "4548-4"}
UNIT = {"sbp": "mm[Hg]", "dbp": "mm[Hg]", "ldl": "mg/dL", "hdl": "mg/dL", "hba1c": "%"}
YEAR = 365.25


def _history(rng: np.random.Generator) -> list[tuple[str, datetime, float]]:
    found = []
    base = {"sbp": 140, "dbp": 85, "ldl": 130, "hdl": 45, "hba1c": 5.9}
    for key in KEYS:
        for day in sorted(rng.choice(np.arange(5, 1500), int(rng.integers(0, 6)), replace=False)):
            when = (NOW - timedelta(days=int(day))).replace(hour=9)
            found.append((key, when, float(round(base[key] * np.exp(0.08 * rng.standard_normal()), 1))))
    return found


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def _bundle(history: list[tuple[str, datetime, float]], born: str, sex: str) -> dict[str, Any]:
    resources: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "p", "birthDate": born, "gender": sex}
    ]
    for n, (key, when, value) in enumerate(history):
        resources.append(
            {
                "resourceType": "Observation", "id": str(n), "status": "final", "effectiveDateTime": when.isoformat(),
                "subject": {"reference": "Patient/p"},
                "code": {"coding": [{"system": "http://loinc.org", "code": LOINC[key]}]},
                "valueQuantity": _quantity(value, UNIT[key]),
            }
        )  # fmt: skip
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def test_it_is_the_twin_of_the_pipeline(knowledge: Knowledge) -> None:
    rng = np.random.default_rng(3)
    people = [(_history(rng), f"{1940 + 3 * i}-04-10", ("female", "male")[i % 2]) for i in range(14)]
    age_now = [(NOW - datetime.fromisoformat(b).replace(tzinfo=UTC)).days / YEAR for _, b, _ in people]
    # time zero of each person is their first value; what matters is time relative to it
    rows, at, ages = [], [], []
    for i, (history, _, _) in enumerate(people):
        first = min((w for _, w, _ in history), default=NOW)
        at.append((NOW - first).total_seconds() / 86400 / YEAR)
        ages.append(age_now[i] - at[-1])
        rows += [
            (i, knowledge.biomarkers.keys.index(k), (w - first).total_seconds() / 86400 / YEAR, v)
            for k, w, v in history
        ]
    person, biomarker, time, value = (np.array(c) for c in zip(*rows, strict=True))
    found = twin_stage(
        Rows(person, biomarker, time.astype(float), value.astype(float)),
        {"age": np.array(ages), "sex": [s for *_, s in people], "setting": "unknown"},
        np.array(at),
        biomarkers=knowledge.biomarkers.keys,
        known=knowledge.biomarkers,
    )
    for i, (history, born, sex) in enumerate(people):
        twin = run(_bundle(history, born, sex), knowledge, NOW, write=False).twin
        for key in KEYS:
            own, j = twin.estimate(key), found.biomarkers.index(key)
            assert found.mean[i, j] == pytest.approx(own.mean, rel=2e-3), key
            assert found.high[i, j] / found.low[i, j] == pytest.approx(own.high / own.low, rel=5e-3)
            assert found.count[i, j] == own.observations


def test_order_of_rows_and_company_do_not_matter(knowledge: Knowledge) -> None:
    rng = np.random.default_rng(5)
    n, people = 4000, 300
    rows = Rows(
        rng.integers(0, people, n),
        rng.integers(0, 2, n),
        rng.uniform(0, 5, n),
        np.exp(4.8 + 0.1 * rng.standard_normal(n)),
    )
    who = {"age": rng.uniform(30, 80, people), "sex": ["female"] * people}
    at = np.full(people, 5.5)
    whole = twin_stage(rows, who, at, biomarkers=("sbp", "ldl"), known=knowledge.biomarkers)
    turned = rng.permutation(n)
    again = twin_stage(
        Rows(*(getattr(rows, f)[turned] for f in Rows.__slots__)),
        who,
        at,
        biomarkers=("sbp", "ldl"),
        known=knowledge.biomarkers,
    )
    assert np.allclose(whole.mean, again.mean, rtol=1e-9)
    one = rows.person == 17
    alone = twin_stage(
        Rows(np.zeros(one.sum(), dtype=int), rows.biomarker[one], rows.time[one], rows.value[one]),
        {"age": who["age"][17:18], "sex": ["female"]}, at[:1], biomarkers=("sbp", "ldl"), known=knowledge.biomarkers,
    )  # fmt: skip
    assert np.allclose(alone.mean[0], whole.mean[17], rtol=1e-6)


def test_nobody_measured_is_the_population_and_bad_rows_are_left_out_or_refused(knowledge: Knowledge) -> None:
    none = Rows(np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0), np.zeros(0))
    found = twin_stage(
        none, {"age": 60.0, "sex": "male"}, np.zeros(2), biomarkers=("sbp",), known=knowledge.biomarkers
    )
    assert found.count.sum() == 0 and 110 < found.mean[0, 0] < 140
    bad = Rows(np.zeros(3, dtype=int), np.zeros(3, dtype=int), np.zeros(3), np.array([np.nan, -4.0, 0.0]))
    same = twin_stage(
        bad, {"age": 60.0, "sex": "male"}, np.zeros(2), biomarkers=("sbp",), known=knowledge.biomarkers
    )
    assert np.allclose(same.mean, found.mean)
    with pytest.raises(InvalidInput, match="after"):
        late = Rows(np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones(1), np.full(1, 120.0))
        twin_stage(late, {"age": 60.0}, np.zeros(1), biomarkers=("sbp",), known=knowledge.biomarkers)

"""The fairness report on made-up results whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from population_cohort import Ran

from fhir_twin.errors import InvalidInput
from fhir_twin.population import tables
from fhir_twin.population.drift import drift, drift_html
from fhir_twin.population.fairness import UNKNOWN, GroupRow, fairness
from fhir_twin.population.fairness_report import fairness_html, fairness_plain
from fhir_twin.population.results import Results

YEARS = 5.0


def _results(folder: Path, people: list[dict[str, Any]]) -> Results:
    """A result folder with these people; risk is the ten-year probability, event within YEARS."""
    rows = tables.empty()
    for i, p in enumerate(people):
        key = f"p{i:05d}"
        rows["patients"].append(
            (
                key,
                "ok",
                "",
                p.get("age", 60.0),
                p.get("sex", "female"),
                p.get("race", ""),
                "",
                "en",
                "",
                "never",
                "",
                1,
                1,
                0,
            )
        )
        rows["risks"].append((key, "cvd", 10.0, p["risk"], 0.0, 1.0, "made up"))
        rows["observed"].append((key, "cvd", bool(p["event"]), p.get("years", YEARS)))
        for z in p.get("z", ()):
            rows["residuals"].append(
                (key, "sbp", z, abs(z) < 1.2816, 60.0, "office", p.get("day", "2025-02-01"))
            )
        if p.get("proposed"):
            told = (0.02, 0.01, 0.03, "cvd", 10.0, 0.02, 0.01, 0.03)
            rows["proposals"].append((key, 1, "statin", "medication", "Statin", *told, "high", "A", "why"))
    for name in tables.TABLES:
        (folder / name).mkdir(parents=True)
        with pq.ParquetWriter(folder / name / "a.parquet", tables.TABLES[name]) as writer:
            writer.write_batch(tables.batch(name, rows[name]))
    (folder / "summary.json").write_text(json.dumps({"digest": "0" * 64}))
    (folder / "manifest.json").write_text(
        json.dumps({"knowledge": "k", "task": {"as_of": "2026-01-01", "index": "2021-01-01"}})
    )
    return Results(folder)


def _people(n: int, seed: int, *, excess: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    """Exponential events at `excess` times the told hazard."""
    rng = np.random.default_rng(seed)
    found = []
    for risk in rng.uniform(0.05, 0.4, n):
        when = rng.standard_exponential() / (-math.log1p(-risk) / 10.0 * excess)
        found.append(
            {
                "risk": float(risk),
                "event": when <= YEARS,
                "years": float(min(when, YEARS)),
                "z": rng.standard_normal(6).tolist(),
                **more,
            }
        )
    return found


def _row(rows: tuple[GroupRow, ...], group: str) -> GroupRow:
    return next(r for r in rows if r.group == group)


def test_right_groups_are_not_flagged_and_a_wrong_one_is(tmp_path: Path) -> None:
    people = _people(4000, 1, race="A") + _people(1500, 2, race="B", excess=2.0)
    found = fairness(_results(tmp_path / "r", people))
    assert _row(found.rows, "A").calibration.low < 1.0 < _row(found.rows, "A").calibration.high
    b = _row(found.rows, "B")
    assert (
        b.calibration.value == pytest.approx(2.0, abs=0.25) and "calibration: higher than in all" in b.flags
    )
    assert _row(found.rows, "all").coverage.value == pytest.approx(0.8, abs=0.01)
    assert 0.6 < _row(found.rows, "all").discrimination.value < 0.8


def test_coverage_outside_76_to_84_is_an_alarm(tmp_path: Path) -> None:
    people = _people(300, 3, sex="female") + _people(300, 4, sex="male")
    for p in people[300:]:
        p["z"] = [2.0 * z for z in p["z"]]
    found = fairness(_results(tmp_path / "r", people))
    assert "coverage: outside 76-84 %" in _row(found.rows, "male").flags
    assert "coverage: outside 76-84 %" not in _row(found.rows, "female").flags


def test_unknown_is_a_group_and_small_cells_are_suppressed_with_a_second_one(tmp_path: Path) -> None:
    people = _people(400, 5, race="A") + _people(60, 6, race="B") + _people(4, 7, race="C") + _people(100, 8)
    results = _results(tmp_path / "r", people)
    found = fairness(results)
    races = {r.group: r for r in found.rows if r.dimension == "race"}
    assert races[UNKNOWN].people == 100 and not races[UNKNOWN].suppressed
    assert races["C"].suppressed and races["B"].suppressed, "one suppressed cell alone follows from the total"
    assert races["C"].people == 0 and math.isnan(races["C"].calibration.value)
    told = json.dumps(fairness_plain(found))
    assert '"people": 4,' not in told and '"people": 60' not in told
    html = fairness_html(found, results)
    assert "suppressed" in html and "<script" not in html and "http" not in html.replace("http-equiv", "")


def test_few_events_are_not_told(tmp_path: Path) -> None:
    people = [{"risk": 0.01, "event": i < 3, "years": YEARS} for i in range(200)]
    found = fairness(_results(tmp_path / "r", people))
    assert found.rows[0].events == -1 and math.isnan(found.rows[0].calibration.value)
    with pytest.raises(InvalidInput):
        fairness(_results(tmp_path / "s", people), least=2)


def test_the_whole_report_on_a_real_run(ran: Ran) -> None:
    found = fairness(ran.results, least=5)
    assert found.outcome == "cvd" and found.rows[0].people == ran.summary.states["ok"]
    assert fairness_html(found, ran.results).startswith("<!doctype html>")


def test_drift_alarms_when_an_assay_moves_and_not_before(tmp_path: Path) -> None:
    calm = _people(300, 9, day="2025-02-01") + _people(300, 10, day="2025-05-01")
    results = _results(tmp_path / "r", calm)
    assert not [a for a in drift(results).alarms if "Q" in a]
    moved = _people(300, 9, day="2025-02-01") + _people(300, 10, day="2025-05-01")
    for p in moved[300:]:
        p["z"] = [z + 0.8 for z in p["z"]]
    results = _results(tmp_path / "s", moved)
    found = drift(results)
    assert any("2025 Q2" in a and "assay" in a for a in found.alarms)
    assert not any("2025 Q1" in a for a in found.alarms)
    assert "2025 Q2" in drift_html(found, results)


def test_drift_tells_the_recalibration_of_events(tmp_path: Path) -> None:
    found = drift(_results(tmp_path / "r", _people(4000, 12, excess=1.5)))
    assert found.recalibration == pytest.approx(math.log(1.5), abs=0.08)
    assert any(a.startswith("cvd:") for a in found.alarms)
    assert sum(y.events for y in found.years) > 100

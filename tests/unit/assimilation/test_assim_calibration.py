"""fhir-twin calibrate's core: a site's residuals become tables that mend its intervals."""

from __future__ import annotations

import random
import tomllib
from datetime import date, timedelta
from math import exp

import pytest
from assim_charts import at, chart, measured

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.assimilation.calibration import calibrate_site, residuals
from fhir_twin.dynamics.intervals import GRID
from mappings import Source

KNOWN = load_biomarkers(Source())


def site(count: int, noise: float, seed: int = 1):
    """Patients whose SBP readings have `noise` (log SD) around their own level."""
    rng = random.Random(seed)
    for i in range(count):
        level = rng.gauss(4.85, 0.1)
        born = date(rng.choice([1945, 1965, 1985]), 6, 1)
        readings = [round(exp(rng.gauss(level, noise))) for _ in range(8)]
        values = [
            measured(f"{i}-{v}", "8480-6", r, "mm[Hg]", at(2020) + timedelta(days=100 * v), setting="office")
            for v, r in enumerate(readings)
        ]
        yield chart(*values, born=born, sex=rng.choice(["female", "male"]))


def test_a_noisy_site_rings_the_alarm_and_its_own_table_stills_it(tmp_path) -> None:
    before = calibrate_site(site(300, 0.15), KNOWN)
    assert before.covered["sbp"]["all"][0] < 0.7
    assert ("sbp", "all") in before.alarms and ("sbp", "female") in before.alarms
    (tmp_path / "biomarkers").mkdir()
    (tmp_path / "biomarkers" / "calibration.toml").write_text(before.toml(), "utf-8")
    mended = load_biomarkers(Source(overlay=tmp_path))
    after = calibrate_site(site(300, 0.15, seed=2), mended)
    assert after.covered["sbp"]["all"][0] == pytest.approx(0.8, abs=0.03)
    assert not after.alarms
    assert mended.version != KNOWN.version


def test_tables_need_enough_values_and_are_repeatable() -> None:
    small = calibrate_site(site(5, 0.07), KNOWN)
    assert not small.tables and small.covered["sbp"]["all"][1] == 35
    assert not small.alarms  # a handful of values rings no bell
    one, two = (calibrate_site(site(120, 0.07), KNOWN) for _ in range(2))
    assert one.toml() == two.toml()
    rows = tomllib.loads(one.toml())["table"]
    assert all(len(r["scores"]) == len(GRID) and r["scores"] == sorted(r["scores"]) for r in rows)


def test_first_values_and_minors_are_no_tests_of_a_forecast() -> None:
    first = chart(measured("a", "8480-6", 130, "mm[Hg]", at(2024)))
    child = chart(
        *(measured(f"c{m}", "8480-6", 100, "mm[Hg]", at(2024, m)) for m in (1, 5)), born=date(2015, 1, 1)
    )
    assert len(residuals([first, child], KNOWN).z) == 0

"""How a value was measured is said where it is shown: in its row, on the chart's mark and in the waterfall."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fhir_twin.knowledge import load_knowledge
from fhir_twin.model.twin import Estimate, Point
from fhir_twin.web.views.moves import waterfall_of
from fhir_twin.web.views.twin import _row

K = load_knowledge()
WHEN = datetime(2026, 3, 1, tzinfo=UTC)
POINT = Point(
    "fasting-glucose",
    "Observation/1",
    WHEN,
    131.0,
    "mg/dL",
    setting="home",
    gain=0.4,
    shift=6.0,
    assay="meter",
)


def test_the_assay_stands_beside_the_place() -> None:
    row = _row(POINT, K)
    assert row.setting == "home, glucose meter" and row.assay == "glucose meter" and row.fate == "used"
    assert _row(replace(POINT, assay="", setting="unknown"), K).setting == ""
    assert _row(replace(POINT, assay="of another release"), K).setting == "home"


def test_a_value_that_another_of_its_day_outweighs_says_so() -> None:
    row = _row(replace(POINT, gain=0.0, shift=0.0), K)
    assert row.fate == "used, but another value of that visit says more"
    assert _row(replace(POINT, biomarker="glucose", gain=0.0), K).fate == "used"  # no part of the state


def test_the_waterfall_names_it() -> None:
    estimate = Estimate("fasting-glucose", "mg/dL", 125.0, 115.0, 136.0, "personal", 1, WHEN)
    drawn = waterfall_of("Fasting glucose", "mg/dL", (_row(POINT, K),), estimate)
    assert "glucose meter" in drawn
    assert "glucose meter" not in waterfall_of(
        "Fasting glucose", "mg/dL", (_row(replace(POINT, assay=""), K),), estimate
    )

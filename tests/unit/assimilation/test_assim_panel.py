"""LDL of a lipid panel that reports none: marked, with its own noise, never over a measured one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from assim_charts import at, chart, measured

from fhir_twin.assimilation import build_twin, load_biomarkers
from fhir_twin.assimilation.update import update_twin
from fhir_twin.dynamics.equations.lipids import SAMPSON
from mappings import Source

KNOWN = load_biomarkers(Source())


DAY = at(2025, 3)


def panel(total=210, hdl=48, triglycerides=150, when=DAY, split=0, **more):
    rows = [("t", "2093-3", total), ("h", "2085-9", hdl), ("g", "2571-8", triglycerides)]
    return [
        measured(f"{n}{when:%m}", code, v, "mg/dL", when + timedelta(hours=i * split), **more)
        for i, (n, code, v) in enumerate(rows)
        if v is not None
    ]


def ldls(*measurements):
    return [p for p in build_twin(chart(*measurements), KNOWN).points if p.biomarker == "ldl"]


@pytest.mark.parametrize("split", [0, 2])
def test_a_panel_without_ldl_gives_one_by_sampson(split: int) -> None:
    (found,) = ldls(*panel(split=split))
    assert found.value == pytest.approx(float(SAMPSON(total_cholesterol=210, hdl=48, triglycerides=150)))
    assert 130 < found.value < 137 and found.unit == "mg/dL"  # Friedewald: 132
    assert found.assay == "calculated" and found.source == "Observation/t03"
    assert {"derived:lipid-panel", "equation:ldl_sampson", "hdl:Observation/h03"} <= set(found.flags)
    assert found.reported == "total 210 mg/dL, HDL 48 mg/dL, triglycerides 150 mg/dL"


def test_a_measured_ldl_is_never_replaced() -> None:
    own = measured("l", "13457-7", 125, "mg/dL", at(2025, 3))
    (found,) = ldls(*panel(), own)
    assert found.source == "Observation/l" and found.assay == ""
    bound = measured("l", "13457-7", 30, "mg/dL", at(2025, 3), comparator="<")
    assert [p.source for p in ldls(*panel(), bound)] == ["Observation/l"]
    wrong = measured("l", "13457-7", 125, "furlong", at(2025, 3))  # unusable: the panel is all there is
    assert [(p.used, p.assay) for p in ldls(*panel(), wrong)] == [(False, ""), (True, "calculated")]
    other_day = measured("l", "13457-7", 125, "mg/dL", at(2025, 4))
    assert len(ldls(*panel(), other_day)) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"triglycerides": 801},
        {"triglycerides": None},
        {"hdl": None},
        {"total": None},
        {"hdl": 205, "triglycerides": 60},  # what is left is below any LDL
        {"comparator": "<"},
        {"status": "entered-in-error"},
    ],
)
def test_outside_its_range_or_incomplete_there_is_none(values: dict) -> None:
    assert ldls(*panel(**values)) == []


def test_of_several_of_one_day_only_those_of_one_moment_belong_together() -> None:
    morning, evening = panel(when=at(2025, 3, 1, 8)), panel(total=230, when=at(2025, 3, 1, 20))
    evening = [
        replace(m, measurement=replace(m.measurement, source=m.measurement.source + "e")) for m in evening
    ]
    assert [p.source for p in ldls(*morning, *evening)] == ["Observation/t03", "Observation/t03e"]
    late = measured("t2", "2093-3", 230, "mg/dL", at(2025, 3, 1, 20))
    twice = measured("h2", "2085-9", 50, "mg/dL", at(2025, 3, 1, 21))
    assert [p.source for p in ldls(*morning, late, twice)] == ["Observation/t03"]


def test_it_counts_less_than_a_reported_one() -> None:
    made = build_twin(chart(*panel()), KNOWN)
    value = next(p.value for p in made.points if p.biomarker == "ldl")
    told = build_twin(chart(*panel(), measured("l", "13457-7", round(value, 6), "mg/dL", at(2025, 3))), KNOWN)
    none = build_twin(chart(*panel(triglycerides=801)), KNOWN)
    i = made.index("ldl")
    assert told.covariance[i, i] < made.covariance[i, i] < none.covariance[i, i]


def test_parts_that_arrive_apart_give_the_same_twin() -> None:
    first, second = panel(when=at(2024, 3)), panel(total=190, when=at(2025, 3))
    twin = build_twin(chart(*first, now=at(2024, 4)), KNOWN)
    have = list(first)
    for one in second:
        have.append(one)
        now = chart(*have)
        twin, _ = update_twin(twin, replace(now, measurements=(one,)), KNOWN, lambda now=now: now)
    whole = build_twin(chart(*first, *second), KNOWN)
    assert [p.source for p in twin.points] == [p.source for p in whole.points]
    assert (
        abs(twin.mean - whole.mean).max() < 1e-9
        and len([p for p in twin.points if p.biomarker == "ldl"]) == 2
    )
    at_once, fast = update_twin(
        build_twin(chart(*first, now=at(2024, 4)), KNOWN),
        replace(chart(*have), measurements=tuple(second)),
        KNOWN,
        lambda: chart(*have),
    )
    assert fast and abs(at_once.mean - whole.mean).max() < 1e-9

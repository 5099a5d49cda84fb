"""Charts: round ticks inside the range, well-formed SVG whatever the words say, nothing drawn from nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fhir_twin.web.charts import (
    Course,
    Line,
    Mark,
    Plane,
    RiskBar,
    Step,
    Target,
    course_chart,
    risk_chart,
    ticks,
    waterfall_chart,
)

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
HOSTILE = "</desc><script>alert(1)</script>\"'&"
finite = st.floats(-1e5, 1e5, allow_nan=False)


@given(finite, st.floats(0.01, 1e5))
def test_ticks_are_inside_and_evenly_spaced(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert all(low - 1e-6 <= t <= low + span + 1e-6 for t in found)
    assert len(found) <= 7
    steps = {round(b - a, 5) for a, b in pairwise(found)}
    assert len(steps) <= 1


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_the_plane_keeps_order_and_stays_inside(a: float, b: float) -> None:
    plane = Plane(-10, 10, -5, 5, 40, 500, 10, 200)
    assert (plane.x(a) < plane.x(b)) == (a < b) or abs(a - b) < 1e-9
    assert 10 <= plane.y(a) <= 200


def course(**more: object) -> str:
    row = (0.0, 140.0, 130.0, 150.0)
    lines = (Line((row, (3.0, 145.0, 128.0, 160.0)), "now", HOSTILE),)
    given_ = {"title": HOSTILE, "description": HOSTILE, "as_of": AS_OF, "lines": lines, **more}
    return course_chart(Course(**given_))  # type: ignore[arg-type]


def test_words_of_a_record_are_only_words() -> None:
    """security.md 45: nothing of a record becomes markup."""
    marks = (Mark(-1.0, 150.0, "dot", HOSTILE), Mark(-2.0, 900.0, "cross", HOSTILE))
    for svg in (
        course(marks=marks, target=Target(None, 130.0, HOSTILE)),
        risk_chart((RiskBar(HOSTILE, 0.1, 0.05, 0.2, (0.08, 0.04, 0.1)),), HOSTILE, HOSTILE),
    ):
        root = etree.fromstring(svg)
        assert root.find("title").text == HOSTILE
        assert root.find("desc").text == HOSTILE
        assert not root.findall(".//script")
        assert "<script" not in svg


@given(st.lists(st.tuples(st.floats(-30, 0), st.floats(0.001, 1e6)), max_size=6))
def test_any_values_give_a_chart_that_parses(points: list[tuple[float, float]]) -> None:
    svg = course(marks=tuple(Mark(t, v) for t, v in points), lines=())
    assert (svg == "") == (not points)
    if svg:
        assert "nan" not in svg
        etree.fromstring(svg)


def test_a_value_that_was_not_used_does_not_squeeze_the_rest() -> None:
    near = course(marks=(Mark(-1, 150.0),))
    far = course(marks=(Mark(-1, 150.0), Mark(-0.5, 99_999.0, "cross")))
    line = "<polyline"
    assert near[near.index(line) :].split(">")[0] == far[far.index(line) :].split(">")[0]


def test_settings_are_told_apart_by_shape() -> None:
    svg = course(
        marks=(Mark(-1, 150, "dot"), Mark(-1, 140, "ring"), Mark(-1, 145, "square"), Mark(-1, 1, "cross"))
    )
    assert all(f"mark {shape}" in svg for shape in ("dot", "ring", "square", "cross"))


def test_nothing_is_drawn_from_nothing() -> None:
    assert course_chart(Course("t", "d", AS_OF)) == ""
    assert risk_chart((), "t", "d") == ""


@given(st.floats(1, 500), st.lists(st.floats(-80, 80), min_size=1, max_size=9))
def test_a_waterfall_ends_at_start_plus_all_shifts_and_stays_on_the_paper(
    start: float, shifts: list[float]
) -> None:
    steps = tuple(Step(f"{HOSTILE} {n}", shift) for n, shift in enumerate(shifts))
    svg = waterfall_chart((HOSTILE, start), steps, "now", title=HOSTILE, description=HOSTILE)
    tree = etree.fromstring(svg.encode())
    assert not tree.findall(".//{*}script")
    values = [t.text for t in tree.iterfind(".//{*}text[@class='value']")]
    # four digits are drawn, and sums of floats depend on their order in the last one
    assert float(values[0]) == pytest.approx(start, rel=1e-3)
    assert float(values[-1]) == pytest.approx(start + sum(shifts), rel=1e-3, abs=1e-6)
    for box in tree.iterfind(".//{*}rect"):
        assert float(box.get("x")) >= 0 and float(box.get("x")) + float(box.get("width")) <= 560
    assert waterfall_chart(("x", 1.0), (), "y", title="t", description="d") == ""

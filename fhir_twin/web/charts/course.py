"""The course of one biomarker: observed points, the twin's smoothed past, forecasts, target.

Dots by setting (filled = office or laboratory, ring = home, square = in hospital, cross = not used), solid line = what
the twin thinks the past was, dashed line = forecast, band = 80 %. Two lines at most are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal

from fhir_twin.web.charts.scale import Plane, padded, ticks

WIDTH, HEIGHT = 560.0, 230.0
SMALL = 400.0  # width of a chart of which several stand side by side; its letters are as large as the others'
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 16.0, 26.0
Shape = Literal["dot", "ring", "square", "cross"]
Row = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, repr=False)
class Mark:
    """One observed value. time: years from as_of (negative = past). weak: the outlier gate turned it down."""

    time: float
    value: float
    shape: Shape = "dot"
    words: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """rows: (time, median, low, high). name: said at its end, "" = not said. style: past | now | option."""

    rows: tuple[Row, ...]
    style: Literal["past", "now", "option"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A wanted range: below high, above low, or between; words: "below 130"."""

    low: float | None
    high: float | None
    words: str


@dataclass(frozen=True, slots=True, repr=False)
class Course:
    """What is drawn. title and description are read by screen readers. width: of the paper; letters keep their size."""

    title: str
    description: str
    as_of: datetime
    marks: tuple[Mark, ...] = ()
    lines: tuple[Line, ...] = ()
    target: Target | None = None
    width: float = WIDTH


def course_chart(course: Course) -> str:
    """The SVG, "" when there is nothing to draw."""
    if not course.marks and not course.lines:
        return ""
    plane = _plane(course)
    parts = [
        *_target(course.target, plane),
        *_grid(plane, course.as_of),
        *(_band(line, plane) for line in course.lines),
        *(_line(line, plane) for line in course.lines),
        *(_mark(mark, plane) for mark in course.marks),
        *_names(course.lines, plane),
    ]
    return (
        f'<svg viewBox="0 0 {course.width:g} {HEIGHT:g}" role="img" class="chart course">'
        f"<title>{escape(course.title)}</title><desc>{escape(course.description)}</desc>{''.join(parts)}</svg>"
    )


def _plane(course: Course) -> Plane:
    rows = [row for line in course.lines for row in line.rows]
    times = [m.time for m in course.marks] + [r[0] for r in rows]
    values = [m.value for m in course.marks if m.shape != "cross"] + [v for r in rows for v in r[1:]]
    values = values or [m.value for m in course.marks]
    low, high = min(values), max(values)
    if course.target is not None:
        # A target far away from everything seen is told at the edge, not by squeezing the rest.
        near = [v for v in (course.target.low, course.target.high) if v is not None]
        reach = 0.6 * (high - low) or abs(high) * 0.2
        low = min([low, *(v for v in near if v >= low - reach)])
        high = max([high, *(v for v in near if v <= high + reach)])
    low, high = padded(low, high)
    x0, x1 = min(*times, -0.25), max(*times, 0.25)
    return Plane(x0, x1, low, high, LEFT, course.width - RIGHT, TOP, HEIGHT - BOTTOM)


def _target(target: Target | None, plane: Plane) -> list[str]:
    if target is None:
        return []
    top = plane.top if target.high is None else plane.y(target.high)
    bottom = plane.bottom if target.low is None else plane.y(target.low)
    parts = []
    if bottom - top > 0.5:
        parts.append(
            f'<rect class="goal" x="{plane.left}" y="{top:.1f}" width="{plane.right - plane.left:.1f}" '
            f'height="{bottom - top:.1f}"/>'
        )
    for edge in (target.high, target.low):
        if edge is not None:
            y = plane.y(edge)
            parts.append(
                f'<line class="goal-edge" x1="{plane.left}" y1="{y:.1f}" x2="{plane.right}" y2="{y:.1f}"/>'
            )
    edge = target.high if target.high is not None else target.low
    y = plane.y(edge) if edge is not None else plane.top
    place = y + 12 if y + 12 < plane.bottom - 2 else y - 4
    words = escape(target.words)
    parts.append(f'<text class="goal-words" x="{plane.left + 5}" y="{place:.1f}">{words}</text>')
    return parts


def _grid(plane: Plane, as_of: datetime) -> list[str]:
    parts = []
    for value in ticks(plane.y0, plane.y1):
        y = plane.y(value)
        parts.append(f'<line class="grid" x1="{plane.left}" y1="{y:.1f}" x2="{plane.right}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{plane.left - 6}" y="{y + 3.8:.1f}">{value:g}</text>')
    this_year = as_of.year + (as_of.timetuple().tm_yday - 1) / 365.25
    for year in ticks(this_year + plane.x0, this_year + plane.x1, whole=True, wanted=9):
        x = plane.x(year - this_year)
        if plane.left + 8 <= x <= plane.right - 12:
            parts.append(
                f'<line class="stub" x1="{x:.1f}" y1="{plane.bottom}" x2="{x:.1f}" y2="{plane.bottom + 4}"/>'
            )
            parts.append(f'<text class="tick mid" x="{x:.1f}" y="{plane.bottom + 16:.1f}">{year:.0f}</text>')
    now = plane.x(0.0)
    parts.append(
        f'<line class="now" x1="{now:.1f}" y1="{plane.top - 4}" x2="{now:.1f}" y2="{plane.bottom}"/>'
    )
    anchor = "end" if now > plane.right - 40 else "mid"
    parts.append(f'<text class="tick {anchor}" x="{now:.1f}" y="{plane.top - 6:.1f}">today</text>')
    return parts


def _band(line: Line, plane: Plane) -> str:
    upper = plane.path((t, high) for t, _, _, high in line.rows)
    lower = plane.path((t, low) for t, _, low, _ in reversed(line.rows))
    return f'<polygon class="band {line.style}" points="{upper} {lower}"/>'


def _line(line: Line, plane: Plane) -> str:
    return f'<polyline class="line {line.style}" points="{plane.path((t, m) for t, m, _, _ in line.rows)}"/>'


def _mark(mark: Mark, plane: Plane) -> str:
    x, y = plane.x(mark.time), plane.y(mark.value)
    words = f"<title>{escape(mark.words)}</title>" if mark.words else ""
    weak = " weak" if mark.weak else ""
    if mark.shape == "cross":
        return f'<path class="mark cross" d="M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7">{words}</path>'
    if mark.shape == "square":
        return f'<rect class="mark square{weak}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{words}</rect>'
    kind = "ring" if mark.shape == "ring" else "dot"
    return f'<circle class="mark {kind}{weak}" cx="{x:.1f}" cy="{y:.1f}" r="3.4">{words}</circle>'


def _names(lines: Iterable[Line], plane: Plane) -> list[str]:
    """Said at the end of each named line; moved apart when they would overlap."""
    named = sorted(
        ((plane.y(line.rows[-1][1]), line) for line in lines if line.name and line.rows), key=lambda p: p[0]
    )
    parts, last = [], -100.0
    for y, line in named:
        place = max(y - 5, last + 13, plane.top + 8)
        last = place
        parts.append(
            f'<text class="name {line.style}" x="{plane.right - 3}" y="{place:.1f}">{escape(line.name)}</text>'
        )
    return parts

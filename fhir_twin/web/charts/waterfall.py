"""What each value did to the estimate, as a waterfall: from what was expected to what the twin says now.

Each bar begins where the one before it ended. Direction is told by the sign at the bar's end, not by colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from fhir_twin.web.charts.scale import Plane, padded, ticks

WIDTH, ROW, TOP, BOTTOM, LEFT, RIGHT = 560.0, 24.0, 6.0, 24.0, 196.0, 58.0
LONGEST = 28  # letters of a label


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """label: which value; shift: how far it moved the estimate (its unit)."""

    label: str
    shift: float


def waterfall_chart(
    start: tuple[str, float], steps: tuple[Step, ...], end: str, *, title: str, description: str
) -> str:
    """The SVG; the last bar, `end`, is start plus all shifts. "" without steps."""
    if not steps:
        return ""
    bars: list[tuple[str, float, float, str]] = []
    at = start[1]
    for step in steps:
        bars.append((step.label, at, at + step.shift, "up" if step.shift > 0 else "down"))
        at += step.shift
    places = [start[1], at, *(v for _, a, b, _ in bars for v in (a, b))]
    low, high = padded(min(places), max(places), 0.12)
    height = TOP + ROW * (len(bars) + 2) + BOTTOM
    plane = Plane(low, high, 0.0, 1.0, LEFT, WIDTH - RIGHT, TOP, height - BOTTOM)
    parts = _grid(plane, low, high)
    parts += _whole(start[0], start[1], 0, plane)
    for number, (label, begin, stop, kind) in enumerate(bars, 1):
        parts += _bar(label, begin, stop, kind, number, plane)
    parts += _whole(end, at, len(bars) + 1, plane)
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" class="chart waterfall">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def _grid(plane: Plane, low: float, high: float) -> list[str]:
    parts = []
    for value in ticks(low, high):
        x = plane.x(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{plane.bottom}"/>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{plane.bottom + 15:.1f}">{value:g}</text>')
    return parts


def _middle(number: int) -> float:
    return TOP + ROW * (number + 0.5)


def _label(label: str, y: float) -> str:
    short = label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
    return f'<text class="row-name" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(short)}</text>'


def _whole(label: str, value: float, number: int, plane: Plane) -> list[str]:
    y, x = _middle(number), plane.x(value)
    mark = f'<path class="point now" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>'
    return [
        _label(label, y),
        mark,
        f'<text class="value" x="{x + 11:.1f}" y="{y + 4:.1f}">{value:.4g}</text>',
    ]


def _bar(label: str, begin: float, stop: float, kind: str, number: int, plane: Plane) -> list[str]:
    y, a, b = _middle(number), plane.x(min(begin, stop)), plane.x(max(begin, stop))
    box = f'<rect class="step {kind}" x="{a:.1f}" y="{y - 7:.1f}" width="{max(b - a, 1.0):.1f}" height="14"/>'
    link = plane.x(begin)
    line = f'<line class="stub" x1="{link:.1f}" y1="{y - ROW + 7:.1f}" x2="{link:.1f}" y2="{y - 7:.1f}"/>'
    words = f'<text class="value" x="{b + 6:.1f}" y="{y + 4:.1f}">{stop - begin:+.3g}</text>'
    return [_label(label, y), line, box, words]

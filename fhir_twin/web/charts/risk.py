"""Risks as bars on one scale: point = estimate, whisker = 80 % interval, second mark = under the what-if."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from fhir_twin.web.charts.scale import Plane, ticks

WIDTH, ROW, TOP, BOTTOM, LEFT, RIGHT = 560.0, 34.0, 8.0, 24.0, 176.0, 112.0
LONGEST = 24  # letters of a name on one line
SCALES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True, repr=False)
class RiskBar:
    """Probabilities 0..1. other: (estimate, low, high) of the scenario that is compared."""

    name: str
    estimate: float
    low: float
    high: float
    other: tuple[float, float, float] | None = None


def risk_chart(bars: tuple[RiskBar, ...], title: str, description: str) -> str:
    """One SVG of all bars on a common scale; "" without bars."""
    if not bars:
        return ""
    highest = max(max(b.high, b.other[2] if b.other else 0.0) for b in bars)
    top = next((s for s in SCALES if highest <= s), 1.0)
    height = TOP + ROW * len(bars) + BOTTOM
    plane = Plane(0.0, top, 0.0, 1.0, LEFT, WIDTH - RIGHT, TOP, height - BOTTOM)
    parts = []
    for value in ticks(0.0, top * 100):
        x = plane.x(value / 100)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{plane.bottom}"/>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{plane.bottom + 15:.1f}">{value:g} %</text>')
    for i, bar in enumerate(bars):
        parts += _row(bar, TOP + ROW * (i + 0.5), plane)
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" class="chart risks">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def _row(bar: RiskBar, y: float, plane: Plane) -> list[str]:
    first = y - (5 if bar.other else 0)
    parts = _name(bar.name, y)
    parts += _whisker(bar.estimate, bar.low, bar.high, first, plane, "now")
    words = f"{100 * bar.estimate:.1f} %"
    if bar.other:
        parts += _whisker(*bar.other, y + 7, plane, "option")
        then = f'<tspan class="option">{100 * bar.other[0]:.1f} %</tspan>'
        words = f"{100 * bar.estimate:.1f} \u2192 {then}"
    end = max(bar.high, bar.other[2] if bar.other else 0.0)
    parts.append(f'<text class="value" x="{plane.x(end) + 8:.1f}" y="{y + 4:.1f}">{words}</text>')
    return parts


def _name(name: str, y: float) -> list[str]:
    """On one line, or on two when it is long."""
    if len(name) <= LONGEST:
        return [f'<text class="row-name" x="{LEFT - 10}" y="{y + 4:.1f}">{escape(name)}</text>']
    words, first = name.split(" "), ""
    while words and len(f"{first} {words[0]}".strip()) <= LONGEST:
        first = f"{first} {words.pop(0)}".strip()
    first, rest = (first, " ".join(words)) if first else (name[:LONGEST], name[LONGEST:])
    return [
        f'<text class="row-name" x="{LEFT - 10}" y="{place:.1f}">{escape(part)}</text>'
        for part, place in ((first, y - 3), (rest[:LONGEST], y + 11))
    ]


def _whisker(estimate: float, low: float, high: float, y: float, plane: Plane, style: str) -> list[str]:
    a, b, m = plane.x(low), plane.x(high), plane.x(estimate)
    shape = (
        f'<circle class="point {style}" cx="{m:.1f}" cy="{y:.1f}" r="5"/>'
        if style == "now"
        else f'<path class="point {style}" d="M{m:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>'
    )
    return [f'<line class="whisker {style}" x1="{a:.1f}" y1="{y:.1f}" x2="{b:.1f}" y2="{y:.1f}"/>', shape]

"""Charts as SVG made on the server: observed points, the twin's current estimate, the forecast band.

No script is needed; every chart has a title, a description and, on the page, a table with the same numbers.
Colour is never the only sign: observed = dots, forecast = dashed line, 80 % = band.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape

from fhir_twin.model.scenario import Trajectory
from fhir_twin.model.twin import Twin

WIDTH, HEIGHT = 460, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 26
YEAR = 365.25 * 86400


@dataclass(frozen=True, slots=True, repr=False)
class Series:
    """Times in years relative to as_of (negative = past)."""

    observed: tuple[tuple[float, float], ...]
    forecast: tuple[tuple[float, float, float, float], ...]


def series_of(twin: Twin, biomarker: str, future: Trajectory | None, years: float = 3.0) -> Series:
    """Observed points of `biomarker` and its forecast for `years` under `future` (time, median, low, high)."""
    seen = tuple(
        ((p.time - twin.as_of).total_seconds() / YEAR, p.value)
        for p in twin.used(biomarker)
        if p.time is not None
    )
    estimate = twin.estimate(biomarker)
    ahead = [(0.0, estimate.mean, estimate.low, estimate.high)]
    if future is not None and biomarker in future.biomarkers:
        i = future.biomarkers.index(biomarker)
        rows = zip(future.times, future.median[:, i], future.low[:, i], future.high[:, i], strict=True)
        ahead += [(float(t), float(m), float(a), float(b)) for t, m, a, b in rows if 0 < t <= years]
    return Series(tuple(sorted(seen)), tuple(ahead))


def chart(series: Series, title: str, unit: str, as_of: datetime) -> str:
    """One SVG. Numbers are rounded for drawing only."""
    ts = [t for t, _ in series.observed] + [row[0] for row in series.forecast]
    vs = [v for _, v in series.observed] + [v for row in series.forecast for v in row[1:]]
    t0, t1 = min(*ts, -0.5), max(*ts, 0.5)
    v0, v1 = min(vs), max(vs)
    pad = 0.08 * (v1 - v0) or max(abs(v1) * 0.05, 0.5)
    v0, v1 = v0 - pad, v1 + pad

    def x(t: float) -> float:
        return LEFT + (t - t0) / (t1 - t0) * (WIDTH - LEFT - RIGHT)

    def y(v: float) -> float:
        return TOP + (v1 - v) / (v1 - v0) * (HEIGHT - TOP - BOTTOM)

    upper = " ".join(f"{x(t):.1f},{y(high):.1f}" for t, _, _, high in series.forecast)
    lower = " ".join(f"{x(t):.1f},{y(low):.1f}" for t, _, low, _ in reversed(series.forecast))
    line = " ".join(f"{x(t):.1f},{y(median):.1f}" for t, median, _, _ in series.forecast)
    dots = "".join(
        f'<circle class="seen" cx="{x(t):.1f}" cy="{y(v):.1f}" r="3"/>' for t, v in series.observed
    )
    now = series.forecast[0]
    words = f"{len(series.observed)} observed values; now {now[1]:.4g} {unit} "
    words += f"(80 % interval {now[2]:.4g} to {now[3]:.4g})"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="chart"><title>{escape(title)}</title>'
        f"<desc>{escape(words)}</desc>{_axes(t0, t1, v0, v1, x, y, as_of)}"
        f'<polygon class="band" points="{upper} {lower}"/><polyline class="ahead" points="{line}"/>{dots}</svg>'
    )


def _axes(t0, t1, v0, v1, x, y, as_of) -> str:  # type: ignore[no-untyped-def]
    parts = [f'<line class="now" x1="{x(0):.1f}" y1="{TOP}" x2="{x(0):.1f}" y2="{HEIGHT - BOTTOM}"/>']
    for v in _ticks(v0, v1):
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(v):.1f}" x2="{WIDTH - RIGHT}" y2="{y(v):.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 5}" y="{y(v) + 4:.1f}">{v:g}</text>')
    this_year = as_of.year + as_of.timetuple().tm_yday / 365.25
    for year in _ticks(this_year + t0, this_year + t1, whole=True):
        parts.append(f'<text class="tick mid" x="{x(year - this_year):.1f}" y="{HEIGHT - 8}">{year:g}</text>')
    return "".join(parts)


def _ticks(low: float, high: float, *, whole: bool = False, wanted: int = 5) -> list[float]:
    """Round numbers inside [low, high], about `wanted` of them."""
    span = high - low
    steps = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
    step = next((s for s in steps if span / s <= wanted and (not whole or s >= 1)), steps[-1])
    first = int(low // step) + 1
    return [
        round(first * step + i * step, 6)
        for i in range(int(span // step) + 1)
        if first * step + i * step <= high
    ]

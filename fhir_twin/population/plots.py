"""Figures of the population reports as PNG (matplotlib, extra `reports`). Every figure has its numbers in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_twin.plotting import as_png, pyplot
from fhir_twin.population.statistics import Curve, Interval

COLOURS = ("#0b5394", "#b45309", "#166534", "#7e22ce", "#9d174d")


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a forest plot. emphasis: drawn as the whole."""

    label: str
    interval: Interval
    emphasis: bool = False


def forest(title: str, x_label: str, bars: Sequence[Bar], *, level: float | None, log: bool = False) -> bytes:
    """Values with intervals, one line each, and a reference line at `level`."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(7.5, 1.2 + 0.28 * len(bars)), dpi=110)
    for place, bar in enumerate(reversed(bars)):
        i = bar.interval
        colour = COLOURS[1] if bar.emphasis else COLOURS[0]
        axes.plot([i.low, i.high], [place, place], color=colour, linewidth=1.6)
        axes.plot([i.value], [place], marker="D" if bar.emphasis else "s", color=colour, markersize=5)
    axes.set_yticks(range(len(bars)), [b.label for b in reversed(bars)], fontsize=8)
    if level is not None:
        axes.axvline(level, color="#666", linewidth=1, linestyle="--")
    if log:
        _ratio_axis(axes, [v for b in bars for v in (b.interval.low, b.interval.high)])
    axes.set(title=title, xlabel=x_label)
    axes.grid(axis="x", alpha=0.3)
    return as_png(plt, fig)


def _ratio_axis(axes: Any, values: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log")
    good = [v for v in values if 0 < v < float("inf")]
    low, high = min([0.8, *good]), max([1.25, *good])
    ticks = [
        t for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0) if low / 1.3 <= t <= high * 1.3
    ]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def calibration(title: str, points: Sequence[tuple[float, float, float, float]]) -> bytes:
    """(expected, observed, low, high) per group of risk against the diagonal, in percent."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(5.6, 5.2), dpi=110)
    x = [100 * p[0] for p in points]
    y = [100 * p[1] for p in points]
    errors = [[100 * (p[1] - p[2]) for p in points], [100 * (p[3] - p[1]) for p in points]]
    axes.errorbar(x, y, yerr=errors, fmt="o", color=COLOURS[0], capsize=3, label="groups of predicted risk")
    end = max([*x, *y, 1.0]) * 1.15
    axes.plot([0, end], [0, end], color="#666", linestyle="--", linewidth=1, label="perfect")
    axes.set(
        title=title, xlabel="expected (%)", ylabel="observed (%), 95 % interval", xlim=(0, end), ylim=(0, end)
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return as_png(plt, fig)


def curves(title: str, y_label: str, lines: Sequence[tuple[str, Curve]]) -> bytes:
    """Event curves (Kaplan-Meier) with intervals."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(7.5, 4.6), dpi=110)
    for number, (label, curve) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        axes.step(curve.years, 100 * curve.share, where="post", color=colour, label=label)
        axes.fill_between(
            curve.years, 100 * curve.low, 100 * curve.high, step="post", color=colour, alpha=0.15, linewidth=0
        )
    axes.set(title=title, xlabel="years", ylabel=y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return as_png(plt, fig)


def waterfall(title: str, x_label: str, parts: Sequence[tuple[str, float]]) -> bytes:
    """Contributions that add up: each bar begins where the last one ended; the sum stands at the end."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(7.5, 1.4 + 0.34 * (len(parts) + 1)), dpi=110)
    total, rows = 0.0, []
    for label, value in parts:
        rows.append((label, total, value))
        total += value
    rows.append(("sum", 0.0, total))
    for place, (_, begin, value) in enumerate(reversed(rows)):
        colour = COLOURS[0] if place == 0 else (COLOURS[2] if value < 0 else COLOURS[1])
        axes.barh(place, value, left=begin, color=colour, height=0.6)
        axes.text(begin + value, place, f" {value:+.3g}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [r[0] for r in reversed(rows)], fontsize=8)
    axes.axvline(0, color="#666", linewidth=1)
    axes.set(title=title, xlabel=x_label)
    axes.margins(x=0.15)
    return as_png(plt, fig)


def over_time(
    title: str, y_label: str, ticks: Sequence[str], lines: Sequence[tuple[str, Sequence[float]]],
    band: tuple[float, float] | None = None,
) -> bytes:  # fmt: skip
    """Lines over named periods; band: where they ought to lie."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(7.5, 4.2), dpi=110)
    for number, (label, values) in enumerate(lines):
        axes.plot(range(len(ticks)), values, marker="o", color=COLOURS[number % len(COLOURS)], label=label)
    if band is not None:
        axes.axhspan(*band, color="#166534", alpha=0.1)
    axes.set_xticks(range(len(ticks)), ticks, rotation=30, ha="right", fontsize=8)
    axes.set(title=title, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return as_png(plt, fig)

"""From numbers to places on the paper: round ticks, and the plane of one chart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STEPS = tuple(m * 10.0**e for e in range(-4, 7) for m in (1, 2, 2.5, 5))


@dataclass(frozen=True, slots=True)
class Plane:
    """Data range x0..x1 (left to right), y0..y1 (bottom to top) inside a box of the paper."""

    x0: float
    x1: float
    y0: float
    y1: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Values outside the range stay at the edge."""
        inside = min(max(value, self.y0), self.y1)
        return self.bottom - (inside - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(t):.1f},{self.y(v):.1f}" for t, v in points)


def ticks(low: float, high: float, *, wanted: int = 5, whole: bool = False) -> list[float]:
    """Round numbers inside [low, high], about `wanted` of them. whole: only whole numbers."""
    span = high - low
    if not span > 0:
        return [low]
    possible = [s for s in STEPS if not whole or s == int(s)]
    step = next((s for s in possible if span / s <= wanted), possible[-1])
    first = int(-(-low // step))
    return [round(i * step, 6) for i in range(first, int(high // step) + 1)]


def padded(low: float, high: float, share: float = 0.08) -> tuple[float, float]:
    """The range with some air; a range of one point gets a tenth of its value."""
    air = share * (high - low) or max(abs(high) * 0.05, 0.5)
    return low - air, high + air

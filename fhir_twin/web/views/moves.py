"""Which values moved an estimate, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_twin.model.twin import Estimate
from fhir_twin.web.charts import Step, waterfall_chart

if TYPE_CHECKING:
    from fhir_twin.web.views.twin import PointRow


def movers_of(rows: tuple[PointRow, ...], estimate: Estimate, most: int = 3) -> tuple[PointRow, ...]:
    """The values that moved the estimate farthest; what moved it by less than a tenth of its spread is no mover."""
    least = 0.05 * (estimate.high - estimate.low)
    found = [r for r in rows if r.used and abs(r.moved) >= least]
    return tuple(sorted(found, key=lambda r: -abs(r.moved))[:most])


def waterfall_of(name: str, unit: str, rows: tuple[PointRow, ...], estimate: Estimate, most: int = 7) -> str:
    """The values' shifts in order of time, the small ones together; the start is what remains: what is expected of such
    a person, and what time itself did between the values (ageing, return to the usual)."""
    moved = [r for r in rows if r.used and r.moved]
    shown = sorted(moved, key=lambda r: -abs(r.moved))[:most]
    rest = sum(r.moved for r in moved if r not in shown)
    steps = [
        Step(f"{r.value} on {r.day}{f', {r.assay}' if r.assay else ''}", r.moved) for r in moved if r in shown
    ]
    if len(moved) > len(shown):
        steps.append(Step(f"{len(moved) - len(shown)} other values", rest))
    start = estimate.mean - sum(r.moved for r in moved)
    told = ", ".join(f"{s.label} {s.shift:+.3g}" for s in steps)
    words = f"From {start:.4g} {unit}: {told}; now {estimate.mean:.4g}."
    begin = ("Without these values", start)
    title = f"{name}: what moved the estimate"
    return waterfall_chart(begin, tuple(steps), "The twin now", title=title, description=words)

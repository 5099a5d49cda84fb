"""LDL cholesterol of a lipid panel that reports none, by Sampson's equation from the other three of that sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_twin.dynamics.equations.lipids import SAMPSON
from fhir_twin.model.biomarker import Analyte
from fhir_twin.model.twin import Point

ASSAY = "calculated"
PARTS = ("total-cholesterol", "hdl", "triglycerides")


def panel_ldl(points: Sequence[Point], ldl: Analyte) -> list[Point]:
    """One point per panel without an LDL of that day. A reported LDL is never replaced, a bound is no part, and outside
    the equation's range (triglycerides above 800 mg/dL) nothing is made."""
    measured = {_day(p) for p in points if p.biomarker == "ldl" and p.used}
    usable = [p for p in points if p.biomarker in PARTS and p.used and p.bound is None]
    panels: dict[object, dict[str, list[Point]]] = {}
    for point in usable:
        if _day(point) not in measured:
            panels.setdefault(_day(point), {}).setdefault(point.biomarker, []).append(point)
    whole = [p for p in panels.values() if len(p) == len(PARTS)]
    return [made for panel in whole for total in panel[PARTS[0]] for made in _from_panel(total, panel, ldl)]


def _from_panel(total: Point, panel: dict[str, list[Point]], ldl: Analyte) -> list[Point]:
    hdl, triglycerides = (_beside(total, panel[key]) for key in PARTS[1:])
    if hdl is None or triglycerides is None:
        return []
    found = SAMPSON(total_cholesterol=total.value, hdl=hdl.value, triglycerides=triglycerides.value)
    value = float(found)
    if not ldl.plausible[0] <= value <= ldl.plausible[1]:  # NaN (refused) too
        return []
    parts = f"total {total.reported}, HDL {hdl.reported}, triglycerides {triglycerides.reported}"
    flags = (
        *("derived:lipid-panel", f"equation:{SAMPSON.name}"),
        *(f"hdl:{hdl.source}", f"triglycerides:{triglycerides.source}"),
    )
    return [
        replace(total, biomarker="ldl", value=value, unit=ldl.unit, flags=flags, reported=parts, assay=ASSAY)
    ]


def _beside(total: Point, others: Sequence[Point]) -> Point | None:
    """The one of the same moment; else the only one of the day (a panel may be split over its results)."""
    same = [p for p in others if p.time == total.time]
    return same[0] if len(same) == 1 else others[0] if len(others) == 1 else None


def _day(point: Point) -> object:
    return point.time.date() if point.time else None

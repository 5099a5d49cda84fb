"""Points that follow from others: BMI from weight and height, eGFR from creatinine (one equation per trend), LDL from a
lipid panel that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from fhir_twin.assimilation.panel import panel_ldl
from fhir_twin.dynamics.equations.ckd_epi import ckd_epi_2021_creatinine
from fhir_twin.model.biomarker import Analyte, BiomarkerSet
from fhir_twin.model.twin import Point

EQUATION = "ckd-epi-2021-creatinine"
ADULT = 18.0


def derive(
    points: Sequence[Point],
    known: BiomarkerSet,
    age_at: Callable[[datetime], float | None],
    female: bool | None,
) -> tuple[Point, ...]:
    """The points, with derived ones added and reported ones that they replace turned off, in the same order.

    age_at: age in years at a moment, None when unknown. female: None when sex is unknown (then no eGFR can be
    computed from creatinine and a reported one is used)."""
    found = list(points)
    if "bmi" in known.analytes:
        found = _body_mass(found, known.analytes["bmi"], age_at)
    if "egfr" in known.analytes:
        found = _filtration(found, known.analytes["egfr"], age_at, female)
    if "ldl" in known.analytes:
        found += panel_ldl(found, known.analytes["ldl"])
    return tuple(found)


def _body_mass(points: list[Point], bmi: Analyte, age_at: Callable[[datetime], float | None]) -> list[Point]:
    """kg/m2 from each weight and the height nearest in time; a reported BMI of such a day gives way."""
    heights = [p for p in points if p.biomarker == "height" and p.used and p.bound is None]
    grown = [p for p in heights if (age_at(p.time) or ADULT) >= ADULT] if heights else []  # type: ignore[arg-type]
    made: list[Point] = []
    for weight in points:
        if weight.biomarker != "weight" or not weight.used or weight.bound is not None or not heights:
            continue
        height = min(
            grown or heights,
            key=lambda h: (abs((h.time - weight.time).total_seconds()), h.source),  # type: ignore[operator]
        )
        value = weight.value / (height.value / 100.0) ** 2
        if bmi.plausible[0] <= value <= bmi.plausible[1]:
            flags = (*weight.flags, "derived:weight+height", f"height:{height.source}")
            made.append(replace(weight, biomarker="bmi", value=value, unit=bmi.unit, flags=flags))
    days = {_day(p) for p in made}
    kept = [
        replace(p, used=False, reason="recomputed")
        if p.biomarker == "bmi" and p.used and _day(p) in days
        else p
        for p in points
    ]
    return kept + made


def _filtration(
    points: list[Point],
    egfr: Analyte,
    age_at: Callable[[datetime], float | None],
    female: bool | None,
) -> list[Point]:
    made = [
        point
        for creatinine in points
        if creatinine.biomarker == "creatinine" and creatinine.used and creatinine.bound is None
        for point in _from_creatinine(creatinine, egfr, age_at, female)
    ]
    days = {_day(p) for p in made}
    reported = [p for p in points if p.biomarker == "egfr" and p.used]
    equation = EQUATION if made else _main_equation(reported)
    kept = []
    for point in points:
        if point.biomarker == "egfr" and point.used:
            if _day(point) in days:
                point = replace(point, used=False, reason="creatinine-preferred")
            elif _equation(point) != equation:
                point = replace(point, used=False, reason="other-equation")
        kept.append(point)
    return kept + made


def _from_creatinine(
    creatinine: Point, egfr: Analyte, age_at: Callable[[datetime], float | None], female: bool | None
) -> list[Point]:
    age = age_at(creatinine.time) if creatinine.time else None
    if age is None or age < ADULT or female is None:
        return []
    value = float(ckd_epi_2021_creatinine(creatinine.value, age, female))
    if not egfr.plausible[0] <= value <= egfr.plausible[1]:
        return []
    flags = (*creatinine.flags, "derived:creatinine", f"equation:{EQUATION}")
    return [replace(creatinine, biomarker="egfr", value=value, unit=egfr.unit, flags=flags)]


def _equation(point: Point) -> str:
    return next((f.removeprefix("equation:") for f in point.flags if f.startswith("equation:")), "unstated")


def _main_equation(reported: Sequence[Point]) -> str:
    """CKD-EPI 2021 where there is any; else the equation used most often (ties: by name, to be repeatable)."""
    counts = Counter(_equation(p) for p in reported)
    if EQUATION in counts or not counts:
        return EQUATION
    return min(counts, key=lambda e: (-counts[e], e))


def _day(point: Point) -> object:
    return point.time.date() if point.time else None

"""Measurements -> Points: which analyte, what value in its canonical unit, used or why not.

Nothing disappears: every measurement whose code we know becomes a Point, used or with the reason. Values are as
reported; derived ones (BMI from weight and height, eGFR from creatinine) are made in `derive`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from fhir_twin.assimilation.assays import assay_of
from fhir_twin.assimilation.units import convert
from fhir_twin.errors import Issue
from fhir_twin.model.biomarker import Analyte, BiomarkerSet, Code
from fhir_twin.model.chart import Measurement
from fhir_twin.model.coded import CodedChart, CodedMeasurement
from fhir_twin.model.codes import Concept
from fhir_twin.model.twin import Point

USABLE = ("final", "amended", "corrected", "preliminary")
URINE = (
    "uacr",
    "upcr",
    "urine-albumin",
    "urine-creatinine",
)  # OB-9: the specimen decides; a serum code on urine is a mistake
# SNOMED CT urine specimen, urine; HL7 v2 table 0487. Specimens without words.
_URINE_CODES = frozenset(["122575003", "78014005", "UR"])
_OTHER_FLUIDS = (
    "cerebrospinal",
    "csf",
    "pleural",
    "ascit",
    "peritoneal",
    "synovial",
    "dialysate",
    "amniotic",
)
_RANK = {"corrected": 0, "amended": 0, "final": 1, "preliminary": 2}


def observe(coded: CodedChart, known: BiomarkerSet) -> tuple[tuple[Point, ...], tuple[Issue, ...]]:
    """All points of the chart in order of time then source, and one Issue per value that could not be used for a
    reason somebody should look at (unit, plausibility)."""
    points: list[Point] = []
    ranks: dict[int, tuple[int, int]] = {}
    for position, measurement in enumerate(coded.measurements):
        point = _point(measurement, known, coded.chart.as_of)
        if point is not None:
            ranks[len(points)] = (_RANK.get(measurement.measurement.status, 3), position)
            points.append(point)
    points = _collapse(_without_crossed_pairs(points), ranks)
    points.sort(key=by_time)
    unread = tuple(i for m in coded.measurements for i in _unread(m, known))
    return tuple(points), (*_issues(points), *unread)


def by_time(point: Point) -> tuple[float, str, str, float]:
    """The order of Twin.points: undated first, then by time, biomarker, source, value."""
    when = point.time.timestamp() if point.time else float("-inf")
    return (when, point.biomarker, point.source, point.value)


def lookup(measurement: CodedMeasurement, known: BiomarkerSet) -> tuple[Analyte, Code] | None:
    """The first LOINC code that we know decides (OB-12: by code, never by display)."""
    for loinc in measurement.loinc:
        found = known.by_loinc.get(loinc)
        if found is not None:
            return known.analytes[found[0]], found[1]
    return None


def _point(coded: CodedMeasurement, known: BiomarkerSet, as_of: datetime) -> Point | None:
    found = lookup(coded, known)
    m = coded.measurement
    if found is None or m.value is None:
        return None
    analyte, code = found
    if code.rules:
        analyte = replace(analyte, rules=(*code.rules, *analyte.rules))
    flags = tuple(m.flags) + (("coded-from-text",) if coded.from_text else ())
    if code.equation:
        flags += (f"equation:{code.equation}",)
    if m.status == "preliminary" and "preliminary" not in flags:
        flags += ("preliminary",)
    reason = _unusable(m, analyte.key, code, as_of)
    converted = convert(
        float(m.value),
        m.unit,
        m.unit_code,
        m.unit_system == "http://unitsofmeasure.org",
        analyte,
        known.aliases,
    )
    lost = converted.value is None
    return Point(
        biomarker=analyte.key,
        source=m.source,
        time=m.time,
        value=float(m.value) if converted.value is None else converted.value,
        unit=(m.unit_code or m.unit) if lost else analyte.unit,
        bound=m.comparator,
        setting=m.setting,
        readings=max(m.readings, 1),
        reported=f"{m.comparator or ''}{m.value} {m.unit or m.unit_code}".strip(),
        flags=flags + converted.flags,
        assay=assay_of(m, analyte, code),
        used=not lost and not reason,
        reason=reason or converted.reason if lost else reason,
    )


def _unusable(m: Measurement, key: str, code: Code, as_of: datetime) -> str:
    if m.status not in USABLE:
        return "entered-in-error" if m.status == "entered-in-error" else "not-final"
    if code.use == "exclude":
        return "excluded-code"
    if m.specimen is not None and not _fits_specimen(m.specimen, key):
        return "wrong-specimen"
    if m.time is None:
        return "no-time"
    if m.time > as_of:
        return "after-as-of"
    return ""


def _fits_specimen(specimen: Concept, key: str) -> bool:
    """OB-9. What is neither urine nor a named other fluid is taken for what the code says."""
    words = " ".join((specimen.text, *(c.display for c in specimen.codings))).casefold()
    if "urin" in words or any(c.code in _URINE_CODES for c in specimen.codings):
        return key in URINE
    return not any(fluid in words for fluid in _OTHER_FLUIDS)


def _unread(coded: CodedMeasurement, known: BiomarkerSet) -> Iterable[Issue]:
    """A number that stands in a text that could not be read as one ("5-6 mmol/L") is not lost without a word."""
    m, found = coded.measurement, lookup(coded, known)
    if found is not None and m.value is None and any(sign.isdigit() for sign in m.text):
        text = f"{found[0].key}: the text could not be read as a number: not used"
        yield Issue("information", "value", text, m.source, "assimilate")


def _without_crossed_pairs(points: list[Point]) -> list[Point]:
    """A diastolic that is not below the systolic of the same reading: one of them is a slip, nobody can say which.

    The two may be parts of one resource, or two Observations of one moment."""
    used = [p for p in points if p.used and p.bound is None and p.biomarker in ("sbp", "dbp")]
    pairs: dict[tuple[str, datetime | None], dict[str, float]] = {}
    moments: dict[datetime, dict[str, list[float]]] = {}
    for point in used:
        pairs.setdefault((point.source, point.time), {})[point.biomarker] = point.value
        if point.time is not None:
            moments.setdefault(point.time, {}).setdefault(point.biomarker, []).append(point.value)
    crossed = {k for k, pair in pairs.items() if len(pair) == 2 and pair["dbp"] >= pair["sbp"]}
    at_once = {t for t, both in moments.items() if len(both) == 2 and min(both["dbp"]) >= max(both["sbp"])}
    marked = {id(p) for p in used if (p.source, p.time) in crossed or p.time in at_once}
    return [replace(p, used=False, reason="crossed-pair") if id(p) in marked else p for p in points]


def _collapse(points: list[Point], ranks: dict[int, tuple[int, int]]) -> list[Point]:
    """OB-8: the same analyte, value and time told by several sources counts once; the most final, then the first
    in the chart, is kept. A copy dated only to the day (midnight) equals a timed one of that day."""
    kept: dict[tuple[object, ...], list[int]] = {}
    result = list(points)
    for index in sorted(ranks, key=lambda i: ranks[i]):
        point = points[index]
        if not point.used or point.time is None:
            continue
        day = kept.setdefault((point.biomarker, point.bound, point.time.date()), [])
        first = next((i for i in day if _copies(points[i], point)), None)
        if first is None:
            day.append(index)
        else:
            result[index] = replace(point, used=False, reason="duplicate")
            result[first] = replace(result[first], flags=(*result[first].flags, f"also:{point.source}"))
    return result


def _copies(left: Point, right: Point) -> bool:
    """Two sources tell one value: same minute (or one of them knows only the day), and the same number - within
    rounding where they print it in different units."""
    assert left.time is not None and right.time is not None
    if left.source == right.source:
        return False
    near = abs(left.time - right.time) < timedelta(minutes=1)
    if not near and not (_dateless(left.time) or _dateless(right.time)):
        return False
    units = {p.reported.partition(" ")[2] for p in (left, right)}
    tolerance = 1e-6 if len(units) == 1 else 0.015
    return abs(left.value - right.value) <= tolerance * max(abs(left.value), abs(right.value))


def _dateless(when: datetime) -> bool:
    return when.hour == when.minute == when.second == 0


def _issues(points: Iterable[Point]) -> Iterable[Issue]:
    words = {
        "unknown-unit": ("warning", "value", "the unit is not known: the value was not used"),
        "unit-not-of-analyte": ("warning", "value", "the unit does not belong to this measurement"),
        "unit-conflict": (
            "warning",
            "conflict",
            "unit code and printed unit disagree: the value was not used",
        ),
        "missing-unit": (
            "warning",
            "value",
            "no unit, and more than one is possible: the value was not used",
        ),
        "mislabelled-unit": ("warning", "value", "implausible in the unit given, plausible in another"),
        "implausible": ("warning", "value", "outside the plausible range: the value was not used"),
        "wrong-specimen": (
            "warning",
            "conflict",
            "the specimen does not fit the code: the value was not used",
        ),
        "crossed-pair": (
            "warning",
            "conflict",
            "the diastolic pressure is not below the systolic: neither was used",
        ),
        "no-time": ("warning", "incomplete", "no time: the value was not used"),
    }
    for point in points:
        if not point.used and point.reason in words:
            severity, code, text = words[point.reason]
            yield Issue(severity, code, f"{point.biomarker}: {text}", point.source, "assimilate")  # type: ignore[arg-type]
        elif "unit-inferred" in point.flags:
            yield Issue(
                "information", "value", f"{point.biomarker}: no unit given, the only possible one was taken",
                point.source, "assimilate",
            )  # fmt: skip

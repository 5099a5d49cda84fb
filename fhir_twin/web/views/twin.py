"""The twin on the page: each biomarker's course with its numbers, and which sources moved it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fhir_twin.assimilation.history import History, history
from fhir_twin.fhir.write_words import unit_words
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.scenario import Trajectory
from fhir_twin.model.twin import Estimate, Point, Twin
from fhir_twin.pipeline import Run
from fhir_twin.web.charts import Course, Line, Mark, Shape, Target, course_chart
from fhir_twin.web.views.moves import movers_of, waterfall_of
from fhir_twin.web.views.targets import targets
from fhir_twin.web.views.words import ago, day, first_upper, place, signed

YEAR = 365.25 * 86400
AHEAD = 3.0  # years of forecast on the twin's charts
STEPS = 36
MOST = 300  # values of one biomarker that are drawn and listed, the newest; all of them are in the twin
SETTINGS = {
    "home": "home",
    "office": "office",
    "ambulatory": "24-hour",
    "inpatient": "in hospital",
    "unknown": "",
}
REASONS = {
    "unknown-unit": "unit not known",
    "missing-unit": "unit missing",
    "unit-not-of-analyte": "unit does not belong to this test",
    "unit-conflict": "unit and value do not fit",
    "mislabelled-unit": "unit and value do not fit",
    "implausible": "not plausible",
    "duplicate": "the same value twice",
    "not-final": "not final",
    "entered-in-error": "entered in error",
    "recomputed": "computed anew from its parts",
    "creatinine-preferred": "computed anew from creatinine",
    "other-equation": "by another equation",
    "crossed-pair": "systolic below diastolic",
    "before-adulthood": "from before adulthood",
}


@dataclass(frozen=True, slots=True, repr=False)
class PointRow:
    """One value and what became of it. share: of the estimate's move that it caused, 0..1. setting: where and how;
    assay: how, where that is not the usual way."""

    when: datetime | None
    day: str
    value: str
    number: float
    reported: str
    setting: str
    used: bool
    fate: str
    share: float
    shift: str
    source: str
    shape: str
    moved: float
    assay: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class BiomarkerCard:
    """Everything that is shown of one biomarker. status: met | missed | near | "" (no target). past and ahead:
    (years from as_of, median, low, high)."""

    key: str
    name: str
    unit: str
    now: str
    interval: str
    basis: str
    personal: bool
    target: str
    status: str
    status_words: str
    trend: str
    svg: str
    rows: tuple[PointRow, ...]
    older: int
    movers: tuple[PointRow, ...]
    waterfall: str
    past: tuple[tuple[float, float, float, float], ...]
    ahead: tuple[tuple[float, float, float, float], ...]
    low_edge: float | None
    high_edge: float | None


def biomarker_cards(run: Run, k: Knowledge) -> tuple[BiomarkerCard, ...]:
    """Measured ones first, those that miss their target before those that meet it; () for a refused twin."""
    twin = run.twin
    if twin.refused or not twin.biomarkers:
        return ()
    future = next((t for t in run.trajectories if not t.scenario.choices), None)
    past = _past(twin, k)
    wanted = targets(run, k)
    cards = [_card(key, run, k, future, past, wanted.get(key)) for key in twin.biomarkers]
    order = {"missed": 0, "near": 1, "met": 2, "": 3}
    return tuple(sorted(cards, key=lambda c: (not c.personal, order[c.status])))


def standing(found: tuple[BiomarkerCard, ...], most: int = 7) -> tuple[BiomarkerCard, ...]:
    """For the overview: those with a target first, then what else was measured."""
    mine = [c for c in found if c.personal]
    return tuple(sorted(mine, key=lambda c: not c.status)[:most])


def other_points(run: Run, k: Knowledge) -> tuple[tuple[str, tuple[PointRow, ...]], ...]:
    """Values of analytes that the twin does not model: used by rules and equations only."""
    groups: dict[str, list[Point]] = {}
    for point in run.twin.points:
        if point.biomarker not in run.twin.biomarkers:
            groups.setdefault(point.biomarker, []).append(point)
    words = k.safety.words
    return tuple(
        (first_upper(words.analyte(key)), tuple(_row(p, k) for p in reversed(found)))
        for key, found in sorted(groups.items())
    )


def _past(twin: Twin, k: Knowledge) -> History:
    times = [p.time for p in twin.points if p.used and p.time is not None and p.biomarker in twin.biomarkers]
    first = min(times, default=twin.as_of)
    span = (twin.as_of - first).total_seconds()
    if span <= 0:
        return history(twin, k.biomarkers, ())
    grid = sorted({first + timedelta(seconds=span * i / STEPS) for i in range(STEPS + 1)})
    return history(twin, k.biomarkers, [t for t in grid if t <= twin.as_of])


def _card(
    key: str, run: Run, k: Knowledge, future: Trajectory | None, past: History, target: Target | None
) -> BiomarkerCard:
    twin, words = run.twin, k.safety.words
    estimate = twin.estimate(key)
    mine = [p for p in twin.points if p.biomarker == key]
    rows = tuple(_row(p, k) for p in mine)
    before = _clipped(past, key, twin, min((p.time for p in mine if p.used and p.time), default=None))
    ahead = forecast(future, key, estimate, AHEAD)
    lines = (Line(before, "past"), Line(ahead, "now")) if before else (Line(ahead, "now"),)
    name, unit = words.analyte(key), unit_words(estimate.unit)
    now = words.number(key, estimate.mean)
    interval = f"{words.number(key, estimate.low)} to {words.number(key, estimate.high)}"
    seen = f"{estimate.observations} own value{'' if estimate.observations == 1 else 's'}"
    status, said = _status(estimate, target)
    course = Course(
        title=f"{name} over time",
        description=f"{len(mine)} values. Now {now} {unit}, 80 % interval {interval}. "
        + (f"In {AHEAD:g} years {words.number(key, ahead[-1][1])}, {words.number(key, ahead[-1][2])} to "
           f"{words.number(key, ahead[-1][3])}, if all goes on as now. " if len(ahead) > 1 else "")
        + (f"Target {target.words}." if target else "No target."),
        as_of=twin.as_of,
        marks=tuple(_mark(p, twin, k) for p in mine[-MOST:] if p.time is not None),
        lines=lines,
        target=target,
    )  # fmt: skip
    basis = (
        f"{seen}, last {ago(estimate.last, twin.as_of)}"
        if estimate.last
        else "never measured: typical for age and sex"
    )
    return BiomarkerCard(
        key=key,
        name=first_upper(name),
        unit=unit,
        now=now,
        interval=interval,
        basis=basis,
        personal=estimate.basis == "personal",
        target=target.words if target else "",
        status=status if estimate.basis == "personal" else "",
        status_words=said,
        trend=_trend(before, key, k, unit),
        svg=course_chart(course),
        rows=tuple(reversed(rows[-MOST:])),
        older=max(0, len(rows) - MOST),
        movers=movers_of(rows, estimate),
        waterfall=waterfall_of(first_upper(name), unit, rows, estimate),
        past=before,
        ahead=ahead,
        low_edge=target.low if target else None,
        high_edge=target.high if target else None,
    )


def forecast(
    future: Trajectory | None, key: str, estimate: Estimate, years: float
) -> tuple[tuple[float, float, float, float], ...]:
    """(time, median, low, high) from today on; today is the twin's own estimate."""
    rows = [(0.0, estimate.mean, estimate.low, estimate.high)]
    if future is not None and key in future.biomarkers:
        i = future.biomarkers.index(key)
        found = zip(future.times, future.median[:, i], future.low[:, i], future.high[:, i], strict=True)
        rows += [(float(t), float(m), float(a), float(b)) for t, m, a, b in found if 0 < t <= years]
    return tuple(rows)


def _clipped(
    past: History, key: str, twin: Twin, first: datetime | None
) -> tuple[tuple[float, float, float, float], ...]:
    """The smoothed past from the biomarker's own first value on."""
    if first is None or not len(past.median):
        return ()
    i = past.biomarkers.index(key)
    rows = []
    for t, when in enumerate(past.times):
        if when >= first:
            years = (when - twin.as_of).total_seconds() / YEAR
            median, low, high = (float(part[t, i]) for part in (past.median, past.low, past.high))
            rows.append((years, median, low, high))
    return tuple(rows) if len(rows) > 1 else ()


def _row(point: Point, k: Knowledge) -> PointRow:
    fate = "used" if point.used else REASONS.get(point.reason, point.reason.replace("-", " "))
    if point.used and point.weight < 0.999:
        fate = f"used at {100 * point.weight:.0f} % weight (far from what was expected)"
    if point.used and point.assay and not point.gain and point.biomarker in k.biomarkers.keys:
        fate = "used, but another value of that visit says more"
    bound, assay = point.bound or "", k.biomarkers.analytes[point.biomarker].assay_name(point.assay)
    mean = f"mean of {point.readings}" if point.readings > 1 else ""
    number = k.safety.words.number(point.biomarker, point.value)
    digits = 0 if abs(point.shift) >= 10 else 1
    return PointRow(
        when=point.time,
        day=day(point.time),
        value=f"{bound}{number}",
        number=point.value,
        reported=point.reported,
        setting=", ".join(w for w in (SETTINGS.get(point.setting, point.setting), mean, assay) if w),
        used=point.used,
        fate=fate,
        share=point.gain,
        shift=signed(point.shift, digits) if point.used else "",
        source=place(point.source),
        shape=_shape(point),
        moved=point.shift,
        assay=assay,
    )


def _shape(point: Point) -> Shape:
    shapes: dict[str, Shape] = {"home": "ring", "inpatient": "square"}
    return shapes.get(point.setting, "dot") if point.used else "cross"


def _mark(point: Point, twin: Twin, k: Knowledge) -> Mark:
    assert point.time is not None
    years = (point.time - twin.as_of).total_seconds() / YEAR
    row = _row(point, k)
    words = f"{row.day}: {row.value} {row.setting}".strip() + (
        "" if point.used else f" (not used: {row.fate})"
    )
    return Mark(years, point.value, _shape(point), words, weak=point.used and point.weight < 0.999)


def _status(estimate: Estimate, target: Target | None) -> tuple[str, str]:
    """Where the estimate's interval lies against the target."""
    if target is None:
        return "", ""
    high = target.high if target.high is not None else float("inf")
    low = target.low if target.low is not None else float("-inf")
    if low <= estimate.low and estimate.high <= high:
        return "met", "at target"
    if estimate.low > high:
        return "missed", "above target"
    if estimate.high < low:
        return "missed", "below target"
    return "near", "near the target: the interval crosses it"


def _trend(past: tuple[tuple[float, float, float, float], ...], key: str, k: Knowledge, unit: str) -> str:
    """The change over the last years of the smoothed past (three, or all of it), in words; "" for less than half a
    year."""
    back = next((row for row in past if row[0] >= -3.05), None)
    if back is None or back[0] > -0.5:
        return ""
    change = past[-1][1] - back[1]
    over = (
        f"over {round(-12 * back[0])} months"
        if back[0] > -1.75
        else f"over {-back[0]:.1f} years".replace(".0 ", " ")
    )
    if abs(change) < 0.02 * abs(past[-1][1]):
        return f"steady {over}"
    digits = len(k.safety.words.number(key, 1.0).partition(".")[2])
    return f"{signed(change, digits)} {unit} {over}"

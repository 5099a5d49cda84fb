"""Drift over time at one site: do the intervals still hold, do events still come as expected, are the inputs the same?

Coverage of the 80 % interval by quarter of the measured value; observed over expected events by year after the index
(retrospective runs); inputs by quarter: how many values, and the median of their standardised residual, which
moves when an assay or a unit changes. What to do about it: `fhir-twin calibrate`, and a recalibration row for the
risk equation (docs/population.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fhir_twin.errors import InvalidInput
from fhir_twin.population import plots
from fhir_twin.population import statistics as st
from fhir_twin.population.fairness import COVERAGE, FEW
from fhir_twin.population.page import Section, to_html, told
from fhir_twin.population.results import Results
from fhir_twin.population.statistics import NONE, Interval

ENOUGH = 100  # values in a quarter below which no alarm is rung
SHIFTED = 0.25  # median residual, in SDs of the forecast, beyond which the input is said to have moved


@dataclass(frozen=True, slots=True)
class Quarter:
    """One biomarker in one quarter: values, coverage of the 80 % interval, median residual in SDs."""

    biomarker: str
    quarter: str
    values: int
    coverage: Interval
    shift: float


@dataclass(frozen=True, slots=True)
class Year:
    """Events in one year after the index date; events -1 = fewer than 5."""

    year: int
    people: int
    events: int
    expected: float
    ratio: Interval


@dataclass(frozen=True, slots=True)
class Drift:
    quarters: tuple[Quarter, ...]
    years: tuple[Year, ...]
    alarms: tuple[str, ...]
    outcome: str
    recalibration: float


def drift(results: Results, *, outcome: str = "cvd", least: int = 10) -> Drift:
    """recalibration: log of observed over expected events in all, the intercept that `outcomes/recalibration` takes
    (NaN when it cannot be told). Raises InvalidInput when `least` is below 5."""
    if least < 5:
        raise InvalidInput("cells of fewer than 5 people must not be told")
    quarters = tuple(_quarters(results, least))
    years, ratio = _years(results, outcome)
    alarms = [
        f"{q.biomarker} {q.quarter}: 80 % interval holds {100 * q.coverage.value:.0f} % ({q.values} values)"
        for q in quarters
        if q.values >= ENOUGH and (q.coverage.high < COVERAGE[0] or q.coverage.low > COVERAGE[1])
    ]
    alarms += [
        f"{q.biomarker} {q.quarter}: values lie {q.shift:+.2f} SD from their forecasts (assay or unit changed?)"
        for q in quarters
        if q.values >= ENOUGH and abs(q.shift) > SHIFTED
    ]
    if not math.isnan(ratio.value) and (ratio.low > 1.0 or ratio.high < 1.0):
        alarms.append(f"{outcome}: observed over expected events {told(ratio)}")
    shift = math.log(ratio.value) if ratio.value > 0 else math.nan
    return Drift(quarters, years, tuple(alarms), outcome if years else "", shift)


def _quarters(results: Results, least: int) -> list[Quarter]:
    rows = results.rows(
        """
        select biomarker, q, sum(n), median(middle), list(hits), list(n) from (
            select biomarker, patient, year(day::date) || ' Q' || quarter(day::date) as q, count(*) as n,
                sum(inside::int) as hits, median(z) as middle
            from residuals where day != '' group by all
        ) group by biomarker, q having count(*) >= ? order by biomarker, q
        """,
        [least],
    )
    return [
        Quarter(b, q, int(n), st.clustered_share(hits, counts), float(m)) for b, q, n, m, hits, counts in rows
    ]


def _years(results: Results, outcome: str) -> tuple[tuple[Year, ...], Interval]:
    rows = results.rows(
        """
        select r.probability, o.event, o.years from observed o join risks r
            on r.patient = o.patient and r.outcome = o.outcome and r.years = 10
        where o.outcome = ? and o.years > 0
        """,
        [outcome],
    )
    if not rows:
        return (), NONE
    risk, event, years = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    yearly = -np.log1p(-risk) / 10.0
    found = []
    for year in range(min(math.ceil(years.max()), 10)):
        inside = np.clip(years - year, 0.0, 1.0)
        here = inside > 0
        events = int(event[(years > year) & (years <= year + 1)].sum())
        expected = float((yearly * inside).sum())
        few = events < FEW
        ratio = NONE if few else st.observed_expected(events, expected)
        found.append(Year(year + 1, int(here.sum()), -1 if few else events, expected, ratio))
    total = int(event[years <= 10.0].sum())
    whole = (
        st.observed_expected(total, float((yearly * np.minimum(years, 10.0)).sum())) if total >= FEW else NONE
    )
    return tuple(found), whole


def drift_html(found: Drift, results: Results) -> str:
    """Raises NotSupported without matplotlib."""
    facts = [
        ("record ends", str(results.manifest["task"]["as_of"])),
        ("knowledge", str(results.manifest["knowledge"])),
        ("digest of the run", str(results.summary["digest"])[:16]),
    ]
    sections = [_alarms(found), _coverage(found)]
    if found.years:
        sections.append(_events(found))
    return to_html("Drift over time", facts, sections)


def _alarms(found: Drift) -> Section:
    flag = f"{len(found.alarms)} alarms" if found.alarms else "No alarm."
    rows = [("alarm",), *((a,) for a in found.alarms)] if found.alarms else ()
    text = (
        f"Rung when the 95 % interval of a quarter's coverage lies outside {100 * COVERAGE[0]:.0f} to "
        f"{100 * COVERAGE[1]:.0f} %, when values lie more than {SHIFTED} SD off their forecasts (both with {ENOUGH} "
        "values or more), or when events do not come as expected."
    )
    return Section("In short", text, rows, flag=flag)


def _coverage(found: Drift) -> Section:
    rows = [("biomarker", "quarter", "values", "80 % interval holds, % (95 %)", "shift (SD)")]
    rows += [
        (q.biomarker, q.quarter, str(q.values), told(q.coverage, ".0f", 100), f"{q.shift:+.2f}")
        for q in found.quarters
    ]
    figures = []
    ticks = sorted({q.quarter for q in found.quarters})
    by_key: dict[str, dict[str, float]] = {}
    for q in found.quarters:
        by_key.setdefault(q.biomarker, {})[q.quarter] = q.coverage.value
    if ticks:
        most = sorted(by_key, key=lambda k: -len(by_key[k]))[:5]
        lines = [(k, [by_key[k].get(t, math.nan) for t in ticks]) for k in sorted(most)]
        figures.append(
            (
                "coverage by quarter",
                plots.over_time("Coverage of 80 % intervals", "share inside", ticks, lines, COVERAGE),
            )
        )
    return Section("Do the intervals still hold?", "", rows, figures)


def _events(found: Drift) -> Section:
    rows = [("year after index", "people", "events", "expected", "observed / expected (95 %)")]
    rows += [
        (
            str(y.year),
            str(y.people),
            "fewer than 5" if y.events < 0 else str(y.events),
            f"{y.expected:.1f}",
            told(y.ratio),
        )
        for y in found.years
    ]
    after = "" if math.isnan(found.recalibration) else (
        f"Recalibration on the log hazard: intercept {found.recalibration:+.3f} (slope kept at 1)."
    )  # fmt: skip
    return Section(f"Do events come as expected? ({found.outcome})", "", rows, after=after)

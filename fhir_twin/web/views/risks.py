"""Risks on the page: intervals, how they moved over the last years, what they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fhir_twin.fhir.write_words import outcome_words
from fhir_twin.model.scenario import EventRisk
from fhir_twin.pipeline import Run
from fhir_twin.web.charts import RiskBar, risk_chart
from fhir_twin.web.views.words import between, day, first_upper, horizon, place, points, share

Past = tuple[tuple[datetime, tuple[EventRisk, ...]], ...]


@dataclass(frozen=True, slots=True, repr=False)
class RiskRow:
    """trend: (day, risk, interval) as the record stood then, oldest first (the equation is named when another variant
    of it had to be used); moved: the change in words."""

    name: str
    horizon: str
    years: float
    risk: str
    interval: str
    equation: str
    basis: tuple[str, ...]
    trend: tuple[tuple[str, str, str], ...]
    moved: str


@dataclass(frozen=True, slots=True, repr=False)
class RiskView:
    """charts: (horizon in words, SVG). missing: why an equation gives nothing, in words."""

    rows: tuple[RiskRow, ...]
    charts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def risk_view(run: Run, past: Past = ()) -> RiskView:
    """past: risks at earlier moments, as the record stood then (see pipeline.risks_at)."""
    risks = run.plan.risks
    years = sorted({r.horizon_years for r in risks})
    charts = []
    for span in years:
        mine = [r for r in risks if r.horizon_years == span]
        bars = tuple(
            RiskBar(first_upper(outcome_words(r.outcome)), r.probability, r.low, r.high) for r in mine
        )
        told = "; ".join(f"{b.name} {share(b.estimate)} ({share(b.low)} to {share(b.high)})" for b in bars)
        title = f"Risks within {horizon(span)} if all goes on as now"
        charts.append((horizon(span), risk_chart(bars, title, told)))
    order = {span: i for i, span in enumerate(sorted(years, key=lambda y: (y != 10.0, y)))}
    charts.sort(key=lambda c: order[next(y for y in years if horizon(y) == c[0])])
    said = dict.fromkeys(i.diagnostics for t in run.trajectories[:1] for i in t.issues)
    return RiskView(tuple(_row(r, past) for r in risks), tuple(charts), tuple(said))


def _row(risk: EventRisk, past: Past) -> RiskRow:
    before = [
        (when, r)
        for when, risks in past
        for r in risks
        if (r.outcome, r.horizon_years, r.equation.split()[0])
        == (risk.outcome, risk.horizon_years, risk.equation.split()[0])
    ]
    moved = ""
    if before:
        change = risk.probability - before[0][1].probability
        moved = f"{points(change)} points since {day(before[0][0])}"
    return RiskRow(
        name=first_upper(outcome_words(risk.outcome)),
        horizon=horizon(risk.horizon_years),
        years=risk.horizon_years,
        risk=share(risk.probability),
        interval=between(risk.low, risk.high),
        equation=risk.equation,
        basis=tuple(place(s) for s in risk.basis),
        trend=tuple(
            (
                day(when),
                share(r.probability),
                between(r.low, r.high).replace("none", "no interval")
                + ("" if r.equation == risk.equation else f", {r.equation}"),
            )
            for when, r in before
        ),
        moved=moved,
    )

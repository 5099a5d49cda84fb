"""What-if, the answer: side by side with "continue as now", never without its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.write_words import outcome_words, unit_words
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.scenario import Choice, Sensitivity, Trajectory
from fhir_twin.pipeline import Run
from fhir_twin.simulation import sensitivity, what_if
from fhir_twin.simulation.combine import allowed_together
from fhir_twin.web.charts import SMALL, Course, Line, RiskBar, course_chart, risk_chart
from fhir_twin.web.views.choices import Wish, choices_of
from fhir_twin.web.views.targets import targets
from fhir_twin.web.views.twin import forecast
from fhir_twin.web.views.words import first_upper, horizon, number, points, share, signed


@dataclass(frozen=True, slots=True, repr=False)
class OutcomeRow:
    """Risk as now and under the what-if, both with their 80 % intervals, and the difference."""

    name: str
    horizon: str
    now: str
    now_interval: str
    then: str
    then_interval: str
    difference: str
    difference_interval: str
    better: str
    direction: str


@dataclass(frozen=True, slots=True, repr=False)
class CourseRow:
    """A biomarker that the what-if moves: at one year, and its chart with both courses."""

    key: str
    name: str
    unit: str
    change: str
    interval: str
    svg: str
    now: tuple[tuple[float, float, float, float], ...]
    option: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The answer. relative: (outcome, ratio, interval, basis) where no absolute risk can be given. warnings: what
    safety rules say of taking these together. hangs_on: what the answer depends on most."""

    name: str
    outcomes: tuple[OutcomeRow, ...]
    chart: str
    courses: tuple[CourseRow, ...]
    relative: tuple[tuple[str, str, str, str], ...]
    qaly: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    hangs_on: tuple[tuple[str, str, str, str], ...] = ()


def answer(run: Run, k: Knowledge, wish: Wish, *, deep: bool = False) -> Answer:
    """deep: ask also what the answer hangs on (some tens of milliseconds more). Raises InvalidInput."""
    choices = choices_of(run, k, wish)
    if not choices:
        raise InvalidInput("choose at least one thing to change")
    now, option = what_if(
        run.twin, choices, k.biomarkers, k.interventions, k.outcomes, horizon_years=wish.horizon
    )
    rows = _outcomes(now, option)
    drugs = tuple(k.interventions.get(c.intervention) for c in choices if not c.stop)
    hits = allowed_together(run.coded, run.twin, drugs, k.safety) if len(drugs) > 1 else ()
    found = sensitivity(run.twin, option.scenario, k.biomarkers, k.interventions, k.outcomes) if deep else ()
    return Answer(
        name="; ".join(_named(c, k) for c in choices),
        outcomes=rows,
        chart=_chart(now, option, wish.horizon),
        courses=tuple(_course(key, change, run, k, now, option) for key, *change in option.biomarker_changes),
        relative=tuple(
            (
                first_upper(outcome_words(r.outcome)),
                f"{r.ratio:.2f}",
                f"{r.low:.2f} to {r.high:.2f}",
                r.basis,
            )
            for r in option.relative
        ),
        qaly=_qaly(option),
        notes=tuple(dict.fromkeys(i.diagnostics for i in (*now.issues, *option.issues))),
        warnings=tuple(dict.fromkeys(h.reason for h in hits)),
        hangs_on=tuple(_hangs_on(s, k) for s in found[:6] if s.swing >= 0.0005),
    )


def _named(choice: Choice, k: Knowledge) -> str:
    item = k.interventions.get(choice.intervention)
    if choice.stop:
        return f"Stop: {item.title.lower()}"
    label = item.dose(choice.dose).label
    return f"{item.title}: {label}" if item.kind == "medication" and label else item.title


def _outcomes(now: Trajectory, option: Trajectory) -> tuple[OutcomeRow, ...]:
    before = {(r.outcome, r.horizon_years): r for r in now.risks}
    after = {(r.outcome, r.horizon_years): r for r in option.risks}
    rows = []
    for change in option.changes:
        key = (change.outcome, change.horizon_years)
        if key not in before or key not in after:
            continue
        b, a = before[key], after[key]
        still = abs(change.difference) < 0.0005 and abs(change.low) < 0.0005 and abs(change.high) < 0.0005
        direction = "same" if still else "better" if change.difference < 0 else "worse"
        better = "not touched" if still else f"{100 * change.better:.0f} %"
        rows.append(
            OutcomeRow(
                name=first_upper(outcome_words(change.outcome)),
                horizon=horizon(change.horizon_years),
                now=share(b.probability),
                now_interval=f"{share(b.low)} to {share(b.high)}",
                then=share(a.probability),
                then_interval=f"{share(a.low)} to {share(a.high)}",
                difference=points(change.difference),
                difference_interval=f"{points(change.low)} to {points(change.high)}",
                better=better,
                direction=direction,
            )
        )
    return tuple(rows)


def _chart(now: Trajectory, option: Trajectory, years: float) -> str:
    after = {(r.outcome, r.horizon_years): r for r in option.risks}
    pairs = [(b, after.get((b.outcome, b.horizon_years))) for b in now.risks if b.horizon_years <= years]
    bars = tuple(
        RiskBar(
            first_upper(outcome_words(b.outcome))
            + ("" if b.horizon_years == years else f", {horizon(b.horizon_years)}"),
            b.probability, b.low, b.high, (a.probability, a.low, a.high),
        )
        for b, a in pairs if a is not None
    )  # fmt: skip
    told = "; ".join(
        f"{b.name}: {share(b.estimate)} as now, {share(b.other[0])} then" for b in bars if b.other
    )
    return risk_chart(bars, f"Risks within {horizon(years)}, as now and under the what-if", told)


def _course(
    key: str, change: list[float], run: Run, k: Knowledge, now: Trajectory, option: Trajectory
) -> CourseRow:
    words, estimate = k.safety.words, run.twin.estimate(key)
    years = option.scenario.horizon_years
    first, second = (forecast(t, key, estimate, years) for t in (now, option))
    digits = len(words.number(key, 1.0).partition(".")[2])
    name, unit = words.analyte(key), unit_words(estimate.unit)
    interval = f"{signed(change[1], digits)} to {signed(change[2], digits)}"
    course = Course(
        title=f"{name}, as now and under the what-if",
        description=f"One year on: {signed(change[0], digits)} {unit} against continuing as now, "
        f"80 % interval {interval}.",
        as_of=run.twin.as_of,
        lines=(Line(first, "now", "as now"), Line(second, "option", "what-if")),
        target=targets(run, k).get(key),
        width=SMALL,
    )
    return CourseRow(
        key, first_upper(name), unit, signed(change[0], digits), interval, course_chart(course), first, second
    )


def _qaly(option: Trajectory) -> str:
    if option.qaly is None:
        return ""
    mean, low, high = (365.25 * part for part in option.qaly)
    span = horizon(option.scenario.horizon_years)
    return (
        f"{signed(mean, 0)} days in full health within {span} (80 % interval {signed(low, 0)} to {signed(high, 0)}), "
        "counting only the events above"
    )


def _hangs_on(found: Sensitivity, k: Knowledge) -> tuple[str, str, str, str]:
    """(input, its ends, change at the low end, at the high end)."""
    if found.input in k.biomarkers.keys:
        words = k.safety.words
        ends = f"{words.number(found.input, found.low)} to {words.amount(found.input, found.high)}"
        name = first_upper(words.analyte(found.input))
    else:
        name, ends = first_upper(found.input), f"{'no' if found.low == 0 else number(found.low)} or yes"
    return name, ends, points(found.change_low), points(found.change_high)

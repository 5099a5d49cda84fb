"""Trial reports as HTML: one trial on a cohort, or all replicas of published trials."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_twin.population import plots
from fhir_twin.population.page import Section, to_html, told
from fhir_twin.population.statistics import Interval
from fhir_twin.population.trial_published import Replicated
from fhir_twin.population.trial_run import TrialResult
from fhir_twin.population.trial_simulate import EventResult, MeanResult


def trial_html(result: TrialResult, facts: Sequence[tuple[str, str]]) -> str:
    """Raises NotSupported without matplotlib."""
    p = result.protocol
    lines = [
        *facts,
        ("screened", f"{result.screened:,}"),
        ("eligible", f"{result.eligible:,}"),
        (f"with a forecast of {p.primary}", f"{result.usable:,}"),
        ("participants in each virtual trial", f"{p.participants:,}"),
        ("follow-up", f"{p.follow_up:g} years"),
        ("virtual trials", f"{p.replicates} (seed {p.seed})"),
    ]
    sections = [
        _arms(result),
        *(_events(e, p.power) for e in result.events),
        *(_means(m) for m in result.means),
    ]
    return to_html(f"In-silico trial: {p.title}", lines, [*sections, _limits(result)])


def _arms(result: TrialResult) -> Section:
    rows = [("arm", "share", "what is done")]
    for arm in result.protocol.arms:
        done = "; ".join(
            ("stop " if c.stop else "") + f"{c.intervention} {c.dose}"
            + (f", adherence {c.adherence:g}" if c.adherence is not None else "")
            for c in arm.choices
        )  # fmt: skip
        rows.append((arm.name, f"{arm.share:g}", done or "goes on as now"))
    return Section("Arms", "", rows)


def _events(e: EventResult, power: float) -> Section:
    rows = [
        ("", "value"),
        ("expected in the eligible: control", f"{100 * e.expected[0]:.2f} %"),
        (f"expected in the eligible: {e.arm}", f"{100 * e.expected[1]:.2f} %"),
        ("difference of probability (uncertainty of effects)", told(e.difference, "+.2f", 100) + " points"),
        ("events per virtual trial: control, treated", f"{e.events[0]:.1f}, {e.events[1]:.1f}"),
        ("hazard ratio, middle 95 % of trials", told(e.unadjusted.ratio)),
        ("power (share of trials that find it)", f"{100 * e.unadjusted.power:.0f} %"),
    ]
    if e.adjusted is not None:
        rows += [
            ("hazard ratio, adjusted for the twin's forecast", told(e.adjusted.ratio)),
            ("power, adjusted", f"{100 * e.adjusted.power:.0f} %"),
        ]
    if e.needed is not None:
        rows.append((f"participants for {100 * power:.0f} % power (Schoenfeld)", f"{e.needed:,}"))
    title = f"{e.outcome}: {e.arm} against control"
    figures = [(f"share with {e.outcome} by arm", plots.curves(title, "with the event (%)", e.curves))]
    if e.subgroups:
        bars = [plots.Bar(f"{d}: {g} (n {n})", i) for d, g, n, i in e.subgroups]
        forest = plots.forest("Subgroups", "hazard ratio", bars, level=1.0, log=True)
        figures.append(("hazard ratio by subgroup", forest))
        rows += [(f"subgroup {d}: {g} ({n} people)", told(i)) for d, g, n, i in e.subgroups]
    text = (
        "The adjusted ratio is conditional on the forecast and lies a little farther from 1 than the unadjusted one, "
        "as it should (non-collapsibility). Subgroup ratios are what the model says, without sampling."
    )
    return Section(f"{e.outcome}: {e.arm}", text, rows, figures)


def _means(m: MeanResult) -> Section:
    rows = [
        ("", "value"),
        ("mean difference, middle 95 % of trials", told(m.difference, "+.2f")),
        ("standard error, plain and adjusted for the forecast", f"{m.se:.3f}, {m.se_adjusted:.3f}"),
        ("power, plain and adjusted", f"{100 * m.power:.0f} %, {100 * m.power_adjusted:.0f} %"),
        ("participants saved by the adjustment", f"{100 * m.saved:.0f} %"),
    ]
    return Section(f"{m.outcome.partition(':')[2]} at the end of follow-up: {m.arm}", "", rows)


def _limits(result: TrialResult) -> Section:
    text = (
        "A virtual trial can be no truer than its cohort, its risk equations and the trial ratios that it applies; it "
        "plans trials (size, who gains, how much a prognostic covariate saves) and does not replace them. The twin's "
        "forecast enters as a covariate, never as a control arm. Expect absolute rates 10 to 40 % off without "
        "recalibration."
    )
    return Section("What this does not show", " ".join([text, *result.notes]))


def published_html(found: Sequence[Replicated], facts: Sequence[tuple[str, str]]) -> str:
    """All replicas; a miss is shown, not hidden."""
    rows = [
        (
            "trial",
            "published (95 %)",
            "our effect (95 %)",
            "a trial of that size would find",
            "met",
            "basis",
            "source",
        )
    ]
    bars: list[plots.Bar] = []
    for r in found:
        p = r.published
        met = ("yes" if r.met else "NO") + (" (circular)" if p.circular else "")
        published = Interval(p.ratio, p.low, p.high)
        rows.append((r.title, told(published), told(r.effect), told(r.trial), met, r.basis, p.source))
        bars += [plots.Bar(f"{r.key}: published", published, True), plots.Bar("ours", r.effect)]
    own = [r for r in found if not r.published.circular]
    good = sum(r.met for r in own)
    missed = ", ".join(r.title for r in found if not r.met)
    text = (
        "Met: our effect lies inside the published interval. Circular: our ratio rests on that trial, so meeting it "
        "proves the arithmetic only. Trials stopped early for benefit overstate effects and are expected to be missed. "
        + (f"Missed: {missed}." if missed else "")
    )
    flag = f"{good} of {len(own)} independent trials met, {sum(r.met for r in found)} of {len(found)} in all"
    figure = (
        "published and predicted hazard ratios",
        plots.forest("Published trials", "hazard ratio", bars, level=1.0, log=True),
    )
    return to_html(
        "Published trials, replicated", facts, [Section("Result", text, rows, [figure], flag=flag)]
    )

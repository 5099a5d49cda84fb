"""One patient's run in words, for a terminal: what was read, coded, twinned, proposed and written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from fhir_twin.errors import Issue
from fhir_twin.model.plan import Recommendation
from fhir_twin.model.scenario import EventRisk, RiskChange
from fhir_twin.model.twin import Estimate
from fhir_twin.pipeline import Run
from fhir_twin.service import Outcome

WIDTH = 108


def describe(outcome: Outcome, *, issues: bool = True) -> str:
    """The whole report of one patient; never raises for a failed one."""
    return "\n".join(_lines(outcome, issues))


def _lines(outcome: Outcome, issues: bool) -> Iterator[str]:
    run = outcome.run
    yield _rule(f"Patient {outcome.patient}" + (f"  {run.plan.patient_label}" if run else ""))
    if outcome.error is not None:
        yield _wrap(f"FAILED: {outcome.error.message}")
    if run is not None:
        yield from _read(run)
        yield from _coded(run)
        yield from _twin(run)
        yield from _plan(run)
    yield from _written(outcome)
    if issues:
        yield from _issues(outcome.issues)


def _read(run: Run) -> Iterator[str]:
    chart = run.chart
    counts = ", ".join(f"{n} {type_}" for type_, n in chart.counts if n)
    age = chart.age_at(chart.as_of)
    who = f"{chart.patient.sex}, {int(age)} years" if age is not None else f"{chart.patient.sex}, age unknown"
    yield _wrap(f"Read ({who}, as of {chart.as_of:%Y-%m-%d}): {counts or 'nothing'}", indent=2)
    yield from _completeness(run)


def _completeness(run: Run) -> Iterator[str]:
    """What is missing, type by type; types of which nothing can be said share a line."""
    told = [c for c in run.chart.completeness if c.state not in ("complete", "not-offered", "not-asked")]
    for item in (c for c in told if c.state != "unknown"):
        expected = "?" if item.expected is None else item.expected
        yield f"  ! {item.type}: {item.state}, read {item.read} of {expected} {item.note}".rstrip()
    for note in dict.fromkeys(c.note for c in told if c.state == "unknown"):
        types = ", ".join(c.type for c in told if c.state == "unknown" and c.note == note)
        yield _wrap(f"Completeness unknown ({note or 'no count given'}): {types}", indent=2)


def _coded(run: Run) -> Iterator[str]:
    decisions = run.coded.decisions
    if not decisions:
        return
    yield "  Coded from text:"
    for item in decisions:
        d = item.decision
        words = " ".join(d.text[slice(*d.span)].split()) or d.text
        said = f'"{textwrap.shorten(words, 48)}"'
        if d.abstained:
            yield _wrap(f"{said} -> not coded: {d.reason}", indent=4)
        else:
            codes = "; ".join(f"{_system(c.system)} {c.code} {c.display}" for c in d.chosen)
            yield _wrap(f"{said} -> {codes} ({d.assertion}, {d.confidence:.2f}, {d.method})", indent=4)


def _twin(run: Run) -> Iterator[str]:
    twin = run.twin
    if twin.refused:
        yield _wrap(f"Twin: none, because {twin.refused}", indent=2)
        return
    used = sum(p.used for p in twin.points)
    yield f"  Twin ({used} of {len(twin.points)} values used; 80 % intervals):"
    for key in twin.biomarkers:
        yield "    " + estimate_line(twin.estimate(key))


def estimate_line(e: Estimate) -> str:
    """ "sbp  146 (138-155) mm[Hg], 12 values, last 2026-03-01"."""
    seen = f"{e.observations} values, last {e.last:%Y-%m-%d}" if e.last else "population only, never measured"
    return f"{e.biomarker:<18} {number(e.mean):>6} ({number(e.low)}-{number(e.high)}) {e.unit}, {seen}"


def _plan(run: Run) -> Iterator[str]:
    plan = run.plan
    if plan.refused:
        yield _wrap(f"Plan: refused, because {plan.refused}", indent=2)
    for risk in plan.risks:
        yield "  Risk: " + risk_line(risk)
    if plan.recommendations:
        yield "  Proposals (draft, for a clinician to decide):"
    for recommendation in plan.recommendations:
        yield from _recommendation(recommendation)
    for finding in plan.findings:
        yield _wrap(f"! {finding.severity}: {finding.text}", indent=2)
    for rejection in (x for x in plan.rejected if x.kind != "not-indicated"):
        yield _wrap(f"Considered and rejected: {rejection.scenario.name}: {rejection.reason}", indent=2)
    idle = "; ".join(x.scenario.name for x in plan.rejected if x.kind == "not-indicated")
    if idle:
        yield _wrap(f"Not indicated: {idle}", indent=2)
    for question in plan.questions:
        yield _wrap(f"? {question.text} ({question.reason})", indent=2)


def _recommendation(r: Recommendation) -> Iterator[str]:
    grade = ", ".join(x for x in (r.strength, r.certainty) if x)
    yield _wrap(f"{r.rank}. {r.title}" + (f" [{grade}]" if grade else ""), indent=4)
    for change in (
        c for c in r.changes if c.low or c.high
    ):  # an outcome that this does not touch says nothing
        yield "       " + change_line(change)
    for reason in r.why:
        yield _wrap(f"why: {reason.text}", indent=7)
    for caution in r.cautions:
        yield _wrap(f"caution: {caution.text}", indent=7)
    for harm in r.harms:
        yield _wrap(f"harm: {harm}", indent=7)
    for citation in r.citations:
        where = citation.doi or citation.pmid or citation.url
        yield _wrap(f"source: {citation.text} {where}".rstrip(), indent=7)


def change_line(c: RiskChange) -> str:
    """ "cvd in 10 y: -3.1 points (-4.4 to -1.9), better in 99 % of draws"."""
    return (
        f"{c.outcome} in {c.horizon_years:g} y: {100 * c.difference:+.1f} points "
        f"({100 * c.low:+.1f} to {100 * c.high:+.1f}), better in {100 * c.better:.0f} % of draws"
    )


def risk_line(risk: EventRisk) -> str:
    return (
        f"{risk.outcome} in {risk.horizon_years:g} y {100 * risk.probability:.1f} % "
        f"({100 * risk.low:.1f}-{100 * risk.high:.1f}) by {risk.equation}"
    )


def _written(outcome: Outcome) -> Iterator[str]:
    written = outcome.written
    if written is None:
        return
    verb = "Would write" if written.dry_run else "Written"
    if not written.changed:
        yield f"  {verb}: nothing, the server already holds this plan"
    else:
        yield f"  {verb} ({written.mode}):"
    for item in written.items:
        if item.action != "unchanged":
            yield f"    {item.action:<18} {item.reference or item.type} {item.note}".rstrip()


def _issues(issues: tuple[Issue, ...]) -> Iterator[str]:
    for issue in (i for i in issues if i.severity != "information"):
        yield _wrap(
            f"{issue.severity} ({issue.stage}): {issue.diagnostics} {issue.expression}".rstrip(), indent=2
        )
    quiet = sum(i.severity == "information" for i in issues)
    if quiet:
        yield f"  and {quiet} notes of information (--json shows them)"


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - int(f"{value:e}".split("e")[1]))
    return f"{value:.{digits}f}"


def _system(uri: str) -> str:
    names = {"http://snomed.info/sct": "SNOMED CT", "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM"}
    names |= {"http://loinc.org": "LOINC", "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm"}
    return names.get(uri, uri)


def _rule(title: str) -> str:
    return f"-- {title} " + "-" * max(4, WIDTH - len(title) - 4)


def _wrap(text: str, indent: int = 0) -> str:
    pad = " " * indent
    return textwrap.fill(text, WIDTH, initial_indent=pad, subsequent_indent=pad + "  ")

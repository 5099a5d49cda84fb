"""The fairness and validity report as HTML and as plain data."""

from __future__ import annotations

import math
from typing import Any

from fhir_twin.model.plain import to_plain
from fhir_twin.population import plots
from fhir_twin.population.fairness import COVERAGE, Fairness, GroupRow
from fhir_twin.population.page import Section, to_html, told
from fhir_twin.population.results import Results


def fairness_html(found: Fairness, results: Results) -> str:
    """Raises NotSupported without matplotlib."""
    task = results.manifest["task"]
    facts = [
        ("people with a plan", str(found.rows[0].people)),
        ("record ends", str(task["as_of"])),
        ("predictions made as of", str(task["index"] or task["as_of"])),
        ("knowledge", str(results.manifest["knowledge"])),
        ("digest of the run", str(results.summary["digest"])[:16]),
    ]
    sections = [_summary(found)]
    if found.outcome:
        sections += [_calibration(found), _discrimination(found)]
    sections += [_coverage(found), _proposals(found), _missing(found), _method(found)]
    return to_html("Fairness and validity", facts, sections)


def fairness_plain(found: Fairness) -> dict[str, Any]:
    """JSON form; suppressed groups hold no numbers."""
    plain = to_plain(found)
    assert isinstance(plain, dict)
    return plain


def _summary(found: Fairness) -> Section:
    flagged = [(r, flag) for r in found.rows for flag in r.flags]
    rows = [("dimension", "group", "people", "what differs")]
    rows += [(r.dimension, r.group, str(r.people), flag) for r, flag in flagged]
    text = (
        "A group is named here when its interval does not hold the value of everybody together. With this many "
        "groups and measures a few are named by chance alone; look at the size of the difference below. "
        "Differences in proposals "
        "may be right (age and disease differ between groups) and must be judged, not levelled."
    )
    flag = f"{len(flagged)} differences beyond chance" if flagged else "No group differs beyond chance."
    return Section("In short", text, rows if flagged else (), flag=flag)


def _label(r: GroupRow) -> str:
    return "everybody" if r.dimension == "all" else f"{r.dimension}: {r.group}"


def _bars(found: Fairness, name: str) -> list[plots.Bar]:
    shown = [(r, getattr(r, name)) for r in found.rows if not r.suppressed]
    return [plots.Bar(_label(r), i, r.dimension == "all") for r, i in shown if not math.isnan(i.value)]


def _events(r: GroupRow) -> str:
    return "fewer than 5" if r.events < 0 else str(r.events)


def _calibration(found: Fairness) -> Section:
    rows = [("group", "people", "events", "expected", "observed / expected (95 %)")]
    for r in found.rows:
        if r.suppressed:
            rows.append((_label(r), "suppressed", "", "", ""))
        else:
            expected = "–" if math.isnan(r.expected) else f"{r.expected:.1f}"
            rows.append((_label(r), str(r.people), _events(r), expected, told(r.calibration)))
    figures = []
    bars = _bars(found, "calibration")
    if bars:
        figures.append(
            ("observed over expected events by group", plots.forest(
                f"Calibration: {found.outcome}", "observed / expected", bars, level=1.0, log=True))
        )  # fmt: skip
    if found.deciles:
        title = f"{found.outcome} over {found.followed:.1f} years"
        figures.append(("calibration by groups of risk", plots.calibration(title, found.deciles)))
    text = (
        f"Events after the index date against what the risk equation expected over each person's own follow-up "
        f"(mean {found.followed:.1f} years). 1 is right; above 1 the risk is told too low. A site "
        f"recalibrates with its own data."
    )
    return Section("Calibration", text, rows, figures)


def _discrimination(found: Fairness) -> Section:
    rows = [("group", "people", "Harrell's C (95 %)")]
    rows += [(_label(r), str(r.people), told(r.discrimination)) for r in found.rows if not r.suppressed]
    bars = _bars(found, "discrimination")
    figures = (
        [("Harrell's C by group", plots.forest("Discrimination", "Harrell's C", bars, level=0.5))]
        if bars
        else []
    )
    text = (
        "Share of pairs in which the person who had the event first had the higher risk; 0.5 is a coin. Not told for "
        "fewer than 5 events."
    )
    return Section("Discrimination", text, rows, figures)


def _coverage(found: Fairness) -> Section:
    rows = [("group", "people", "80 % interval holds, % (95 %)")]
    rows += [(_label(r), str(r.people), told(r.coverage, ".1f", 100)) for r in found.rows if not r.suppressed]
    bars = _bars(found, "coverage")
    figures = (
        [(
                "coverage of the 80 % intervals by group",
                plots.forest("Coverage of forecasts", "share inside", bars, level=0.8),
            )]
        if bars
        else []
    )  # fmt: skip
    low, high = (f"{100 * c:.0f}" for c in COVERAGE)
    text = (
        "Every measured value with a history before it, against the interval forecast from that history alone. Alarm "
        f"outside {low} to {high} %."
    )
    return Section("Do the intervals hold?", text, rows, figures)


def _proposals(found: Fairness) -> Section:
    rows = [("group", "people", "any proposal with a benefit, % (95 %)", "a drug among them, % (95 %)")]
    rows += [
        (_label(r), str(r.people), told(r.proposed, ".1f", 100), told(r.drug_proposed, ".1f", 100))
        for r in found.rows
        if not r.suppressed
    ]
    bars = _bars(found, "proposed")
    figures = [
        ("proposal rates by group", plots.forest("Proposal rates", "share of people", bars, level=None))
    ]
    return Section("Who is proposed something?", "", rows, figures)


def _missing(found: Fairness) -> Section:
    rows = [("group", "people", "ten-year risk could be told, % (95 %)", "biomarkers measured, mean")]
    rows += [
        (_label(r), str(r.people), told(r.risk_told, ".1f", 100), f"{r.measured:.1f}")
        for r in found.rows
        if not r.suppressed
    ]
    text = "A group whose records hold less gets fewer risks and fewer proposals, however fair the model is."
    return Section("What is missing?", text, rows)


def _method(found: Fairness) -> Section:
    text = (
        "Shares: Wilson intervals. Observed/expected: exact Poisson interval of the observed count; expected = sum of "
        "each person's hazard over the time followed (to the event, death or the end of the record). C: spread between "
        "cases plus spread between controls. Coverage: ratio estimator with the variance between patients. "
        "Groups too small are "
        "suppressed, and the next smallest with them if only one would be. "
    )
    return Section("How this was computed", text + " ".join(found.notes))

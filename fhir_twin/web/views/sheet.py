"""The patient's sheet: in plain words, to print and hand over. The clinician decides what is on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_twin.model.decision import Decision
from fhir_twin.model.scenario import EventRisk
from fhir_twin.pipeline import Run
from fhir_twin.web.views.words import day, first_upper

# In the words of the sheet: what happens to people.
_EVENTS = {
    "cvd": "have a heart attack, a stroke or heart failure",
    "ascvd": "have a heart attack or a stroke",
    "heart-failure": "get heart failure",
    "kidney-failure": "get kidney failure",
    "diabetes": "get type 2 diabetes",
    "mi": "have a heart attack",
    "stroke": "have a stroke",
}
_SHOWN = ("cvd", "ascvd", "kidney-failure", "diabetes", "heart-failure")
MOST_RISKS = 3


@dataclass(frozen=True, slots=True, repr=False)
class Frequency:
    """Of `of` people like the patient, `count` have the event; low and high: the interval in people."""

    words: str
    years: str
    count: int
    low: int
    high: int
    of: int


@dataclass(frozen=True, slots=True, repr=False)
class Sheet:
    """steps: (title, words, agreed); ask: what is to be found out; goals: in words."""

    name: str
    day: str
    risks: tuple[Frequency, ...]
    steps: tuple[tuple[str, str, bool], ...]
    goals: tuple[str, ...]
    ask: tuple[str, ...]
    only_agreed: bool


def sheet(run: Run, decisions: Mapping[str, Decision]) -> Sheet:
    """What was accepted; while nothing was decided yet, all that was proposed. What was declined is never on it."""
    agreed = {key for key, d in decisions.items() if d.action == "accept"}
    declined = {key for key, d in decisions.items() if d.action == "reject"}
    recs = [r for r in run.plan.recommendations if r.key not in declined]
    shown = [r for r in recs if r.key in agreed] if agreed else recs
    steps = [
        (_title(r.title), r.patient_text, r.key in agreed) for r in shown if r.patient_text or r.key in agreed
    ]
    return Sheet(
        name=run.chart.patient.name,
        day=day(run.chart.as_of),
        risks=_frequencies(run.plan.risks),
        steps=tuple(steps),
        goals=tuple(
            dict.fromkeys(g.concept.label for g in run.chart.goals if g.status in ("active", "accepted"))
        )
        or tuple(dict.fromkeys(g.description for g in run.plan.goals)),
        ask=tuple(_asked(q.text) for q in run.plan.questions if not q.loinc),
        only_agreed=bool(agreed),
    )


def _asked(text: str) -> str:
    """Without the words that are for the clinician."""
    return first_upper(text.removeprefix("Find out: ").removeprefix("Confirm or rule out: "))


def _title(title: str) -> str:
    return first_upper(title)


def _frequencies(risks: tuple[EventRisk, ...]) -> tuple[Frequency, ...]:
    found = {}
    for risk in risks:
        if risk.outcome in _SHOWN and risk.horizon_years <= 10 and risk.outcome not in found:
            found[risk.outcome] = risk
    ordered = [found[key] for key in _SHOWN if key in found]
    if "cvd" in found:  # one number for heart and vessels is enough
        ordered = [r for r in ordered if r.outcome not in ("ascvd", "heart-failure")]
    return tuple(map(_frequency, ordered[:MOST_RISKS]))


def _frequency(risk: EventRisk) -> Frequency:
    of = 100 if risk.probability >= 0.02 else 1000
    count, low, high = (round(of * p) for p in (risk.probability, risk.low, risk.high))
    years = f"{risk.horizon_years:g} years"
    return Frequency(_EVENTS.get(risk.outcome, risk.outcome), years, count, low, high, of)

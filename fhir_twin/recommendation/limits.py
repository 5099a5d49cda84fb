"""What this plan does not know: said in words, next to the advice."""

from __future__ import annotations

from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.due import not_due
from fhir_twin.recommendation.sentence import capital

STALE_DAYS = 730


def limits(case: Case, safety_only: str) -> tuple[str, ...]:
    """Sentences for the reader; the most important first."""
    found = []
    if safety_only:
        found.append(f"{capital(safety_only)}.")
    coded = case.coded
    if not (case.twin.points or coded.problems or coded.medications):
        found.append(
            "The record holds no measurement, problem or drug: only what to measure first is proposed."
        )
    if case.twin.refused:
        found.append(f"The twin gives no forecast: {case.twin.refused}.")
    found += [_missing_types(case), _population(case), _old(case), _equations(case), _allergies(case)]
    done = () if safety_only else not_due(case.guidelines.screening, case)
    found.append(f"Screening not due: {'; '.join(done)}." if done else "")
    found.append(
        "A problem or drug that is not in the record is taken as absent. The plan is a draft by an algorithm for a "
        "clinician to check; it is not for emergencies."
    )
    return tuple(text for text in found if text)


def _missing_types(case: Case) -> str:
    states = {
        "not-permitted": "not permitted",
        "not-offered": "not offered",
        "failed": "failed",
        "short": "incomplete",
    }
    parts = [f"{c.type} ({states[c.state]})" for c in case.coded.chart.completeness if c.state in states]
    return f"The record was not read completely: {', '.join(parts)}." if parts else ""


def _population(case: Case) -> str:
    guessed = [key for key in case.twin.biomarkers if case.twin.estimate(key).basis == "population"]
    names = ", ".join(case.words.analyte(key) for key in guessed)
    return f"Never measured here; taken from people of the same sex and age: {names}." if names else ""


def _old(case: Case) -> str:
    old = []
    for key in case.twin.biomarkers:
        last = case.twin.estimate(key).last
        if last is not None and (case.as_of - last).days > STALE_DAYS:
            old.append(f"{case.words.analyte(key)} ({last.date().isoformat()})")
    return f"Last measured more than two years ago: {', '.join(old)}." if old else ""


def _equations(case: Case) -> str:
    said = dict.fromkeys(i.diagnostics for t in case.trajectories for i in t.issues if i.stage == "simulate")
    return " ".join(text if text.endswith(".") else f"{text}." for text in said)


def _allergies(case: Case) -> str:
    return (
        ""
        if case.coded.allergies
        else "The record says nothing about allergies, not even that there are none."
    )

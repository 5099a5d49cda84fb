"""RiskAssessment: absolute risk now, and with each proposal (RA-1 to RA-6). Probabilities are per cent here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fhir_twin.fhir.systems import HOME
from fhir_twin.fhir.write_context import CODES, Context, refer
from fhir_twin.fhir.write_elements import clean, compact, instant, line, note, percent, references
from fhir_twin.fhir.write_words import change_words, horizon_words, outcome_words, percent_words
from fhir_twin.model.codes import SNOMED, UCUM
from fhir_twin.model.plan import Recommendation
from fhir_twin.model.scenario import EventRisk, RiskChange

Json = dict[str, Any]

PROBABILITY_INTERVAL = f"{HOME}/StructureDefinition/probability-interval"

# Each seen with this meaning in public SNOMED CT value sets; an outcome without a checked code is text only.
_SNOMED = {
    "cvd": ("49601007", "Disorder of cardiovascular system"),
    "ascvd": ("72092001", "Arteriosclerotic vascular disease"),
    "heart-failure": ("84114007", "Heart failure"),
    "kidney-failure": ("46177005", "End-stage renal disease"),
    "mi": ("22298006", "Myocardial infarction"),
    "stroke": ("230690007", "Cerebrovascular accident"),
    "death": ("419620001", "Death"),
}


def risk_item(risk: EventRisk) -> str:
    return f"risk/{risk.outcome}/{risk.horizon_years:g}/{risk.equation}"


def write_risk(risk: EventRisk, recommendations: Sequence[Recommendation], context: Context) -> Json:
    """Preliminary until a clinician has looked (table 1.1). The baseline with its interval, then one prediction per
    proposal that changes it: never relativeRisk, which means something else (RA-3)."""
    words = f"Continue as now; 80 % interval {percent_words(risk.low)} to {percent_words(risk.high)}"
    baseline = _prediction(risk, context, percent(risk.probability), words)
    # Not probabilityRange: HAPI's index of RiskAssessment:probability fails on it (HAPI-0389; decision 0021).
    predictions = [{"extension": [{"url": PROBABILITY_INTERVAL, "valueRange": _range(risk)}], **baseline}]
    for rec in recommendations:
        for change in rec.changes:
            if (change.outcome, change.horizon_years) == (risk.outcome, risk.horizon_years):
                predictions.append(_with_option(risk, rec, change, context))
    return compact(
        {
            **context.start("RiskAssessment", risk_item(risk)),
            "status": "preliminary",
            "method": {
                "coding": [{"system": f"{CODES}/risk-equation", "code": line(risk.equation)}],
                "text": line(risk.equation),
            },
            "code": {"text": f"Risk of {outcome_words(risk.outcome)}"},
            "subject": context.subject,
            "occurrenceDateTime": context.when,
            "performer": refer(context.device, "fhir-twin"),
            "basis": references(risk.basis),
            "prediction": predictions,
            "note": note(
                "Simulated by software from the record; not observed, not yet reviewed by a clinician. "
                "Probabilities are absolute, in per cent."
            ),
        }
    )


def _with_option(risk: EventRisk, rec: Recommendation, change: RiskChange, context: Context) -> Json:
    with_option = min(1.0, max(0.0, risk.probability + change.difference))
    words = f"With “{line(rec.title)}”: {change_words(change)}"
    return _prediction(risk, context, percent(with_option), words)


def _prediction(risk: EventRisk, context: Context, probability: float, words: str) -> Json:
    end = _years_later(context.as_of, risk.horizon_years)
    # RA-2: whenRange would be the patient's age; the horizon is a period.
    when = {"whenPeriod": {"start": context.when, "end": instant(end)}} if end else {}
    horizon = f"within {horizon_words(risk.horizon_years)}"
    return {
        **_outcome(risk.outcome),
        "probabilityDecimal": probability,
        **when,
        "rationale": clean(f"{words} ({horizon})"),
    }


def _outcome(outcome: str) -> Json:
    known = _SNOMED.get(outcome)
    own = {"system": f"{CODES}/outcome", "code": line(outcome)}
    standard = {"system": SNOMED, "code": known[0], "display": known[1]} if known else {}
    codings = [c for c in (standard, own) if c]
    return {"outcome": {"coding": codings, "text": outcome_words(outcome)}}


def _range(risk: EventRisk) -> Json:
    """ras-1: UCUM per cent on both ends."""
    low, high = sorted((risk.low, risk.high))
    return {
        end: {"value": percent(value), "unit": "%", "system": UCUM, "code": "%"}
        for end, value in (("low", low), ("high", high))
    }


def _years_later(start: datetime, years: float) -> datetime | None:
    """Whole years by the calendar, a part of a year in months; None beyond the calendar's end."""
    months = round(years * 12)
    year, month = divmod(start.month - 1 + months, 12)
    try:
        day = min(start.day, 28) if start.day > 28 else start.day
        return start.replace(year=start.year + year, month=month + 1, day=day)
    except ValueError:
        return None

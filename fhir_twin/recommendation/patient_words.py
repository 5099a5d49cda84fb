"""Words for the patient: natural frequencies, no jargon. Shown to the clinician to pass on, never sent by itself."""

from __future__ import annotations

from fhir_twin.model.intervention import Intervention
from fhir_twin.model.scenario import RiskChange
from fhir_twin.recommendation.case import Case

OUTCOME = {
    "cvd": "cardiovascular disease (heart attack, stroke, heart failure)",
    "ascvd": "heart attack or stroke",
    "heart-failure": "heart failure",
    "kidney-failure": "kidney failure",
    "diabetes": "type 2 diabetes",
    "mi": "heart attack",
    "stroke": "stroke",
    "death": "death",
}


def patient_words(intervention: Intervention, lead: RiskChange | None, case: Case) -> str:
    """What the option is, in plain words, and what it changes in natural frequencies ("of 100 people like you")."""
    base = next(
        (
            r
            for r in case.risks
            if lead and r.outcome == lead.outcome and r.horizon_years == lead.horizon_years
        ),
        None,
    )
    if lead is None or base is None or lead.difference >= 0:
        return intervention.patient_text
    scale = 100 if base.probability >= 0.05 else 1000
    now, then = round(scale * base.probability), round(scale * (base.probability + lead.difference))
    if now == then:
        return intervention.patient_text
    numbers = (
        f"Of {scale:,} people like you, about {now} have {_plain(lead.outcome)} within "
        f"{lead.horizon_years:.0f} years; with this, about {then}."
    )
    return f"{intervention.patient_text} {numbers}".strip()


def _plain(outcome: str) -> str:
    return {"cvd": "a heart attack, a stroke or heart failure", "ascvd": "a heart attack or a stroke"}.get(
        outcome, OUTCOME.get(outcome, outcome)
    )

"""Numbers in words, the same in narrative, note and rationale."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_twin.model.plan import Prediction, Recommendation
from fhir_twin.model.scenario import EventRisk, RiskChange
from fhir_twin.model.twin import Estimate

OUTCOME_WORDS = {
    "cvd": "cardiovascular disease",
    "ascvd": "atherosclerotic cardiovascular disease",
    "heart-failure": "heart failure",
    "kidney-failure": "kidney failure",
    "diabetes": "diabetes",
    "mi": "heart attack",
    "stroke": "stroke",
    "death": "death from any cause",
    **{f"egfr-below-{stage}": f"eGFR below {stage}" for stage in (60, 45, 30, 15)},
}


BIOMARKER_WORDS = {
    "sbp": "systolic blood pressure",
    "dbp": "diastolic blood pressure",
    "ldl": "LDL cholesterol",
    "hdl": "HDL cholesterol",
    "non-hdl": "non-HDL cholesterol",
    "hba1c": "HbA1c",
    "egfr": "eGFR (kidney function)",
    "uacr": "urine albumin/creatinine ratio",
    "bmi": "body mass index",
    "alt": "ALT",
    "ast": "AST",
    "nt-probnp": "NT-proBNP",
    "lvef": "left ventricular ejection fraction",
    "tsh": "TSH",
    "ck": "creatine kinase",
}
# UCUM as people print it; anything else is shown as it is.
UNIT_WORDS = {"mm[Hg]": "mmHg", "mL/min/{1.73_m2}": "mL/min/1.73 m²", "kg/m2": "kg/m²"}


def outcome_words(outcome: str) -> str:
    return OUTCOME_WORDS.get(outcome, outcome.replace("-", " "))


def percent_words(probability: float) -> str:
    """0.1234 -> "12.3 %"; small values keep one more digit."""
    value = probability * 100.0
    return f"{value:.1f} %" if abs(value) >= 1 else f"{value:.2f} %"


def horizon_words(years: float) -> str:
    if years < 1:
        return f"{round(years * 12)} months"
    return f"{years:g} year" + ("" if years == 1 else "s")


def risk_words(risk: EventRisk) -> str:
    """Without an interval where the equation gives none."""
    said = (
        f"{outcome_words(risk.outcome)} within {horizon_words(risk.horizon_years)}: "
        f"{percent_words(risk.probability)}"
    )
    if risk.low == risk.high:
        return said
    return f"{said} (80 % interval {percent_words(risk.low)} to {percent_words(risk.high)})"


def change_words(change: RiskChange) -> str:
    """An absolute change against continuing as now; percentage points, with its interval."""
    points = change.difference * 100.0
    direction = "lower" if points < 0 else "higher"
    better = "more than 99" if change.better > 0.99 else f"{change.better * 100:.0f}"
    spread = f"80 % interval {change.low * 100:+.1f} to {change.high * 100:+.1f}"
    return (
        f"{outcome_words(change.outcome)} within {horizon_words(change.horizon_years)}: "
        f"{abs(points):.1f} percentage points {direction} ({spread}; better in {better} % of simulations)"
    )


def is_noticeable(change: RiskChange) -> bool:
    """False when difference and interval all round to 0.0 points: then there is nothing to tell."""
    return any(abs(part) >= 0.0005 for part in (change.difference, change.low, change.high))


def biomarker_name(key: str) -> str:
    return BIOMARKER_WORDS.get(key, key.replace("-", " "))


def unit_words(unit: str) -> str:
    return UNIT_WORDS.get(unit, unit)


def sentence(words: Iterable[str]) -> str:
    """Several statements as one: "a; b.", whatever full stops they came with, each once."""
    kept = dict.fromkeys(w.strip().rstrip(".") for w in words if w.strip())
    return "; ".join(kept) + "." if kept else ""


def estimate_words(estimate: Estimate) -> tuple[str, str, str, str]:
    """(what, value, 80 % interval, what it rests on) for a table row."""
    digits = 0 if abs(estimate.mean) >= 20 else 1
    value = f"{estimate.mean:.{digits}f} {unit_words(estimate.unit)}"
    spread = f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"
    if estimate.basis == "population":
        basis = "no own values: typical for age and sex"
    else:
        last = f", last {estimate.last.date().isoformat()}" if estimate.last else ""
        basis = f"{estimate.observations} own value{'' if estimate.observations == 1 else 's'}{last}"
    return biomarker_name(estimate.biomarker), value, spread, basis


def biomarker_words(change: tuple[str, float, float, float, str]) -> str:
    """An expected change of a biomarker, (key, middle, low, high, unit), with its interval."""
    biomarker, middle, low, high, unit = change
    digits = 0 if abs(middle) >= 10 else 1
    spread = f"{low:+.{digits}f} to {high:+.{digits}f}"
    return f"{biomarker_name(biomarker)} {middle:+.{digits}f} {unit_words(unit)} (80 % interval {spread})"


def standing_words(rec: Recommendation) -> list[str]:
    """How it stands among the options compared, in the same random draws."""
    words = []
    if rec.probability_best is not None:
        share = share_words(rec.probability_best)
        words.append(f"avoids most events of all options compared in {share} of simulations")
    if rec.regret is not None:
        words.append(
            f"expected regret (loss against the best choice in each simulation) {1000 * rec.regret:.1f} events "
            "per 1,000 people in 10 years"
        )
    if rec.probability_harm is not None:
        words.append(
            f"more of these events than without it in {share_words(rec.probability_harm)} of simulations"
        )
    return words


def share_words(share: float) -> str:
    """A share of simulations: never 0 % or 100 % of a finite number of draws."""
    if share < 0.005:
        return "less than 1 %"
    return "more than 99 %" if share > 0.995 else f"{share * 100:.0f} %"


def prediction_words(found: Prediction) -> str:
    """The disease that may come, how likely, on what it rests, and what would lower it."""
    lowered = [
        f"{title} by {abs(difference) * 100:.1f} points ({low * 100:+.1f} to {high * 100:+.1f})"
        for _, title, difference, low, high in found.lowered_by
    ]
    less = f"Lowered by: {'; '.join(lowered)}" if lowered else ""
    return sentence([f"{found.title}: {risk_words(found.risk)}, {found.risk.equation}", *found.words, less])


def expected_words(rec: Recommendation) -> list[str]:
    """All that a proposal is expected to change: events first, then biomarkers."""
    return [
        *map(change_words, filter(is_noticeable, rec.changes)),
        *map(biomarker_words, rec.biomarker_changes),
    ]

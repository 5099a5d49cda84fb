"""Early predictions: diseases that are not diagnosed yet, how likely they are, and what would lower that.

Events come from the risk equations of the simulation, the course of eGFR from "continue as now", atrial fibrillation
from CHARGE-AF. What lowers a risk is taken from the proposals' own simulated changes, never from a risk equation.
"""

from __future__ import annotations

from math import erf, log, sqrt

import numpy as np

from fhir_twin.dynamics.equations.charge_af import CHARGE_AF
from fhir_twin.model.plan import Citation, Prediction, Recommendation
from fhir_twin.model.scenario import EventRisk, Trajectory
from fhir_twin.model.twin import Z80
from fhir_twin.recommendation.case import Case

TITLES = {
    "cvd": "Cardiovascular disease",
    "diabetes": "Type 2 diabetes",
    "kidney-failure": "Kidney failure",
}
NOTES = {
    "diabetes": (
        "The average of a trial's control group with impaired 2-hour glucose, not a personal figure: too high for a "
        "person whose 2-hour glucose is normal.",
    )
}
MOST = 3  # proposals named per prediction
STAGES = (60.0, 45.0, 30.0, 15.0)  # eGFR, KDIGO G3a, G3b, G4, G5
LEAST = 0.2  # a smaller chance of the next stage is no news
AHEAD = 5.0  # years the course of eGFR is looked at; further out nobody's slope is known
# What raises a risk in this patient and can be changed: (analyte, from, words).
CAUSES = (
    ("sbp", 130.0, "systolic pressure {}"),
    ("ldl", 130.0, "LDL cholesterol {}"),
    ("hba1c", 5.7, "HbA1c {}"),
    ("bmi", 25.0, "BMI {}"),
    ("uacr", 30.0, "urine albumin {}"),
)
ABOUT = {
    "cvd": ("sbp", "ldl", "hba1c", "bmi", "uacr"),
    "diabetes": ("hba1c", "bmi"),
    "kidney-failure": ("sbp", "uacr", "hba1c"),
    "egfr": ("sbp", "uacr", "hba1c"),
    "atrial-fibrillation": ("sbp", "bmi"),
}


def predictions(proposals: tuple[Recommendation, ...], case: Case) -> tuple[Prediction, ...]:
    """In the order: cardiovascular disease, diabetes, kidney, atrial fibrillation; only what can be computed."""
    found = [_event(outcome, proposals, case) for outcome in TITLES]
    found += [_kidney(case), _fibrillation(case)]
    return tuple(p for p in found if p is not None)


def _event(outcome: str, proposals: tuple[Recommendation, ...], case: Case) -> Prediction | None:
    risks = [r for r in case.risks if r.outcome == outcome and r.horizon_years <= 10.0]
    if not risks:
        return None
    risk = max(risks, key=lambda r: r.horizon_years)
    words = (*NOTES.get(outcome, ()), *_causes(outcome, case))
    return Prediction(risk, TITLES[outcome], _lowered(risk, proposals), words)


def _lowered(
    risk: EventRisk, proposals: tuple[Recommendation, ...]
) -> tuple[tuple[str, str, float, float, float], ...]:
    """The proposals that lower it most; only those whose whole 80 % interval is on the side of benefit."""
    found = [
        (r.key, r.title, c.difference, c.low, c.high)
        for r in proposals
        for c in r.changes
        if c.outcome == risk.outcome and c.horizon_years == risk.horizon_years and c.high < 0.0
    ]
    return tuple(sorted(found, key=lambda item: (item[2], item[0]))[:MOST])


def _causes(outcome: str, case: Case) -> tuple[str, ...]:
    """What raises it in this patient and can be changed, from the patient's own values."""
    words = []
    for analyte, least, text in CAUSES:
        now = case.estimate(analyte) if analyte in ABOUT[outcome] else None
        if now is not None and now.mean >= least:
            words.append(text.format(case.words.amount(analyte, now.mean)))
    if case.twin.profile.smoker:
        words.append("smoking")
    return (f"What raises it here and can be changed: {', '.join(words)}.",) if words else ()


def _kidney(case: Case) -> Prediction | None:
    """The next KDIGO stage that eGFR is likely to cross if things go on, with the year of the median."""
    now = next((t for t in case.trajectories if not t.scenario.choices), None)
    known = case.estimate("egfr")
    if (
        now is None
        or known is None
        or "egfr" not in now.biomarkers
        or case.twin.profile.groups & {"dialysis"}
    ):
        return None
    limit = next((stage for stage in STAGES if known.mean >= stage), None)
    if limit is None:
        return None
    share = _below(now, limit, AHEAD)
    year = _crossing(now, limit)
    if share < LEAST:
        return None
    when = (
        ""
        if year is None
        else f" The middle course falls below {limit:.0f} in {case.as_of.year + round(year)}."
    )
    risk = EventRisk(f"egfr-below-{limit:.0f}", AHEAD, share, share, share, "course of the twin")
    words = f"eGFR now {case.words.amount('egfr', known.mean)}.{when}"
    return Prediction(risk, f"eGFR below {limit:.0f}", (), (words, *_causes("egfr", case)))


def _below(now: Trajectory, limit: float, years: float) -> float:
    """Share of the course's distribution below the limit then (log-normal through the median and the 80 % ends)."""
    place = now.biomarkers.index("egfr")
    middle, low, high = (
        float(np.interp(years, now.times, part[:, place])) for part in (now.median, now.low, now.high)
    )
    if not 0.0 < low < high:
        return 0.0
    spread = (log(high) - log(low)) / (2 * Z80)
    return 0.5 * (1.0 + erf((log(limit) - log(middle)) / spread / sqrt(2.0)))


def _crossing(now: Trajectory, limit: float) -> float | None:
    """Years until the median falls below the limit; None when it does not within the horizon."""
    course = now.median[:, now.biomarkers.index("egfr")]
    under = np.flatnonzero(course < limit)
    return float(now.times[under[0]]) if under.size else None


def _fibrillation(case: Case) -> Prediction | None:
    """CHARGE-AF, for people without atrial fibrillation whose every input is known."""
    profile = case.twin.profile
    if "atrial-fibrillation" in profile.ever | profile.groups:
        return None
    given = _charge_inputs(case)
    if given is None:
        return None
    result = CHARGE_AF(**given)
    if result.reasons():
        return None
    share = float(np.asarray(result.value))
    risk = EventRisk("atrial-fibrillation", 5.0, share, share, share, "CHARGE-AF simple model")
    words = ("A reason to feel the pulse and to ask about palpitations, not to treat.",)
    citation = Citation("charge-af", CHARGE_AF.citation, CHARGE_AF.doi)
    causes = _causes("atrial-fibrillation", case)
    return Prediction(risk, "Atrial fibrillation", (), (*words, *causes), (citation,))


def _charge_inputs(case: Case) -> dict[str, float | bool] | None:
    """None when one is unknown: a guess is no input."""
    profile = case.twin.profile
    sbp, dbp, bmi = (case.estimate(key) for key in ("sbp", "dbp", "bmi"))
    height = case.patient.latest("height")
    race = case.coded.chart.patient.race.lower()
    unsaid = not race or "unknown" in race or "asked" in race
    unknown = unsaid or None in (sbp, dbp, bmi, height, profile.age, profile.smoker)
    if unknown or sbp is None or dbp is None or bmi is None or height is None:
        return None
    return {
        "age": float(profile.age or 0.0),
        "height": height.value,
        "weight": bmi.mean * (height.value / 100) ** 2,
        "sbp": sbp.mean,
        "dbp": dbp.mean,
        "white": "white" in race,
        "smoker": bool(profile.smoker),
        "bp_treated": profile.treated_bp,
        "diabetes": profile.diabetes,
        "heart_failure": "heart-failure" in profile.ever,
        "myocardial_infarction": "myocardial-infarction" in profile.ever,
    }

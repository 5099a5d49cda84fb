"""PREVENT against the Pooled Cohort Equations: told only when the two lead to different advice about a statin."""

from __future__ import annotations

from typing import Any

import numpy as np

from fhir_twin.dynamics.equations.pce import PCE
from fhir_twin.model.plan import Citation, Finding, Reason
from fhir_twin.model.scenario import EventRisk
from fhir_twin.recommendation.case import Case

PCE_FROM = 0.075  # 2018 AHA/ACC: a statin may be offered from here on, by the pooled cohort equations
PREVENT_FROM = 0.05  # what the plan's own gate asks of PREVENT (mappings/guidelines/gates.toml)
ENDS = {"sbp": "sbp", "total_cholesterol": "total-cholesterol", "hdl": "hdl"}


def two_models(case: Case) -> tuple[Finding, ...]:
    """() when a risk is not what decides (known disease, diabetes, LDL of 190 or more, a statin taken), an input is
    unknown, or both agree."""
    profile = case.twin.profile
    ldl = case.estimate("ldl")
    settled = profile.cvd or profile.diabetes or profile.statin or (ldl is not None and ldl.mean >= 190.0)
    first = next((r for r in case.risks if r.outcome == "ascvd" and r.horizon_years == 10.0), None)
    given = _given(case)
    if settled or first is None or given is None:
        return ()
    second = _risk(given)
    if second is None or (second >= PCE_FROM) == (first.probability >= PREVENT_FROM):
        return ()
    return (_finding(first, second, given, case),)


def _finding(first: EventRisk, second: float, given: dict[str, Any], case: Case) -> Finding:
    more = second >= PCE_FROM
    verdict = (
        "the second is at the level at which a statin is offered, the first is not"
        if more
        else "the first is at the level at which a statin is offered, the second is not"
    )
    return Finding(
        key="two-risk-models",
        code="VALIDAT",
        severity="low",
        text=f"Two risk models differ: {first.equation} gives {first.probability:.1%}, the Pooled Cohort Equations "
        f"{second:.1%} for heart attack or stroke in 10 years; {verdict} ({PREVENT_FROM:.0%} and {PCE_FROM:.1%}). "
        "The plan goes by the first.",
        sources=first.basis,
        check="Decide with the patient; coronary calcium, family history or lipoprotein(a) may settle it.",
        citation=Citation("pce-2013", PCE.citation),
        sides=(
            Reason(f"{first.equation}: {first.probability:.1%}", first.basis),
            Reason(f"Pooled Cohort Equations 2013: {second:.1%}", first.basis),
        ),
        sensitivity=(_hangs(second, given, case),),
    )


def _hangs(second: float, given: dict[str, Any], case: Case) -> str:
    """Which input, at an end of its 80 % interval, would bring the second model to the other side."""
    turning = []
    for name, analyte in ENDS.items():
        now = case.estimate(analyte)
        for end in (now.low, now.high) if now is not None else ():
            risk = _risk({**given, name: end})
            if risk is not None and (risk >= PCE_FROM) != (second >= PCE_FROM):
                words = f"{case.words.analyte(analyte)} of {case.words.amount(analyte, end)} ({risk:.1%})"
                turning.append(words)
    if turning:
        return f"The pooled cohort equations would cross their limit at {' or at '.join(turning)}."
    return "No single input at an end of its 80 % interval brings the pooled cohort equations across their limit."


def _given(case: Case) -> dict[str, Any] | None:
    profile, race = case.twin.profile, case.coded.chart.patient.race.lower()
    values = {name: case.estimate(analyte) for name, analyte in ENDS.items()}
    known = {name: e.mean for name, e in values.items() if e is not None}
    unknown = not race or "unknown" in race or "asked" in race
    if (
        len(known) < len(ENDS)
        or unknown
        or profile.smoker is None
        or profile.age is None
        or profile.sex is None
    ):
        return None
    return {
        **known,
        "age": profile.age,
        "sex": profile.sex,
        "race": "white" if "white" in race else "black" if "black" in race or "african" in race else "other",
        "bp_treated": profile.treated_bp,
        "diabetes": profile.diabetes,
        "smoker": profile.smoker,
    }


def _risk(given: dict[str, Any]) -> float | None:
    result = PCE(**given)
    return None if result.reasons() else float(np.asarray(result.value))

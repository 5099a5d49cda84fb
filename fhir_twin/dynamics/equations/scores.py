"""Point scores: CHA2DS2-VASc (Lip 2010), HAS-BLED (Pisters 2010), FINDRISC (Lindstrom and Tuomilehto 2003).

Points are added as the papers print them. FINDRISC follows the official form (0 points under 45 years; another
age scale with a point from 35 on is in circulation and is not used).
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

AGE = Input("age", "years", low=18, high=120)


def _flags(*names: str) -> tuple[Input, ...]:
    return tuple(Input(name, kind="flag") for name in names)


def _cha2ds2_vasc(v: Inputs) -> Array:
    by_age = np.where(v["age"] >= 75, 2.0, np.where(v["age"] >= 65, 1.0, 0.0))
    single = v["heart_failure"] + v["hypertension"] + v["diabetes"] + v["vascular_disease"]
    return np.asarray(single + 2.0 * v["stroke"] + by_age + v["sex"])


HAS_BLED_FLAGS = (
    "uncontrolled_hypertension",
    "abnormal_kidney",
    "abnormal_liver",
    "stroke",
    "bleeding",
    "labile_inr",
    "drugs",
    "alcohol",
)


def _has_bled(v: Inputs) -> Array:
    return np.asarray(
        np.sum([(v["age"] > 65).astype(np.float64), *(v[name] for name in HAS_BLED_FLAGS)], axis=0)
    )


def _findrisc(v: Inputs) -> Array:
    age = np.select([v["age"] < 45, v["age"] < 55, v["age"] < 65], [0.0, 2.0, 3.0], 4.0)
    bmi = np.select([v["bmi"] < 25, v["bmi"] <= 30], [0.0, 1.0], 3.0)
    low, high = np.where(v["sex"] == 1.0, 80.0, 94.0), np.where(v["sex"] == 1.0, 88.0, 102.0)
    waist = np.select([v["waist"] < low, v["waist"] <= high], [0.0, 3.0], 4.0)
    habits = 2.0 * (1.0 - v["active_daily"]) + (1.0 - v["vegetables_daily"])
    family = np.select([v["family"] == 1.0, v["family"] == 2.0], [3.0, 5.0], 0.0)
    history = 2.0 * v["bp_medication"] + 5.0 * v["high_glucose"] + family
    return np.asarray(age + bmi + waist + habits + history)


def _findrisc_risk(v: Inputs) -> Array:
    points = _findrisc(v)
    bands = [points < 7, points <= 11, points <= 14, points <= 20]
    return np.select(bands, [1 / 100, 1 / 25, 1 / 6, 1 / 3], 1 / 2)


FINDRISC_INPUTS = (
    AGE,
    Input("sex", kind="sex"),
    Input("bmi", "kg/m2", low=10, high=100),
    Input("waist", "cm", low=30, high=300),
    Input("active_daily", kind="flag", words="at least 30 minutes of activity on most days"),
    Input("vegetables_daily", kind="flag", words="vegetables, fruit or berries every day"),
    Input("bp_medication", kind="flag", words="ever took blood-pressure drugs regularly"),
    Input("high_glucose", kind="flag", words="ever found to have high blood glucose"),
    Input("family", kind="choice", choices=("none", "distant", "close"), words="relatives with diabetes"),
)
FINDRISC_CITATION = (
    "Lindstrom J, Tuomilehto J. The diabetes risk score. Diabetes Care 2003;26:725-731; official form."
)

CHA2DS2_VASC = Equation(
    name="cha2ds2_vasc",
    title="CHA2DS2-VASc",
    inputs=(
        AGE,
        Input("sex", kind="sex"),
        *_flags("heart_failure", "hypertension", "diabetes", "stroke", "vascular_disease"),
    ),
    formula=_cha2ds2_vasc,
    unit="points",
    citation="Lip GYH et al. Chest 2010;137:263-272.",
    doi="10.1378/chest.09-1584",
)
HAS_BLED = Equation(
    name="has_bled",
    title="HAS-BLED",
    inputs=(AGE, *_flags(*HAS_BLED_FLAGS)),
    formula=_has_bled,
    unit="points",
    citation="Pisters R et al. Chest 2010;138:1093-1100.",
)
FINDRISC = Equation(
    name="findrisc",
    title="FINDRISC",
    inputs=FINDRISC_INPUTS,
    formula=_findrisc,
    unit="points",
    citation=FINDRISC_CITATION,
)
FINDRISC_RISK = Equation(
    name="findrisc_10y_diabetes",
    title="FINDRISC, 10 y diabetes",
    inputs=FINDRISC_INPUTS,
    formula=_findrisc_risk,
    unit="probability",
    citation=FINDRISC_CITATION,
)
EQUATIONS = (CHA2DS2_VASC, HAS_BLED, FINDRISC, FINDRISC_RISK)

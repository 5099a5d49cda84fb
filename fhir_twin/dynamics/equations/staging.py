"""Stages: KDIGO 2012/2024 GFR and albuminuria categories and risk, and the AHA 2023 CKM stages.

KDIGO risk (rows G1, G2, G3a, G3b, G4, G5; columns A1, A2, A3): 0 low, 1 moderate, 2 high, 3 very high.
CKM: 0 no risk factor; 1 excess or dysfunctional adiposity; 2 metabolic risk factor or moderate- to high-risk kidney
disease; 3 subclinical disease or its equivalents; 4 clinical cardiovascular disease. What is not known does not count,
so a stage is "at least".
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

GFR_LABELS = ("G1", "G2", "G3a", "G3b", "G4", "G5")
ALBUMINURIA_LABELS = ("A1", "A2", "A3")
RISK_LABELS = ("low", "moderate", "high", "very high")
RISK = np.array([[0, 1, 2], [0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3], [3, 3, 3]], dtype=np.float64)
KDIGO = "KDIGO clinical practice guideline for the evaluation and management of CKD, 2012 and 2024."
CKM = "Ndumele CE et al. Cardiovascular-kidney-metabolic health: AHA presidential advisory. Circulation 2023;148:1606."

EGFR = Input("egfr", "mL/min/1.73 m2", low=0, high=300)
UACR = Input("uacr", "mg/g", low=0, high=100000)


def gfr_category(v: Inputs) -> Array:
    e = v["egfr"]
    return np.select([e >= 90, e >= 60, e >= 45, e >= 30, e >= 15], [0.0, 1.0, 2.0, 3.0, 4.0], 5.0)


def albuminuria_category(v: Inputs) -> Array:
    u = v["uacr"]
    return np.select([u < 30, u <= 300], [0.0, 1.0], 2.0)


def _risk(v: Inputs) -> Array:
    return np.asarray(RISK[gfr_category(v).astype(int), albuminuria_category(v).astype(int)])


def _ckm(v: Inputs) -> Array:
    asian, woman = v["asian"] == 1.0, v["sex"] == 1.0
    waist = np.where(asian, np.where(woman, 80.0, 90.0), np.where(woman, 88.0, 102.0))
    yes = {name: v[name] == 1.0 for name in FLAGS}
    adipose = (v["bmi"] >= np.where(asian, 23.0, 25.0)) | (v["waist"] >= waist)
    glucose = (v["hba1c"] >= 5.7) | (v["fasting_glucose"] >= 100.0) | yes["prediabetes"]
    pressure = (v["sbp"] >= 130.0) | (v["dbp"] >= 80.0) | yes["hypertension"]
    diabetic = yes["diabetes"] | (v["hba1c"] >= 6.5) | (v["fasting_glucose"] >= 126.0)
    known_egfr = np.where(np.isnan(v["egfr"]), 90.0, v["egfr"])
    known_uacr = np.where(np.isnan(v["uacr"]), 0.0, v["uacr"])
    kidney = _risk({"egfr": known_egfr, "uacr": known_uacr})
    metabolic = (v["triglycerides"] >= 135.0) | pressure | diabetic | yes["metabolic_syndrome"]
    high = (v["cvd_risk_10y"] >= 0.20) | yes["subclinical_cvd"] | (kidney == 3.0)
    conditions = [yes["clinical_cvd"], high, metabolic | (kidney >= 1.0), adipose | glucose]
    return np.select(conditions, [4.0, 3.0, 2.0, 1.0], 0.0)


FLAGS = (
    *("prediabetes", "diabetes", "hypertension", "metabolic_syndrome"),
    *("subclinical_cvd", "clinical_cvd", "asian"),
)
NUMBERS = (
    ("bmi", "kg/m2", np.inf),
    ("waist", "cm", np.inf),
    ("hba1c", "%", 25.0),  # more is mmol/mol
    ("fasting_glucose", "mg/dL", np.inf),
    ("triglycerides", "mg/dL", np.inf),
    ("sbp", "mmHg", np.inf),
    ("dbp", "mmHg", np.inf),
    ("egfr", "mL/min/1.73 m2", np.inf),
    ("uacr", "mg/g", np.inf),
    ("cvd_risk_10y", "probability", 1.0),  # more is per cent
)
EQUATIONS = (
    Equation(
        "kdigo_gfr_category",
        "KDIGO GFR category",
        (EGFR,),
        gfr_category,
        "category",
        KDIGO,
        labels=GFR_LABELS,
    ),
    Equation(
        *(
            "kdigo_albuminuria_category",
            "KDIGO albuminuria category",
            (UACR,),
            albuminuria_category,
            "category",
        ),
        KDIGO,
        labels=ALBUMINURIA_LABELS,
    ),
    Equation("kdigo_risk", "KDIGO risk", (EGFR, UACR), _risk, "category", KDIGO, labels=RISK_LABELS),
    Equation(
        "ckm_stage",
        "CKM stage (AHA 2023)",
        (
            Input("sex", kind="sex"),
            *(Input(name, unit, low=0, high=high, optional=True) for name, unit, high in NUMBERS),
            *(Input(name, kind="flag", optional=True) for name in FLAGS),
        ),
        _ckm,
        "stage",
        CKM,
    ),
)

"""Warfarin maintenance dose of the IWPC (N Engl J Med 2009;360:753): mg per week, adults, target INR 2-3.

    sqrt(dose) = constant + age (decades) + height (cm) + weight (kg) + genotypes + race + enzyme inducer + amiodarone

Inducers: carbamazepine, phenytoin, rifampicin. Numbers in mappings/outcomes/warfarin.toml.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fhir_twin.dynamics.equations import coefficients
from fhir_twin.dynamics.equations.equation import Array, Equation, Input, Inputs

VKORC1 = ("g/g", "a/g", "a/a", "unknown")
CYP2C9 = ("*1/*1", "*1/*2", "*1/*3", "*2/*2", "*2/*3", "*3/*3", "unknown")
RACE = ("white", "asian", "black", "unknown")
CITATION = "International Warfarin Pharmacogenetics Consortium. N Engl J Med 2009;360:753-764."


def _pick(values: Array, choices: tuple[str, ...], numbers: dict[str, float]) -> Array:
    table = np.array([numbers[c] for c in choices])
    return np.asarray(table[np.where(np.isnan(values), 0.0, values).astype(int)])


def _formula(kind: str, v: Inputs) -> Array:
    numbers = coefficients.table("warfarin")[kind]
    terms = numbers["terms"]
    root = (
        terms["constant"]
        + terms["age"] * np.floor(v["age"] / 10.0)
        + terms["height"] * v["height"]
        + terms["weight"] * v["weight"]
        + terms["inducer"] * v["enzyme_inducer"]
        + terms["amiodarone"] * v["amiodarone"]
        + _pick(v["race"], RACE, numbers["race"])
    )
    if kind == "pharmacogenetic":
        root = (
            root
            + _pick(v["vkorc1"], VKORC1, numbers["vkorc1"])
            + _pick(v["cyp2c9"], CYP2C9, numbers["cyp2c9"])
        )
    return np.asarray(root**2)


def equation(kind: str) -> Equation:
    """kind: pharmacogenetic | clinical. race "unknown" also stands for mixed; VKORC1 is -1639G>A (rs9923231)."""
    shared = (
        Input("age", "years", low=18, high=110),
        Input("height", "cm", low=120, high=230),
        Input("weight", "kg", low=30, high=250),
        Input("race", kind="choice", choices=RACE),
        Input("enzyme_inducer", kind="flag"),
        Input("amiodarone", kind="flag"),
    )
    genes = (Input("vkorc1", kind="choice", choices=VKORC1), Input("cyp2c9", kind="choice", choices=CYP2C9))
    return Equation(
        name="warfarin_iwpc" if kind == "pharmacogenetic" else "warfarin_iwpc_clinical",
        title=f"Warfarin dose, IWPC {kind}",
        inputs=(*shared, *genes) if kind == "pharmacogenetic" else shared,
        formula=partial(_formula, kind),
        unit="mg/week",
        citation=CITATION,
    )

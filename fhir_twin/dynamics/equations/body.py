"""Body size, estimated average glucose, liver fibrosis index.

BMI         weight / height^2
BSA         Du Bois 0.007184 kg^0.425 cm^0.725; Mosteller sqrt(cm kg / 3600)
eAG         28.7 HbA1c - 46.7 mg/dL (Nathan 2008)
FIB-4       age AST / (platelets sqrt(ALT)) (Sterling 2006)
"""

from __future__ import annotations

import numpy as np

from fhir_twin.dynamics.equations.equation import Equation, Input

WEIGHT = Input("weight", "kg", low=0, high=700, open_low=True)
HEIGHT = Input("height", "cm", low=30, high=280)

BMI = Equation(
    name="bmi",
    title="Body mass index",
    inputs=(WEIGHT, HEIGHT),
    formula=lambda v: v["weight"] / (v["height"] / 100.0) ** 2,
    unit="kg/m2",
    citation="Definition: weight divided by the square of height.",
)
BSA_DU_BOIS = Equation(
    name="bsa_du_bois",
    title="Body surface area, Du Bois",
    inputs=(WEIGHT, HEIGHT),
    formula=lambda v: 0.007184 * v["weight"] ** 0.425 * v["height"] ** 0.725,
    unit="m2",
    citation="Du Bois D, Du Bois EF. Arch Intern Med 1916;17:863-871.",
)
BSA_MOSTELLER = Equation(
    name="bsa_mosteller",
    title="Body surface area, Mosteller",
    inputs=(WEIGHT, HEIGHT),
    formula=lambda v: np.sqrt(v["height"] * v["weight"] / 3600.0),
    unit="m2",
    citation="Mosteller RD. N Engl J Med 1987;317:1098.",
)
EAG = Equation(
    name="eag",
    title="Estimated average glucose",
    inputs=(Input("hba1c", "%", low=3, high=25),),
    formula=lambda v: 28.7 * v["hba1c"] - 46.7,
    unit="mg/dL",
    citation="Nathan DM et al. Diabetes Care 2008;31:1473-1478.",
)
FIB4 = Equation(
    name="fib4",
    title="FIB-4 index",
    inputs=(
        Input("age", "years", low=18, high=120),
        Input("ast", "U/L", low=0, open_low=True),
        Input("alt", "U/L", low=0, open_low=True),
        Input("platelets", "10*9/L", low=0, open_low=True),
    ),
    formula=lambda v: v["age"] * v["ast"] / (v["platelets"] * np.sqrt(v["alt"])),
    unit="index",
    citation="Sterling RK et al. Hepatology 2006;43:1317-1325.",
)
EQUATIONS = (BMI, BSA_DU_BOIS, BSA_MOSTELLER, EAG, FIB4)

"""CKD-EPI 2021: estimated glomerular filtration rate without race (Inker et al., N Engl J Med 2021;385:1737).

    k = 0.7 women, 0.9 men
    creatinine:             142 min(Scr/k, 1)^a max(Scr/k, 1)^-1.200 0.9938^age [1.012 women]
                            a = -0.241 women, -0.302 men
    creatinine-cystatin C:  135 min(Scr/k, 1)^a max(Scr/k, 1)^-0.544
                                min(Scys/0.8, 1)^-0.323 max(Scys/0.8, 1)^-0.778 0.9961^age [0.963 women]
                            a = -0.219 women, -0.144 men

Developed in adults; callers refuse people under 18. Nothing is rounded here (laboratories print whole numbers).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def ckd_epi_2021_creatinine(creatinine_mg_dl: ArrayLike, age: ArrayLike, female: ArrayLike) -> Array:
    """eGFR in mL/min/1.73 m2 from serum creatinine (mg/dL), age (years) and sex (True = female).

    Arguments broadcast together; the answer has their common shape. NaN in, NaN out; a creatinine that is
    not positive gives NaN (no real result can be)."""
    scr, years, woman = _prepare(creatinine_mg_dl, age, female)
    ratio = scr / np.where(woman, 0.7, 0.9)
    low = np.minimum(ratio, 1.0) ** np.where(woman, -0.241, -0.302)
    high = np.maximum(ratio, 1.0) ** -1.200
    return np.asarray(142.0 * low * high * 0.9938**years * np.where(woman, 1.012, 1.0), dtype=np.float64)


def ckd_epi_2021_creatinine_cystatin(
    creatinine_mg_dl: ArrayLike, cystatin_mg_l: ArrayLike, age: ArrayLike, female: ArrayLike
) -> Array:
    """eGFR in mL/min/1.73 m2 from serum creatinine (mg/dL) and cystatin C (mg/L); otherwise as above."""
    scr, years, woman = _prepare(creatinine_mg_dl, age, female)
    cystatin = _positive(cystatin_mg_l) / 0.8
    ratio = scr / np.where(woman, 0.7, 0.9)
    by_creatinine = (
        np.minimum(ratio, 1.0) ** np.where(woman, -0.219, -0.144) * np.maximum(ratio, 1.0) ** -0.544
    )
    by_cystatin = np.minimum(cystatin, 1.0) ** -0.323 * np.maximum(cystatin, 1.0) ** -0.778
    return np.asarray(
        135.0 * by_creatinine * by_cystatin * 0.9961**years * np.where(woman, 0.963, 1.0), dtype=np.float64
    )


def _positive(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return np.where(array > 0.0, array, np.nan)


def _prepare(
    creatinine: ArrayLike, age: ArrayLike, female: ArrayLike
) -> tuple[Array, Array, NDArray[np.bool_]]:
    return _positive(creatinine), np.asarray(age, dtype=np.float64), np.asarray(female, dtype=np.bool_)

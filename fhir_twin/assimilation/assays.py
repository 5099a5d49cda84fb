"""Which way of measuring a value is of: what its code names, else what method, device, specimen or words say.

Only what the record says counts. A value that says nothing is of the usual assay, whose error is part of the visit
noise.
"""

from __future__ import annotations

import re
from functools import lru_cache

from fhir_twin.model.biomarker import Analyte, Assay, Code
from fhir_twin.model.chart import Measurement
from fhir_twin.model.codes import Concept


def assay_of(m: Measurement, analyte: Analyte, code: Code) -> str:
    """The assay's key, "" for the usual one. The code decides before the words, the file's order among these."""
    if code.assay or not analyte.assays:
        return code.assay
    told = [c for c in (m.method, m.specimen, m.device) if c is not None]
    codes = {coding.code for concept in told for coding in concept.codings}
    panel = (m.panel,) if m.panel is not None else ()
    words = " ".join(_texts(m.concept, *panel, *told)).casefold()
    for assay in analyte.assays:
        if codes & assay.codes or _says(assay, words):
            return assay.key
    if "patient-reported" in m.flags:
        return next((a.key for a in analyte.assays if a.patient_supplied), "")
    return ""


def _texts(*concepts: Concept) -> list[str]:
    return [t for c in concepts for t in (c.text, *(coding.display for coding in c.codings)) if t]


def _says(assay: Assay, words: str) -> bool:
    return bool(assay.words and words) and _pattern(assay.words).search(words) is not None


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words only: "poc" is not in "apocrine"."""
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(w) for w in words) + r")(?!\w)")

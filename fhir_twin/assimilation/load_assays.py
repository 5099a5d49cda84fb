"""The ways of measuring beside the numbers of mappings/biomarkers. Numbers that nobody verified change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.model.biomarker import Assay, Evidence

_NUMBERS = ("cv", "sd", "bias", "factor")
_KEYS = frozenset(["key", "name", "codes", "words", "patient_supplied", "evidence", *_NUMBERS])


def read_assays(table: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> tuple[Assay, ...]:
    """The file's assays in their order. Raises ValueError naming the assay and what is wrong with it."""
    found = tuple(_assay(row, evidence) for row in table.get("assay", []))
    keys = [a.key for a in found]
    if len(set(keys)) < len(keys):
        raise ValueError("assay: a key stands twice")
    named = {c["assay"] for c in table.get("code", []) if "assay" in c}
    if named - set(keys):
        raise ValueError(f"code: assay {', '.join(sorted(named - set(keys)))} is not described")
    return found


def _assay(row: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> Assay:
    key = row["key"]
    if not key or set(row) - _KEYS:
        raise ValueError(f"assay {key!r}: unknown keys {sorted(set(row) - _KEYS)}")
    numbers = {k: float(row[k]) for k in _NUMBERS if k in row}
    if not numbers:
        raise ValueError(f"assay {key}: has no number")
    if min(numbers.get("cv", 0.0), numbers.get("sd", 0.0)) < 0 or numbers.get("factor", 1.0) <= 0:
        raise ValueError(f"assay {key}: cv and sd must not be negative, factor must be positive")
    if not all(evidence[i].verified for i in row["evidence"]):
        numbers = {}  # nobody has read the source: the value counts as one of the usual assay
    return Assay(
        key,
        row["name"],
        codes=frozenset(row.get("codes", [])),
        words=tuple(w.casefold() for w in row.get("words", [])),
        patient_supplied=bool(row.get("patient_supplied", False)),
        **numbers,
    )

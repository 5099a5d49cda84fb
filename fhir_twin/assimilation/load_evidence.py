"""The evidence beside the numbers of mappings/biomarkers: no number without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.model.biomarker import Evidence


def read_evidence(table: Mapping[str, Any]) -> dict[str, Evidence]:
    """The file's evidence by id. Raises ValueError when a part has numbers and cites none of it."""
    found = {
        e["id"]: Evidence(e["claim"], e["source"], e["value"], e["mark"], bool(e["verified"]))
        for e in table.get("evidence", [])
    }
    for part in ("prior", "slope", "treatment", "assay"):
        for row in table.get(part, []):
            cited(part, row, found)
    for part in ("dynamics", "noise", "ageing", "out_of_office"):
        if part in table:
            cited(part, table[part], found)
    return found


def cited(part: str, row: Mapping[str, Any], found: Mapping[str, Evidence]) -> None:
    """Raises ValueError unless the row cites evidence that is there."""
    ids = row.get("evidence", [])
    if not ids or any(i not in found for i in ids):
        raise ValueError(f"{part}: a number without evidence")

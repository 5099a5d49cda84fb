"""How many mg of a drug a day: only when the record says it without doubt (a wrong dose is worse than none)."""

from __future__ import annotations

from fhir_twin.coding.drug_text import MG_PER
from fhir_twin.model.chart import Dosage

PIECES = {"", "1", "tablet", "tablets", "tab", "tabs", "capsule", "capsules", "cap", "caps", "{tablet}", "{capsule}",
          "{tbl}", "{cap}", "unit", "each", "tbl", "pill", "pills", "dose", "{dose}"}  # fmt: skip


def daily_mg(dosages: tuple[Dosage, ...], strength: float | None) -> float | None:
    """mg per day over all dosage lines of one order. `strength`: mg in one piece, None when unknown.

    None when a line has no frequency, is as needed, is in other units, or two lines are the same (then it
    cannot be told whether they add up or repeat each other)."""
    if not dosages or len(set(dosages)) != len(dosages):
        return None
    total = 0.0
    for line in dosages:
        amount = _line_mg(line, strength)
        if amount is None or line.per_day is None or line.per_day <= 0 or line.as_needed:
            return None
        total += amount * line.per_day
    return round(total, 6)


def _line_mg(line: Dosage, strength: float | None) -> float | None:
    if line.amount is None or line.amount <= 0:
        return None
    unit = line.unit.strip().lower()
    if unit in MG_PER:
        return float(line.amount) * MG_PER[unit]
    if unit in PIECES and strength is not None:
        return float(line.amount) * strength
    return None

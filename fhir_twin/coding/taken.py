"""A later statement that a drug is not taken ends what an older order says."""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.coding.findings import Desk
from fhir_twin.model.coded import CodedMedication

FLAG = "said-not-taken"
ENDED = "A later statement says that this drug is not taken; it was not counted as taken"


def ended_by_statements(medications: tuple[CodedMedication, ...], desk: Desk) -> tuple[CodedMedication, ...]:
    """Current drugs with an older date than a statement "not taken" (or "stopped") about the same ingredients are
    current no more, and say so by a flag. An order or dispense of the same day or later stands."""
    denials = [m for m in medications if _denies(m)]
    return (
        tuple(_ended(m, desk) if _is_ended(m, denials) else m for m in medications)
        if denials
        else medications
    )


def _denies(entry: CodedMedication) -> bool:
    m = entry.medication
    return bool(entry.ingredients) and m.reported and (m.status in ("not-taken", "stopped")) and not m.current


def _is_ended(entry: CodedMedication, denials: list[CodedMedication]) -> bool:
    if not entry.medication.current:
        return False
    return any(
        set(d.ingredients) == set(entry.ingredients) and _later(d, entry) for d in denials if d is not entry
    )


def _later(denial: CodedMedication, entry: CodedMedication) -> bool:
    said = denial.medication.end or denial.medication.start
    began = entry.medication.start
    return said is not None and (began is None or began < said)


def _ended(entry: CodedMedication, desk: Desk) -> CodedMedication:
    desk.note("information", "conflict", ENDED, entry.medication.source)
    m = entry.medication
    return replace(entry, medication=replace(m, current=False, flags=(*m.flags, FLAG)))

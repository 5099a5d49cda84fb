"""A later statement that a drug is not taken."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhir_twin.coding.findings import Desk
from fhir_twin.coding.taken import FLAG, ended_by_statements
from fhir_twin.model.chart import Medication
from fhir_twin.model.coded import CodedMedication
from fhir_twin.model.codes import Concept


def drug(
    source: str, status: str, year: int | None, *, reported: bool = False, name: str = "lisinopril"
) -> CodedMedication:
    start = datetime(year, 1, 1, tzinfo=UTC) if year else None
    current = status == "active"
    m = Medication(source, Concept((), name), status, current, start=start, reported=reported)
    return CodedMedication(m, (name,), (), frozenset(), None, 1.0, False)


class Quiet(Desk):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, severity: str, code: str, text: str, source: str) -> None:  # type: ignore[override]
        self.said.append(source)


@pytest.mark.parametrize(
    ("ordered", "status", "said", "name", "taken"),
    [
        (2024, "not-taken", 2025, "lisinopril", False),
        (2024, "stopped", 2025, "lisinopril", False),
        (2025, "not-taken", 2024, "lisinopril", True),
        (None, "not-taken", 2024, "lisinopril", False),
        (2024, "not-taken", None, "lisinopril", True),
        (2024, "not-taken", 2025, "losartan", True),
        (2024, "active", 2025, "lisinopril", True),
    ],
)
def test_a_later_denial_ends_an_older_order(
    ordered: int | None, status: str, said: int | None, name: str, taken: bool
) -> None:
    desk = Quiet()
    order = drug("MedicationRequest/1", "active", ordered)
    denial = drug("MedicationStatement/2", status, said, reported=True, name=name)
    first, _ = ended_by_statements((order, denial), desk)
    assert first.medication.current is taken
    assert (FLAG in first.medication.flags) is not taken
    assert bool(desk.said) is not taken

"""People to choose from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class PatientRow:
    """One patient in a list to choose from; texts as the server gives them."""

    id: str
    name: str
    birth_date: str
    sex: str
    identifier: str
    active: bool = True

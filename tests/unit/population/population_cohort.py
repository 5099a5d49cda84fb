"""What the population tests share: the size and end of the cohort, and a run of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fhir_twin.population.results import Results
from fhir_twin.population.run import Summary

END = date(2026, 10, 1)
PEOPLE = 30


@dataclass(frozen=True)
class Ran:
    source: Path
    out: Path
    summary: Summary

    @property
    def results(self) -> Results:
        return Results(self.out)

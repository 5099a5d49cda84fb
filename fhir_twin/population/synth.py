"""Synthetic cohorts: FHIR NDJSON of invented patients, one file per resource type, as a bulk export would give them.

Same seed, design and knowledge: same bytes; the first N patients of a larger cohort are those of a smaller one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from fhir_twin.errors import InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.population.synth_design import ClinicDesign, load_design
from fhir_twin.population.synth_draw import draw_lives
from fhir_twin.population.synth_fhir import Clinic, resources

CHUNK = 500
TYPES = ("Patient", "Observation", "Condition", "MedicationRequest", "AllergyIntolerance")


@dataclass(frozen=True, slots=True)
class Synthesised:
    """What was written: resources by type, and the folder."""

    patients: int
    counts: dict[str, int]
    folder: Path


def write_cohort(
    out: Path,
    knowledge: Knowledge,
    *,
    patients: int,
    seed: int,
    end: date,
    years: float = 8.0,
    design: ClinicDesign | None = None,
    progress: Callable[[int], None] | None = None,
) -> Synthesised:
    """Write `patients` people whose records end on `end` and span `years`. Raises InvalidInput when `out` is not
    empty, or a number is out of range."""
    if patients < 1 or not 0.5 <= years <= 40.0:
        raise InvalidInput("synth: patients must be at least 1, years within 0.5 to 40")
    if seed < 0 or not 1900 <= end.year <= 2200:
        raise InvalidInput("synth: the seed must not be negative, the end must lie within 1900 to 2200")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"synth: the output folder cannot be made: {error.strerror}") from None
    if any(out.iterdir()):
        raise InvalidInput("synth: the output folder is not empty; nothing was written")
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {
            kind: stack.enter_context((out / f"{kind}.ndjson").open("wb")) for kind in TYPES
        }
        for done, resource in cohort(
            knowledge, patients=patients, seed=seed, end=end, years=years, design=design
        ):
            files[resource["resourceType"]].write(orjson.dumps(resource) + b"\n")
            counts[resource["resourceType"]] += 1
            if progress is not None and resource["resourceType"] == "Patient":
                progress(done)
    return Synthesised(patients, dict(counts), out)


def cohort(
    knowledge: Knowledge,
    *,
    patients: int,
    seed: int,
    end: date,
    years: float = 8.0,
    design: ClinicDesign | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the patient from 1, resource), person by person; memory does not grow with `patients`."""
    chosen = design or load_design()
    months = round(years * 12)
    clinic = Clinic(chosen, knowledge.biomarkers, end - timedelta(days=int(months * 30.4375)), months)
    for first in range(0, patients, CHUNK):
        rng = np.random.default_rng(np.random.SeedSequence([seed, first // CHUNK]))
        lives = draw_lives(chosen, knowledge, rng, CHUNK, months)
        for i in range(min(CHUNK, patients - first)):
            own = np.random.default_rng(np.random.SeedSequence([seed, first // CHUNK, i + 1]))
            for resource in resources(clinic, lives, i, f"syn-{seed}-{first + i + 1:07d}", own):
                yield first + i + 1, resource

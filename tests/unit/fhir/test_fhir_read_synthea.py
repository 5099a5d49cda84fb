"""Thirty real-shaped patients (Synthea) read without any issue. Skips where the reference data are missing."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhir_twin.fhir.parse import parse_json
from fhir_twin.fhir.read import read_chart

SHARED = Path(os.environ.get("FHIR_TWIN_SHARED", Path(__file__).parents[4] / "shared"))
FILES = sorted((SHARED / "data" / "synthea-30").glob("[0-9][0-9].json.gz"))


@pytest.mark.skipif(
    not FILES, reason="the reference patients (FHIR_TWIN_SHARED/data/synthea-30) are not here"
)
def test_all_of_them() -> None:
    assert len(FILES) == 30
    for path in FILES:
        given = parse_json(gzip.decompress(path.read_bytes()), what=path.name)
        read = read_chart(given, datetime(2026, 11, 1, tzinfo=UTC))
        counts = dict(read.counts)
        assert read.issues == (), path.name
        assert len(read.problems) == counts.get("Condition", 0)
        assert len(read.medications) == counts.get("MedicationRequest", 0)
        assert len(read.allergies) == counts.get("AllergyIntolerance", 0)
        assert len({m.source for m in read.measurements}) == counts["Observation"]
        assert all(m.time is not None and m.setting != "unknown" for m in read.measurements if m.encounter)
        assert read.patient.birth_date is not None
        assert read.patient.sex in ("female", "male")

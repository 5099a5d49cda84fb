"""Each decision says which release and version it came from: in the chart, in the plan's Provenance, on the page."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "terminology"))

from tx import rf2_release

from fhir_twin.coding.released import open_released
from fhir_twin.knowledge import Knowledge
from fhir_twin.pipeline import Run, run
from fhir_twin.web.views.coding import coding_rows, mapped_rows
from terminology.library import import_release

AS_OF = datetime(2026, 1, 15, tzinfo=UTC)
SNOMED, ICD10CM = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
RELEASE = "SNOMED CT 20260101 (Snapshot), http://snomed.info/sct/900000000000207008/version/20260101"


def condition(number: int, code: dict[str, Any]) -> dict[str, Any]:
    status = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    }
    return {"resourceType": "Condition", "id": f"c{number}", "clinicalStatus": status, "code": code,
            "subject": {"reference": "Patient/p"}}  # fmt: skip


@pytest.fixture(scope="module")
def done(all_knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A man with a problem by the release's map, one by the starter map, one coded already, one in words."""
    folder = tmp_path_factory.mktemp("rf2")
    made, _, _ = import_release("snomed", rf2_release(folder / "rf2"), folder / "releases")
    assert made.label == RELEASE
    maps = replace(all_knowledge.concept_maps, released=open_released(folder / "releases"))
    codes = [
        {"coding": [{"system": SNOMED, "code": "8619003", "display": "Infertile"}]},
        {"coding": [{"system": SNOMED, "code": "38341003", "display": "Hypertension"}]},
        {"coding": [{"system": ICD10CM, "code": "E78.5"}]},
        {"text": "gout"},
    ]
    patient = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960-05-01"}
    resources = [patient, *(condition(n, code) for n, code in enumerate(codes))]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
    return run(bundle, replace(all_knowledge, concept_maps=maps), AS_OF)


def test_the_chart_keeps_it(done: Run) -> None:
    by_release, by_starter, as_given, by_text = done.coded.problems
    assert (by_release.icd10cm, by_release.release) == (("N46.9",), RELEASE)
    assert by_starter.icd10cm == ("I10",) and "starter-problems.tsv" in by_starter.release
    assert (as_given.icd10cm, as_given.release) == (("E78.5",), "")
    assert (
        by_text.icd10cm[0].startswith("M10") and by_text.release.startswith("ICD-10-CM") and by_text.from_text
    )
    assert set(done.coded.releases) == {RELEASE, by_starter.release, by_text.release}


def test_the_provenance_names_it(done: Run) -> None:
    [provenance] = [
        e["resource"] for e in done.output["entry"] if e["resource"]["resourceType"] == "Provenance"
    ]
    named = {e["what"].get("identifier", {}).get("value") for e in provenance["entity"]}
    assert set(done.coded.releases) <= named


def test_the_page_shows_it(done: Run) -> None:
    mapped = mapped_rows(done)
    assert [(m.icd10cm, m.given[0][1]) for m in mapped] == [(("N46.9",), "8619003"), (("I10",), "38341003")]
    assert mapped[0].release == RELEASE
    [words] = coding_rows(done)
    assert words.text == "gout" and words.release.startswith("ICD-10-CM")

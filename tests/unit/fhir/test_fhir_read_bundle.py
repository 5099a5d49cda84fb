"""Open any Bundle; each resource once, in its newest version."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

from typing import Any

import pytest
from fhir_read_records import AS_OF, bundle, observation, patient, words

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.bundle import BUNDLE_TYPES, open_bundle
from fhir_twin.fhir.read import read_chart


@pytest.mark.parametrize("kind", sorted(BUNDLE_TYPES))
def test_every_bundle_type_is_read(kind: str) -> None:
    read = read_chart(bundle(patient(), observation(valueInteger=3), kind=kind), AS_OF)
    assert len(read.measurements) == 1


@pytest.mark.parametrize(
    "value",
    [None, [], "x", {}, {"resourceType": "Patient"}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": "heap"},
     {"resourceType": "Bundle", "type": "Collection"}, {"resourceType": "Bundle", "type": ["collection"]}],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        open_bundle(value)


def test_odd_entries_become_issues_and_the_rest_is_read() -> None:
    """Row 39: resourceType missing, unknown, an array, 1 MB long."""
    given = bundle(patient())
    odd: list[Any] = [None, 7, [], {"resource": None}, {"resource": []}, {"resource": {"id": "x"}}]
    odd += [{"resource": {"resourceType": ["Observation"]}}, {"resource": {"resourceType": "A" * 1_000_000}}]
    given["entry"] += [
        *odd,
        {"resource": observation(valueInteger=1)},
        {"resource": {"resourceType": "Banana"}},
    ]
    read = read_chart(given, AS_OF)
    assert len(read.measurements) == 1
    expressions = [i.expression for i in read.issues if i.code == "structure"]
    assert expressions == [f"Bundle.entry[{i}]" for i in (1, 2, 3, 5, 6, 7, 8)]
    assert dict(read.counts) == {"Banana": 1, "Observation": 1, "Patient": 1}


def test_entry_that_is_no_array() -> None:
    opened = open_bundle({"resourceType": "Bundle", "type": "collection", "entry": {"resource": patient()}})
    assert opened.entries == ()
    assert opened.issues[0].code == "structure"


def test_pages_that_overlap_count_once() -> None:
    """RD-4: dedupe by type and id."""
    same = observation(valueInteger=3, meta={"versionId": "2"})
    read = read_chart(bundle(patient(), same, same), AS_OF)
    assert len(read.measurements) == 1
    assert not read.issues


def test_the_newest_version_counts() -> None:
    old = observation(valueInteger=3, meta={"versionId": "9", "lastUpdated": "2025-01-01T00:00:00Z"})
    new = observation(valueInteger=4, meta={"versionId": "10", "lastUpdated": "2025-01-02T00:00:00Z"})
    for order in ((old, new), (new, old)):
        read = read_chart(bundle(patient(), *order, kind="history"), AS_OF)
        assert [str(m.value) for m in read.measurements] == ["4"]
        assert read.measurements[0].source == "Observation/o1/_history/10"


def test_two_contents_without_version_are_said() -> None:
    read = read_chart(bundle(patient(), observation(valueInteger=3), observation(valueInteger=4)), AS_OF)
    assert [str(m.value) for m in read.measurements] == ["3"]
    assert "came twice with different content" in words(read)


def test_a_deleted_resource_of_a_history_is_gone() -> None:
    given = bundle(patient(), observation(valueInteger=3, meta={"versionId": "1"}), kind="history")
    deletion = {
        "fullUrl": "https://fhir.example/Observation/o1",
        "request": {"method": "DELETE", "url": "Observation/o1"},
        "response": {"status": "204", "etag": 'W/"2"'},
    }
    given["entry"].insert(0, deletion)
    assert read_chart(given, AS_OF).measurements == ()


def test_a_resource_made_again_after_its_deletion_counts() -> None:
    given = bundle(patient(), observation(valueInteger=3, meta={"versionId": "3"}), kind="history")
    given["entry"].append(
        {"request": {"method": "DELETE", "url": "Observation/o1"}, "response": {"etag": 'W/"2"'}}
    )
    assert len(read_chart(given, AS_OF).measurements) == 1


def test_a_batch_of_searches() -> None:
    """Bundles inside the Bundle; a refused part is not "no data" (RD-8)."""
    found = bundle(observation(valueInteger=3), kind="searchset")
    given = {
        "resourceType": "Bundle",
        "type": "batch-response",
        "entry": [
            {"resource": patient(), "response": {"status": "200"}},
            {"resource": found, "response": {"status": "200 OK"}},
            {"response": {"status": "403", "outcome": {"resourceType": "OperationOutcome", "issue": [
                {"severity": "error", "code": "forbidden", "diagnostics": "CANARY may not see this"}]}}},
        ],
    }  # fmt: skip
    read = read_chart(given, AS_OF)
    assert len(read.measurements) == 1
    assert ("forbidden", "Bundle.entry[2]") in [(i.code, i.expression) for i in read.issues]
    assert "CANARY" not in words(read)


def test_outcome_entries_are_issues() -> None:
    """RD-3: search.mode outcome."""
    given = bundle(patient(), kind="searchset")
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}
    given["entry"].append({"resource": outcome, "search": {"mode": "outcome"}})
    read = read_chart(given, AS_OF)
    assert [(i.severity, i.code) for i in read.issues] == [("warning", "processing")]
    assert dict(read.counts) == {"Patient": 1}


def test_bundles_nested_without_end() -> None:
    inner = bundle(observation(valueInteger=3))
    for _ in range(60):
        inner = bundle(inner)
    read = read_chart(bundle(patient(), inner), AS_OF)
    assert read.measurements == ()
    assert "Bundles nested too deep" in words(read)


def test_a_resource_without_id_is_named_by_its_place() -> None:
    given = observation(valueInteger=3)
    del given["id"]
    read = read_chart(bundle(patient(), given), AS_OF)
    assert read.measurements[0].source == "Bundle.entry[1].resource"

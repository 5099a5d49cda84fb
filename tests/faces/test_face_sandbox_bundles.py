"""The sandbox's transactions and batches over a real socket (TX-1..TX-3, HP-1..HP-4, F11, ID-8)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from fhir_twin.sandbox import serve_sandbox

URN = "urn:uuid:00000000-0000-4000-8000-00000000000"


@pytest.fixture
def base() -> Iterator[str]:
    with contextlib.closing(serve_sandbox()) as running:
        yield running.base


def post(
    base: str, *entries: dict[str, Any], type_: str = "transaction", **headers: str
) -> requests.Response:
    bundle = {"resourceType": "Bundle", "type": type_, "entry": list(entries)}
    sent = {"Content-Type": "application/fhir+json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return requests.post(base, json=bundle, headers=sent, timeout=20)


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, full_url: str = "", **request: str
) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def goal(subject: str, value: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Goal",
        "identifier": [{"system": "urn:g", "value": value}],
        "subject": {"reference": subject},
        **more,
    }


def get(base: str, path: str) -> requests.Response:
    return requests.get(f"{base}/{path}", timeout=20)


def statuses(answer: requests.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [e["response"]["status"][:3] for e in answer.json()["entry"]]


def test_urns_are_resolved_whatever_the_order(base: str) -> None:
    """TX-1, TX-2, TX-3: the plan refers to a goal that stands after it; answers keep the order of the request."""
    plan = {
        "resourceType": "CarePlan", "subject": {"reference": URN + "1"}, "goal": [{"reference": URN + "2"}],
        "identifier": [{"system": "urn:c", "value": "1"}],
    }  # fmt: skip
    answer = post(
        base,
        entry("PUT", "CarePlan?identifier=urn:c|1", plan, URN + "3"),
        entry("GET", "Goal?identifier=urn:g|1"),
        entry("PUT", "Goal?identifier=urn:g|1", goal(URN + "1"), URN + "2"),
        entry("POST", "Patient", {"resourceType": "Patient"}, URN + "1"),
    )
    assert statuses(answer) == ["201", "200", "201", "201"]
    entries = answer.json()["entry"]
    assert [e["response"].get("location", "?").split("/")[0] for e in entries] == [
        "CarePlan",
        "?",
        "Goal",
        "Patient",
    ]
    assert entries[1]["resource"]["total"] == 1  # GET sees what was written
    stored = get(base, "CarePlan").json()["entry"][0]["resource"]
    assert stored["goal"][0]["reference"].startswith("Goal/") and stored["subject"]["reference"].startswith(
        "Patient/"
    )
    assert all(e["response"]["etag"] == 'W/"1"' for e in entries if "etag" in e["response"])


def test_sent_again_nothing_changes(base: str) -> None:
    """E5, E6, HP-8."""
    entries = (
        entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"}),
        entry("PUT", "Goal?identifier=urn:g|1", goal("Patient/p1"), URN + "1"),
        entry("POST", "Goal", goal("Patient/p1", "2"), URN + "2", ifNoneExist="identifier=urn:g|2"),
    )
    assert statuses(post(base, *entries)) == ["201", "201", "201"]
    again = post(base, *entries)
    assert statuses(again) == ["200", "200", "200"]
    assert {e["response"]["etag"] for e in again.json()["entry"]} == {'W/"1"'}
    assert get(base, "Goal?_summary=count").json()["total"] == 2


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (entry("POST", "Goal", goal("Patient/none")), 400),
        (entry("POST", "Goal", goal(URN + "9")), 400),
        (entry("POST", "Goal", {"resourceType": "Patient"}), 400),
        (entry("PUT", "Patient/p9", {"resourceType": "Patient", "id": "other"}), 400),
        (entry("PUT", "Patient/123", {"resourceType": "Patient", "id": "123"}), 400),
        (
            entry(
                "PUT",
                "Patient/p0",
                {"resourceType": "Patient", "id": "p0", "gender": "male"},
                ifMatch='W/"9"',
            ),
            412,
        ),
        (entry("DELETE", "Patient/none"), 404),
        (entry("GET", "Patient/none"), 404),
        (entry("PATCH", "Patient/p1", {}), 400),
        (entry("POST", "Nonsense", {"resourceType": "Nonsense"}), 404),
        (entry("POST", "Goal", goal("Patient?identifier=urn:m|1")), 400),
        ({"resource": {"resourceType": "Patient"}}, 400),
    ],
)
def test_all_or_nothing(base: str, bad: dict[str, Any], status: int) -> None:
    post(base, entry("PUT", "Patient/p0", {"resourceType": "Patient", "id": "p0"}))
    first = entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"})
    other = entry("PUT", "Patient/p0", {"resourceType": "Patient", "id": "p0", "gender": "other"})
    same = bad.get("request", {}).get("url") == "Patient/p0"
    answer = post(base, first, bad) if same else post(base, first, other, bad)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert get(base, "Patient/p1").status_code == 404
    kept = get(base, "Patient/p0")
    assert kept.headers["ETag"] == 'W/"1"' and "gender" not in kept.json()


def test_rollback_brings_back_what_was_deleted(base: str) -> None:
    post(base, entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"}))
    assert post(base, entry("DELETE", "Patient/p1"), entry("GET", "Goal/none")).status_code == 404
    assert get(base, "Patient/p1").status_code == 200
    assert len(get(base, "Patient/p1/_history").json()["entry"]) == 1


def test_delete_then_create_in_one_transaction(base: str) -> None:
    """TX-1: DELETE comes first wherever it stands."""
    post(
        base,
        entry(
            "PUT",
            "Goal/g1",
            {"resourceType": "Goal", "id": "g1", "identifier": [{"system": "urn:g", "value": "1"}]},
        ),
    )
    new = {"resourceType": "Goal", "identifier": [{"system": "urn:g", "value": "1"}]}
    answer = post(
        base, entry("POST", "Goal", new, ifNoneExist="identifier=urn:g|1"), entry("DELETE", "Goal/g1")
    )
    assert statuses(answer) == ["201", "204"]


def test_two_entries_for_one_resource_are_refused(base: str) -> None:
    """HP-4, hapi-fhir#8183: never silently dropped."""
    same = entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"})
    assert post(base, same, same).status_code == 400
    twice = entry(
        "PUT",
        "Goal?identifier=urn:g|1",
        {"resourceType": "Goal", "identifier": [{"system": "urn:g", "value": "1"}]},
    )
    assert post(base, twice, twice).status_code == 400


def test_several_matches_are_refused(base: str) -> None:
    for _ in range(2):
        post(
            base,
            entry(
                "POST", "Goal", {"resourceType": "Goal", "identifier": [{"system": "urn:g", "value": "1"}]}
            ),
        )
    answer = post(base, entry("PUT", "Goal?identifier=urn:g|1", {"resourceType": "Goal"}))
    assert answer.status_code == 412 and answer.json()["issue"][0]["code"] == "multiple-matches"


def test_conditional_references(base: str) -> None:
    """HP-3: as Synthea writes them."""
    doctor = {"resourceType": "Practitioner", "id": "d1", "identifier": [{"system": "urn:npi", "value": "7"}]}
    post(base, entry("PUT", "Practitioner/d1", doctor))
    encounter = {
        "resourceType": "Encounter",
        "participant": [{"individual": {"reference": "Practitioner?identifier=urn:npi|7"}}],
    }
    answer = post(base, entry("POST", "Encounter", encounter))
    assert (
        answer.json()["entry"][0]["resource"]["participant"][0]["individual"]["reference"]
        == "Practitioner/d1"
    )


def test_minimal_answers(base: str) -> None:
    answer = post(base, entry("POST", "Patient", {"resourceType": "Patient"}), Prefer="return=minimal")
    assert set(answer.json()["entry"][0]) == {"response"}


def test_batch_judges_each_entry_alone(base: str) -> None:
    """performance.md 4.5: a 200 with a failed entry is a partial failure."""
    answer = post(
        base,
        entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"}),
        entry("POST", "Goal", goal("Patient/none")),
        entry("GET", "Patient?_id=p1"),
        entry("GET", "Nonsense"),
        entry("GET", "Patient/none"),
        {"junk": 1},
        type_="batch",
    )
    assert statuses(answer) == ["201", "400", "200", "404", "404", "400"]
    entries = answer.json()["entry"]
    assert entries[1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert entries[2]["resource"]["total"] == 1
    assert get(base, "Goal?_summary=count").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle", "type": "transaction", "entry": {}},
    ],
)
def test_other_bundles(base: str, body: dict[str, Any]) -> None:
    assert requests.post(base, json=body, timeout=20).status_code == 400


def test_two_writers_at_once_make_one_plan(base: str) -> None:
    """E6, ID-8: conditional create from eight threads."""
    post(base, entry("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1"}))
    results: list[list[str]] = []

    def write() -> None:
        answer = post(base, entry("POST", "Goal", goal("Patient/p1"), ifNoneExist="identifier=urn:g|1"))
        results.append(statuses(answer))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r[0] for r in results) == ["200"] * 7 + ["201"]
    assert get(base, "Goal?_summary=count").json()["total"] == 1

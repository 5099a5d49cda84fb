"""Other makers' servers, by their known habits (interop.md E, F, 3): pulls stay complete or say what is missing, and
writes find out which id and version they got (E11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from net_quirky import Answer, Quirky, ids, outcome, patient, row, state

from fhir_twin.errors import Conflict, InvalidInput, UpstreamError
from fhir_twin.transport.fhir_server import FhirServer, repeatable
from fhir_twin.transport.loader import as_transactions, load

UUID = "0195f5a0-7c1e-7000-8000-9a3b2c1d0e0f"


@pytest.fixture
def record(stub: Any, tools: Any) -> Quirky:
    rows = [
        row("Observation", f"o{n:03}", category=[{"coding": [{"code": "laboratory"}]}]) for n in range(45)
    ]
    return Quirky(stub, tools, patient(meta={"versionId": UUID}), *rows, row("CarePlan", "cp", category=[{}]))


def paged(record: Quirky, size: int, link: str, *, total: bool) -> None:
    """Observation in pages of `size` whatever _count says; `link` is the next link with {n} for the offset."""

    def rule(query: dict[str, str]) -> Answer:
        rows = [r for r in record.rows if r["resourceType"] == "Observation"]
        if query.get("_summary") == "count":
            return 200, {"resourceType": "Bundle", "type": "searchset", "total": len(rows)}
        start = int(query.get("offset", query.get("ct", "0")))
        following = (
            link.format(n=start + size, base=record.stub.base) if link and start + size < len(rows) else ""
        )
        known = len(rows) if total or "_total" in query else None
        return 200, record.tools.page(*rows[start : start + size], total=known, next_=following)

    record.rules["Observation"] = rule


def test_continuation_tokens_and_an_ignored_page_size(record: Quirky, clock: Any) -> None:
    """Microsoft: `ct=`, own page size."""
    paged(record, 10, "{base}/Observation?ct={n}", total=False)
    assert state(record.source(clock).fetch("p1"), "Observation") == ("complete", 45, 45)


def test_relative_next_links(record: Quirky, clock: Any) -> None:
    paged(record, 20, "Observation?offset={n}", total=True)
    assert state(record.source(clock).fetch("p1"), "Observation") == ("complete", 45, 45)


def test_no_next_link_at_all(record: Quirky, clock: Any) -> None:
    """Cut at 20 without a word: noticed by the count (F1)."""
    paged(record, 20, "", total=False)
    fetched = record.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("short", 20, 45)
    assert any(i.code == "incomplete" for i in fetched.issues)


def test_total_is_the_size_of_the_page(record: Quirky, clock: Any) -> None:
    """A total smaller than what is read is no reason to stop or to complain."""
    paged(record, 20, "{base}/Observation?offset={n}", total=True)
    plain = record.rules["Observation"]

    def rule(query: dict[str, str]) -> Answer:
        status, page = plain(query)
        return status, {
            **page,
            "total": len(page.get("entry", [])) if "_summary" not in query else page["total"],
        }

    record.rules["Observation"] = rule
    assert state(record.source(clock).fetch("p1"), "Observation")[:2] == ("complete", 45)


def test_a_server_without_batch_that_refuses_what_it_does_not_know(record: Quirky, clock: Any) -> None:
    """Cerner: no batch, 400 for unknown parameters, CarePlan only by category, Goal not offered."""
    record.batch = False
    record.types.remove("Goal")
    plain = record.get

    def get(target: str, form: str = "") -> Answer:
        if "_total" in target or "_include" in target:
            return 400, outcome("not-supported")
        if "/CarePlan" in target and "category" not in target:
            return 400, outcome("required")
        return plain(target, form)

    record.get = get  # type: ignore[method-assign]
    fetched = record.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 45, 45)
    assert state(fetched, "CarePlan")[:2] == ("unknown", 1)
    assert state(fetched, "Goal")[0] == "not-offered"


def test_warnings_inside_every_searchset(record: Quirky, clock: Any) -> None:
    """Epic: an OperationOutcome entry "no results" or "some results may be left out"."""
    plain = record.search

    def search(type_: str, query: dict[str, str]) -> dict[str, Any]:
        page = plain(type_, query)
        told = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "suppressed"}]}
        page.setdefault("entry", []).append({"resource": told, "search": {"mode": "outcome"}})
        return page

    record.search = search  # type: ignore[method-assign]
    fetched = record.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 45, 45)
    assert {i.expression for i in fetched.issues if i.code == "suppressed"} >= {"Observation", "Condition"}
    assert not any(i.startswith("OperationOutcome") for i in ids(fetched))


def test_absolute_references_on_the_own_base(record: Quirky, clock: Any) -> None:
    """Firely."""
    for each in record.rows[1:]:
        each["subject"] = {"reference": f"{record.stub.base}/Patient/p1"}
    plain = record.matches
    record.matches = lambda r, q: True if r["resourceType"] != "Patient" else plain(r, q)  # type: ignore[method-assign]
    assert state(record.source(clock).fetch("p1"), "Observation") == ("complete", 45, 45)


def test_only_subject_is_offered(record: Quirky, clock: Any) -> None:
    capability = record.capability()
    for each in capability["rest"][0]["resource"]:
        each["searchParam"] = [{"name": "subject"}]
    record.rules["metadata"] = lambda _: (200, capability)
    asked: list[dict[str, str]] = []

    def rule(query: dict[str, str]) -> Answer:
        asked.append(query)
        return 200, record.search("Observation", {"patient": query["subject"].removeprefix("Patient/")})

    record.rules["Observation"] = rule
    assert state(record.source(clock).fetch("p1"), "Observation") == ("complete", 45, 45)
    assert asked[0]["subject"] == "Patient/p1"


def test_deleted_is_404_or_410(record: Quirky, clock: Any) -> None:
    server = FhirServer(record.tools.make_client(record.stub, clock))
    for status in (404, 410):
        record.rules["Goal/g"] = lambda _, status=status: (status, outcome("deleted"))
        assert server.read("Goal", "g") is None


# --- writing ---------------------------------------------------------------------------------------

GOAL = {"resourceType": "Goal", "id": "g", "description": {"text": "x"}}


@pytest.mark.parametrize(
    ("status", "headers", "body", "id_", "version"),
    [
        (201, {"Location": "https://inner.example/fhir/Goal/new/_history/1"}, b"", "new", "1"),
        (201, {"Location": "Goal/new", "ETag": f'W/"{UUID}"'}, b"", "new", UUID),
        (200, {"ETag": '"7"'}, b"", "g", "7"),
        (200, {"Content-Location": "/fhir/Goal/g/_history/9?x=1"}, b"", "g", "9"),
        (201, {}, {**GOAL, "id": "srv", "meta": {"versionId": UUID}}, "srv", UUID),
        (200, {"ETag": 'W/"3"'}, outcome("informational"), "g", "3"),
        (200, {"ETag": 'W/"3"'}, b"not json", "g", "3"),
    ],
)
def test_id_and_version_from_wherever_they_are(
    stub: Any,
    client: Any,
    tools: Any,
    status: int,
    headers: dict[str, str],
    body: Any,
    id_: str,
    version: str,
) -> None:
    """E11: Location on any host, Content-Location, weak and strong ETags, any Prefer."""
    stub.answers(tools.reply(status, body, headers=headers))
    stored = FhirServer(client).update(GOAL)
    assert (stored["id"], stored["meta"]["versionId"]) == (id_, version)


def test_no_id_anywhere(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(201, b""))
    with pytest.raises(UpstreamError, match="which id"):
        FhirServer(client).create({"resourceType": "Goal"})


def test_a_uuid_version_goes_into_if_match(stub: Any, client: Any, tools: Any) -> None:
    stub.answers(tools.reply(200, GOAL))
    FhirServer(client).update(GOAL, if_match=UUID)
    assert stub.requests[0].headers["if-match"] == f'W/"{UUID}"'
    with pytest.raises(InvalidInput):
        FhirServer(client).update(GOAL, if_match="1\r\nX: y")


@pytest.mark.parametrize("status", [409, 412])
def test_stale_is_a_conflict_with_either_status(stub: Any, client: Any, tools: Any, status: int) -> None:
    """E7: 412 by the specification, 409 at Cerner."""
    stub.answers(tools.reply(status, outcome("conflict")))
    with pytest.raises(Conflict):
        FhirServer(client).update(GOAL, if_match="1")


def test_when_a_transaction_may_be_sent_twice() -> None:
    def bundle(*requests: dict[str, str]) -> dict[str, Any]:
        return {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": r} for r in requests]}

    put, conditional = (
        {"method": "PUT", "url": "Goal/g"},
        {"method": "POST", "url": "Goal", "ifNoneExist": "identifier=a"},
    )
    assert repeatable(bundle(put, conditional, {"method": "DELETE", "url": "Goal/g"})) == "safe"
    assert repeatable(bundle(put, {**put, "ifMatch": 'W/"1"'})) == "if-refused"
    assert repeatable(bundle(put, {"method": "POST", "url": "Goal"}, {**put, "ifMatch": 'W/"1"'})) == "never"


# --- loading ---------------------------------------------------------------------------------------


def test_a_collection_is_loaded_by_id(stub: Any, client: Any, tools: Any, tmp_path: Any) -> None:
    collection = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": patient("a")}, {"resource": GOAL}],
    }
    (tmp_path / "a.json").write_text(json.dumps(collection))
    answer = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": {"status": "201"}}] * 2,
    }
    stub.answers(tools.reply(200, answer))
    told: list[str] = []
    assert load(FhirServer(client), [collection], [tmp_path], progress=told.append) == 2
    sent = json.loads(stub.requests[1].body)
    assert [e["request"] for e in sent["entry"]] == [
        {"method": "PUT", "url": "Patient/a"},
        {"method": "PUT", "url": "Goal/g"},
    ]
    assert sent["type"] == "transaction" and told == [
        "loaded sample 1 of 1: 2 resources",
        "loaded file[1] of 1: 2 resources",
    ]


def test_loading_goes_on_where_it_stopped(stub: Any, client: Any, tools: Any) -> None:
    bundles = [
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "PUT", "url": f"Goal/{n}"}}],
        }
        for n in range(3)
    ]
    good = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": {"status": "201"}}],
    }
    stub.answers(tools.reply(200, good), tools.reply(422, outcome("business-rule")))
    with pytest.raises(InvalidInput, match="1 of 3 are loaded"):
        load(FhirServer(client), bundles)
    stub.requests.clear()
    stub.answers(tools.reply(200, good))
    assert load(FhirServer(client), bundles, skip=1) == 2
    assert [json.loads(r.body)["entry"][0]["request"]["url"] for r in stub.requests] == ["Goal/1", "Goal/2"]


@pytest.mark.parametrize("entry", [[], [{"response": {"status": "400"}}]])
def test_a_200_with_failed_or_missing_entries_is_no_success(
    stub: Any, client: Any, tools: Any, entry: Any
) -> None:
    stub.answers(tools.reply(200, {"resourceType": "Bundle", "type": "transaction-response", "entry": entry}))
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "PUT", "url": "Goal/g"}}],
    }
    with pytest.raises(UpstreamError):
        load(FhirServer(client), [bundle])


def test_large_collections_are_split_and_ids_are_needed() -> None:
    rows = [{"resource": patient(f"p{n}")} for n in range(4500)]
    parts = as_transactions({"resourceType": "Bundle", "type": "searchset", "entry": rows})
    assert [len(p["entry"]) for p in parts] == [2000, 2000, 500]
    with pytest.raises(InvalidInput):
        as_transactions(
            {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": {"resourceType": "Goal"}}],
            }
        )

"""Pulling from servers with quirks: issue 3 "Reading" and "Bad input", RD-1..RD-8, F1-F8, security 6, 7, 12, 41."""

from __future__ import annotations

from typing import Any

import pytest
from net_quirky import CANARY, Answer, Quirky, ids, outcome, patient, row, state

from fhir_twin.errors import Conflict, Forbidden, LoginRequired, NotFound, NotSupported, UpstreamError
from fhir_twin.transport.capability import read_capability
from fhir_twin.transport.pull import Fetched
from fhir_twin.transport.wanted import WANTED


@pytest.fixture
def quirky(stub: Any, tools: Any) -> Quirky:
    return Quirky(
        stub, tools, patient(), row("Condition", "c1"), row("Observation", "o2"), row("Observation", "o1")
    )


@pytest.mark.parametrize("batch", [True, False])
def test_a_plain_pull(quirky: Quirky, clock: Any, batch: bool) -> None:
    quirky.batch = batch
    fetched = quirky.source(clock).fetch("p1")
    assert ids(fetched) == ["Patient/p1", "Observation/o1", "Observation/o2", "Condition/c1"]
    assert fetched.bundle["type"] == "collection"
    assert fetched.bundle["entry"][0]["fullUrl"] == quirky.stub.base + "/Patient/p1"
    assert state(fetched, "Observation") == ("complete", 2, 2)
    assert state(fetched, "Goal") == ("complete", 0, 0)
    assert fetched.issues == () and fetched.patient == "p1"
    assert fetched.requests == (2 if batch else 1 + len(WANTED))


def test_batch_and_single_searches_give_the_same_bundle(quirky: Quirky, clock: Any) -> None:
    one = quirky.source(clock).fetch("p1")
    quirky.batch = False
    assert quirky.source(clock).fetch("p1").bundle == one.bundle


def test_searches_are_fresh(quirky: Quirky, clock: Any) -> None:
    """F7, HP-7: HAPI reuses results for 60 s unless told otherwise."""
    quirky.source(clock).fetch("p1")
    assert all(
        r.headers["cache-control"] == "no-cache" for r in quirky.stub.requests if "metadata" not in r.target
    )


@pytest.mark.parametrize("version", ["3.0.2", "5.0.0", "1.0.2", ""])
def test_other_fhir_versions_are_refused(quirky: Quirky, clock: Any, version: str) -> None:
    quirky.version = version
    with pytest.raises(NotSupported, match="R4"):
        quirky.source(clock).fetch("p1")


def test_r4b_is_read_with_a_warning(quirky: Quirky, clock: Any) -> None:
    quirky.version = "4.3.0"
    assert "R4B" in quirky.source(clock).fetch("p1").issues[0].diagnostics


def test_metadata_that_is_no_capability_statement(quirky: Quirky, clock: Any) -> None:
    quirky.rules["metadata"] = lambda _: (200, patient())
    with pytest.raises(UpstreamError, match="CapabilityStatement"):
        quirky.source(clock).fetch("p1")


@pytest.mark.parametrize(
    "broken", [{"rest": "x"}, {"rest": [{"resource": [1, {"type": 5}]}]}, {"format": 3}, {"software": []}]
)
def test_malformed_capability_statements_are_read_as_far_as_they_go(broken: dict[str, Any]) -> None:
    found = read_capability({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", **broken})
    assert found.types == {} and not found.listed


# --- who -------------------------------------------------------------------------------------------


def test_no_such_patient(quirky: Quirky, clock: Any) -> None:
    with pytest.raises(NotFound):
        quirky.source(clock).fetch("p9")


def test_patient_not_permitted(quirky: Quirky, clock: Any) -> None:
    quirky.rules["Patient/p1"] = lambda _: (403, outcome("forbidden"))
    with pytest.raises(Forbidden, match="not permitted"):
        quirky.source(clock).fetch("p1")


def test_login_refused_for_everything(quirky: Quirky, clock: Any) -> None:
    for wanted in WANTED:
        quirky.rules[wanted.type] = lambda _: (401, outcome("login"))
    with pytest.raises(LoginRequired):
        quirky.source(clock).fetch("p1")


def test_a_replaced_patient(quirky: Quirky, clock: Any) -> None:
    link = [{"type": "replaced-by", "other": {"reference": "Patient/p1"}}]
    quirky.rows.append(patient("p0", link=link, active=False))
    fetched = quirky.source(clock).fetch("p0")
    assert fetched.patient == "p1" and ids(fetched)[0] == "Patient/p1"
    assert "replaced" in fetched.issues[0].diagnostics
    assert list(quirky.source(clock).patients()) == ["p1"]


def test_patients_that_replace_each_other(quirky: Quirky, clock: Any) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        link = [{"type": "replaced-by", "other": {"reference": f"Patient/{other}"}}]
        quirky.rows.append(patient(one, link=link))
    with pytest.raises(UpstreamError, match="circle"):
        quirky.source(clock).fetch("a")


def test_a_list_of_patients_that_is_cut_is_no_list(quirky: Quirky, clock: Any) -> None:
    """performance.md 2.3: 13 of 25 patients and no next link (hapi-fhir#5173)."""
    quirky.rules["Patient"] = lambda q: (
        (200, {"resourceType": "Bundle", "type": "searchset", "total": 25})
        if "_summary" in q
        else (200, quirky.tools.page(*[patient(f"x{n}") for n in range(13)], total=25))
    )
    with pytest.raises(UpstreamError, match="counts 25 Patient but gave 13"):
        list(quirky.source(clock).patients())


def test_a_total_that_is_an_estimate_is_checked_before_it_is_believed(quirky: Quirky, clock: Any) -> None:
    quirky.rules["Patient"] = lambda q: (
        (200, {"resourceType": "Bundle", "type": "searchset", "total": 2})
        if "_summary" in q
        else (200, quirky.tools.page(patient("a"), patient("b"), total=1000))
    )
    assert list(quirky.source(clock).patients()) == ["a", "b"]


def test_find(quirky: Quirky, clock: Any) -> None:
    quirky.rows[0]["identifier"] = [{"system": "urn:mrn", "value": "1|2"}]
    source = quirky.source(clock)
    quirky.rules["Patient"] = lambda q: (
        200,
        quirky.tools.page(*quirky.rows[:1] if q["identifier"] == "urn:mrn|1\\|2" else []),
    )
    assert source.find("urn:mrn", "1|2") == "p1"
    with pytest.raises(NotFound):
        source.find("urn:mrn", CANARY)
    assert all(CANARY not in r.target for r in quirky.stub.requests)  # identifiers go by POST


def test_find_is_checked_when_the_server_ignores_the_parameter(quirky: Quirky, clock: Any) -> None:
    quirky.rules["Patient"] = lambda _: (200, quirky.tools.page(*[patient(f"x{i}") for i in range(5)]))
    with pytest.raises(NotFound):
        quirky.source(clock).find("urn:mrn", "1")


def test_find_several(quirky: Quirky, clock: Any) -> None:
    same = [{"system": "urn:mrn", "value": "1"}]
    quirky.rows += [patient("p2", identifier=same), patient("p3", identifier=same)]
    with pytest.raises(Conflict, match="2 patients"):
        quirky.source(clock).find("urn:mrn", "1")


def test_find_on_a_server_without_post_search(quirky: Quirky, clock: Any) -> None:
    quirky.rows[0]["identifier"] = [{"system": "urn:mrn", "value": "1"}]
    plain = quirky.handle
    quirky.stub.handler = lambda r: quirky.tools.reply(405, outcome()) if "_search" in r.target else plain(r)
    assert quirky.source(clock).find("urn:mrn", "1") == "p1"


def test_post_search_keeps_ids_out_of_urls(quirky: Quirky, clock: Any) -> None:
    quirky.batch = False
    fetched = quirky.source(clock, post_search=True).fetch("p1")
    assert len(ids(fetched)) == 4
    assert not any("patient=" in r.target for r in quirky.stub.requests)


# --- refusals --------------------------------------------------------------------------------------


def test_a_server_that_insists_on_a_status(quirky: Quirky, clock: Any) -> None:
    """RD-2: 400 -> again with every status; remembered for the next patient."""
    asked: list[dict[str, str]] = []

    def rule(query: dict[str, str]) -> Answer:
        asked.append(query)
        if "status" not in query:
            return 400, outcome("required", diagnostics=CANARY)
        return 200, quirky.search("Observation", query)

    quirky.rules["Observation"] = rule
    source = quirky.source(clock)
    fetched = source.fetch("p1")
    assert state(fetched, "Observation") == ("complete", 2, 2)
    assert "entered-in-error" in asked[-1]["status"]
    before = len(asked)
    source.fetch("p1")
    assert len(asked) == before + 1
    assert CANARY not in repr(fetched.issues) + repr(fetched.completeness)


def test_a_server_that_insists_on_a_category(quirky: Quirky, clock: Any) -> None:
    """What has no category cannot be seen then: never "complete"."""
    quirky.rules["CarePlan"] = lambda q: (
        (200, quirky.search("CarePlan", q)) if "category" in q else (400, outcome("required"))
    )
    quirky.rows.append(row("CarePlan", "cp1"))
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "CarePlan") == ("unknown", 1, 1)
    assert "category" in next(c.note for c in fetched.completeness if c.type == "CarePlan")


def test_a_server_that_refuses_page_sizes_and_totals(quirky: Quirky, clock: Any) -> None:
    quirky.rules["Condition"] = lambda q: (
        (400, outcome("not-supported"))
        if "_total" in q or "_count" in q
        else (200, quirky.search("Condition", q))
    )
    assert state(quirky.source(clock).fetch("p1"), "Condition") == ("complete", 1, 1)


def test_200_with_an_outcome_is_a_refusal(quirky: Quirky, clock: Any) -> None:
    quirky.batch = False
    quirky.rules["Goal"] = lambda _: (200, outcome("not-supported"))
    assert state(quirky.source(clock).fetch("p1"), "Goal")[0] == "failed"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "not-permitted"),
        (403, "not-permitted"),
        (404, "not-offered"),
        (501, "not-offered"),
        (500, "failed"),
        (503, "failed"),
    ],
)
@pytest.mark.parametrize("batch", [True, False])
def test_one_type_that_is_refused(quirky: Quirky, clock: Any, status: int, said: str, batch: bool) -> None:
    """RD-8: not permitted, not offered and empty are three things; the rest is read all the same."""
    quirky.batch = batch
    quirky.rules["Immunization"] = lambda _: (status, outcome(diagnostics=CANARY))
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Immunization") == (said, 0, None)
    assert state(fetched, "Observation")[0] == "complete"
    assert (said == "not-offered") or any(i.expression == "Immunization" for i in fetched.issues)
    assert CANARY not in repr(fetched.issues)


def test_a_type_that_is_not_in_the_capability_statement_is_not_asked_for(quirky: Quirky, clock: Any) -> None:
    quirky.types.remove("Consent")
    quirky.batch = False
    assert state(quirky.source(clock).fetch("p1"), "Consent") == ("not-offered", 0, None)
    assert not any("Consent" in r.target for r in quirky.stub.requests)


def test_a_batch_that_loses_entries_is_not_believed(quirky: Quirky, clock: Any) -> None:
    plain = quirky.run_batch
    quirky.run_batch = lambda b: (200, {**plain(b)[1], "entry": plain(b)[1]["entry"][1:]})  # type: ignore[method-assign]
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 2, 2)


def test_a_batch_that_fails_once_is_tried_for_the_next_patient(quirky: Quirky, clock: Any) -> None:
    plain, answers = quirky.handle, iter([502] * 5)

    def handle(request: Any) -> bytes:
        status = next(answers, 0) if request.method == "POST" else 0
        return bytes(quirky.tools.reply(status, b"<html>")) if status else plain(request)

    quirky.stub.handler = handle
    source = quirky.source(clock)
    assert state(source.fetch("p1"), "Observation") == ("complete", 2, 2)
    assert source.fetch("p1").requests == 2


def test_a_server_that_refuses_batches_is_not_asked_again(quirky: Quirky, clock: Any) -> None:
    source = quirky.source(clock)
    source.server.capability()
    quirky.batch = False
    for _ in range(2):
        assert state(source.fetch("p1"), "Observation") == ("complete", 2, 2)
    assert sum(r.method == "POST" for r in quirky.stub.requests) == 1


def test_a_single_5xx_in_a_batch_is_asked_again_alone(quirky: Quirky, clock: Any) -> None:
    times = []
    quirky.rules["Condition"] = lambda q: (
        times.append(1)
        or ((503, outcome("transient")) if len(times) == 1 else (200, quirky.search("Condition", q)))
    )
    assert state(quirky.source(clock).fetch("p1"), "Condition") == ("complete", 1, 1)


# --- paging ----------------------------------------------------------------------------------------


def pages(
    quirky: Quirky, type_: str, *parts: list[str], total: int | None = None, last_next: str = ""
) -> None:
    """Serve `type_` in parts, by opaque links."""
    for number, part in enumerate(parts):
        following = f"{quirky.stub.base}/page{number + 1}" if number + 1 < len(parts) else last_next
        body = quirky.tools.page(*[row(type_, i) for i in part], total=total, next_=following)
        quirky.rules[type_ if number == 0 else f"page{number}"] = lambda q, body=body: (
            (200, {"resourceType": "Bundle", "type": "searchset", "total": total or 0})
            if "_summary" in q and total is not None
            else (200, body)
        )


def test_pages_are_followed_through_empty_ones(quirky: Quirky, clock: Any) -> None:
    """F1: an empty page with a next link is not the end."""
    pages(quirky, "Observation", ["a", "b"], [], ["c"], total=3)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 3, 3)
    assert [i for i in ids(fetched) if i.startswith("Observation")] == [
        "Observation/a",
        "Observation/b",
        "Observation/c",
    ]


def test_the_same_row_on_two_pages_counts_once(quirky: Quirky, clock: Any) -> None:
    pages(quirky, "Observation", ["a", "b"], ["b", "c"], total=4)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("short", 3, 4)


def test_a_loop_is_noticed(quirky: Quirky, clock: Any) -> None:
    pages(quirky, "Observation", ["a"], ["b"], total=9, last_next=quirky.stub.base + "/page1")
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation")[:2] == ("short", 2)
    assert "circle" in next(c.note for c in fetched.completeness if c.type == "Observation")
    assert len(quirky.stub.requests) < 10


def test_a_million_pages_stop_at_the_cap(quirky: Quirky, clock: Any) -> None:
    numbers = iter(range(1_000_000))
    link = lambda: f"{quirky.stub.base}/Observation?p={next(numbers)}"  # noqa: E731
    quirky.rules["Observation"] = lambda q: (
        200,
        quirky.tools.page(row("Observation", f"o{next(numbers)}"), next_=link()),
    )
    fetched = quirky.source(clock, max_pages=20).fetch("p1")
    assert state(fetched, "Observation")[:2] == ("short", 20)
    assert len(quirky.stub.requests) < 40


def test_next_on_another_host_is_not_followed(quirky: Quirky, clock: Any) -> None:
    """Row 6: the twin is marked incomplete."""
    pages(quirky, "Observation", ["a"], total=5, last_next="https://evil.example/p2")
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("short", 1, 5)
    assert any("another server" in i.diagnostics for i in fetched.issues)


def test_next_with_the_inner_name_of_a_proxied_server_is_rewritten(quirky: Quirky, clock: Any) -> None:
    """F2."""
    pages(quirky, "Observation", ["a"], ["b"], total=2)
    first = quirky.tools.page(row("Observation", "a"), total=2, next_="http://inner:8080/fhir/page1")
    quirky.rules["Observation"] = lambda _: (200, first)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 2, 2)
    assert any("ours was used" in i.diagnostics for i in fetched.issues)


def test_expired_links_restart_the_search_once(quirky: Quirky, clock: Any) -> None:
    pages(quirky, "Observation", ["a"], ["b"], total=2)
    good = quirky.rules["page1"]
    asked: list[int] = []
    quirky.rules["page1"] = lambda q: (
        asked.append(1) or ((410, outcome("not-found")) if len(asked) == 1 else good(q))
    )
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 2, 2)
    assert any("restarted" in i.diagnostics for i in fetched.issues)


def test_links_that_expire_twice_leave_it_short(quirky: Quirky, clock: Any) -> None:
    pages(quirky, "Observation", ["a"], ["b"], total=2)
    quirky.rules["page1"] = lambda _: (410, outcome("not-found"))
    assert state(quirky.source(clock).fetch("p1"), "Observation") == ("short", 1, 2)


def test_a_page_that_fails_leaves_it_short_and_keeps_the_rest(quirky: Quirky, clock: Any) -> None:
    pages(quirky, "Observation", ["a"], ["b"], total=2)
    quirky.rules["page1"] = lambda _: (200, "not fhir")
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("short", 1, 2)
    assert "Observation/a" in ids(fetched)


def test_no_next_while_the_total_is_larger_is_reported(quirky: Quirky, clock: Any) -> None:
    """F1, performance.md 2.3: the worst failure is a silently cut record."""
    pages(quirky, "Observation", ["a"], total=7)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("short", 1, 7)
    assert any(i.code == "incomplete" and i.expression == "Observation" for i in fetched.issues)


def test_counts_are_asked_for_when_the_search_gives_none(quirky: Quirky, clock: Any) -> None:
    quirky.totals = False
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("complete", 2, 2)
    assert fetched.requests == 3


def test_no_counts_at_all_is_unknown_not_complete(quirky: Quirky, clock: Any) -> None:
    quirky.totals = False
    plain = quirky.search
    quirky.search = lambda t, q: plain(t, {k: v for k, v in q.items() if k != "_summary"})  # type: ignore[method-assign]
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Observation") == ("unknown", 2, None)


# --- whose and what --------------------------------------------------------------------------------


def test_an_ignored_patient_filter_is_noticed_and_nothing_of_others_kept(quirky: Quirky, clock: Any) -> None:
    """RD-6, rows 40, 41; reading stops at once instead of reading the whole server."""
    others = [row("Observation", f"x{i}", who="p2") for i in range(3)]
    endless = quirky.tools.page(
        *others, row("Observation", "mine"), total=10**6, next_=quirky.stub.base + "/page1"
    )
    quirky.rules["Observation"] = lambda _: (200, endless)
    fetched = quirky.source(clock).fetch("p1")
    assert "Observation/mine" in ids(fetched) and not any("x" in i for i in ids(fetched))
    assert state(fetched, "Observation")[0] == "short"
    assert any(i.code == "security" for i in fetched.issues)
    assert not any("page1" in r.target for r in quirky.stub.requests)


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        ("Patient/p1/_history/2", True),
        ("http://127.0.0.1:{port}/fhir/Patient/p1", True),
        ("http://inner/fhir/Patient/p1", True),
        ("http://evil.example/other/Patient/p1", False),
        ("urn:uuid:7f9f4e2c-0000-4000-8000-000000000000", False),
        ("Patient/../Patient/p1", False),
        ("#p1", False),
    ],
)
def test_reference_forms(quirky: Quirky, clock: Any, reference: str, kept: bool) -> None:
    odd = {
        "resourceType": "Goal",
        "id": "g",
        "subject": {"reference": reference.format(port=quirky.stub.port)},
    }
    quirky.rules["Goal"] = lambda _: (200, quirky.tools.page(odd, total=1))
    fetched = quirky.source(clock).fetch("p1")
    assert ("Goal/g" in ids(fetched)) is kept
    assert kept or any("whose" in i.diagnostics for i in fetched.issues)


def test_outcome_entries_and_junk_are_no_data(quirky: Quirky, clock: Any) -> None:
    """RD-3, F4: warnings inside a searchset reach the user."""
    page = quirky.tools.page(row("Condition", "c1"), total=1)
    warning = {"severity": "warning", "code": "incomplete", "diagnostics": CANARY}
    page["entry"] += [
        {"resource": {"resourceType": "OperationOutcome", "issue": [warning]}, "search": {"mode": "outcome"}},
        {"resource": None}, "junk", {"resource": {"id": "x"}},
    ]  # fmt: skip
    quirky.rules["Condition"] = lambda _: (200, page)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "Condition") == ("complete", 1, 1)
    assert [i.code for i in fetched.issues if i.expression == "Condition"].count("incomplete") == 1
    assert CANARY not in repr(fetched.issues)


def test_medications_are_included_or_fetched(quirky: Quirky, clock: Any) -> None:
    """F5, interop 3 "hydration"; row 12: what is elsewhere is never fetched."""
    quirky.rows += [
        {"resourceType": "Medication", "id": "m1"},
        {"resourceType": "Medication", "id": "m2"},
        row("MedicationRequest", "r1", medicationReference={"reference": "Medication/m1"}),
        row("MedicationRequest", "r2", medicationReference={"reference": "Medication/m2/_history/1"}),
        row("MedicationRequest", "r3", medicationReference={"reference": "Medication/gone"}),
        row("MedicationRequest", "r4", medicationReference={"reference": "http://evil.example/Medication/1"}),
    ]
    fetched = quirky.source(clock).fetch("p1")
    assert {"Medication/m1", "Medication/m2"} <= set(ids(fetched))
    assert any("1 referenced resources could not be read" in i.diagnostics for i in fetched.issues)


def test_what_was_included_is_not_fetched_again(quirky: Quirky, clock: Any) -> None:
    page = quirky.tools.page(
        row("MedicationRequest", "r1", medicationReference={"reference": "Medication/m1"}), total=1
    )
    page["entry"].append(
        {"resource": {"resourceType": "Medication", "id": "m1"}, "search": {"mode": "include"}}
    )
    quirky.rules["MedicationRequest"] = lambda _: (200, page)
    fetched = quirky.source(clock).fetch("p1")
    assert state(fetched, "MedicationRequest") == ("complete", 1, 1)
    assert ids(fetched)[-1] == "Medication/m1" and fetched.requests == 2


def test_observations_behind_a_report_that_are_anothers_are_not_taken(quirky: Quirky, clock: Any) -> None:
    quirky.rows += [
        row("Observation", "foreign", who="p2"),
        row("DiagnosticReport", "d1", result=[{"reference": "Observation/foreign"}]),
    ]
    fetched = quirky.source(clock).fetch("p1")
    assert "Observation/foreign" not in ids(fetched)


# --- many ------------------------------------------------------------------------------------------


def test_groups_of_patients(quirky: Quirky, clock: Any) -> None:
    quirky.rows += [
        patient("p2"),
        patient("p3"),
        row("Condition", "c2", who="p2"),
        row("Condition", "c3", who="p2"),
    ]
    source = quirky.source(clock)
    found = list(source.fetch_many(["p1", "p2", "p9", "p3"], group=4))
    assert [f.patient if isinstance(f, Fetched) else f for f in found[:2]] == ["p1", "p2"]
    assert isinstance(found[2], NotFound) and isinstance(found[3], Fetched)
    for one in (found[0], found[1], found[3]):
        assert isinstance(one, Fetched)
        assert one.bundle == source.fetch(one.patient).bundle
    assert state(found[1], "Condition") == ("complete", 2, 2)  # type: ignore[arg-type]


def test_in_a_group_includes_go_to_whose_they_are(quirky: Quirky, clock: Any) -> None:
    quirky.rows.append(patient("p2"))
    drugs = [
        row("MedicationRequest", f"r{n}", who=f"p{n}", medicationReference={"reference": f"Medication/m{n}"})
        for n in (1, 2)
    ]
    page = quirky.tools.page(*drugs, total=2)
    page["entry"] += [
        {"resource": {"resourceType": "Medication", "id": f"m{n}"}, "search": {"mode": "include"}}
        for n in (1, 2)
    ]
    quirky.rules["MedicationRequest"] = lambda _: (200, page)
    found = list(quirky.source(clock).fetch_many(["p1", "p2"], group=2))
    for n, fetched in enumerate(found, 1):
        assert isinstance(fetched, Fetched)
        assert [i for i in ids(fetched) if i.startswith("Medication/")] == [f"Medication/m{n}"]


def test_a_group_that_is_cut_is_read_one_by_one(quirky: Quirky, clock: Any) -> None:
    quirky.rows += [patient("p2"), row("Condition", "c2", who="p2")]
    quirky.rules["Condition"] = lambda q: (
        (200, quirky.search("Condition", q))
        if "," not in q["patient"] or "_summary" in q
        else (200, {**quirky.search("Condition", q), "entry": []})
    )
    found = list(quirky.source(clock).fetch_many(["p1", "p2"], group=2))
    assert [state(f, "Condition") for f in found if isinstance(f, Fetched)] == [("complete", 1, 1)] * 2

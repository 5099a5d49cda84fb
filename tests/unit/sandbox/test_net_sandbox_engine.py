"""The sandbox's engine without a socket: whatever is asked, it answers; dates and rollback by oracle."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_twin.sandbox.engine import Answer, Ask, Engine
from fhir_twin.sandbox.values import date_matches, parse_date

BASE = "http://127.0.0.1/fhir"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KEYS = """
    resourceType type entry resource id request method url fullUrl ifMatch ifNoneExist meta subject reference identifier
    system value code coding status parameter name link goal tag
"""
_WORDS = """
    Bundle Patient Goal transaction batch POST PUT GET DELETE PATCH Patient/p1 Goal/g1 Goal?identifier=a|b
    Patient?_id=p1 p1 g1 a b a|b identifier=a|b urn:uuid:1 #x W/"1" http://evil.example/Patient/p1 Nonsense Parameters 7
    Patient/p1/_history/1
"""
WORDS = st.sampled_from(["", "\x00", "Goal?", "?", "/", "Patient/", *_WORDS.split()])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
KEYS = st.sampled_from(_KEYS.split())
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=6), max_leaves=20
)
RESOURCES = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["Patient", "Goal", "Nonsense"])},
    optional={
        "id": WORDS,
        "subject": st.fixed_dictionaries({"reference": WORDS}),
        "identifier": JSON,
        "meta": JSON,
    },
)
ENTRIES = st.fixed_dictionaries(
    {
        "request": st.fixed_dictionaries(
            {"method": WORDS, "url": WORDS}, optional={"ifMatch": WORDS, "ifNoneExist": WORDS}
        )
    },
    optional={"resource": RESOURCES | JSON, "fullUrl": WORDS},
)
BUNDLES = st.fixed_dictionaries(
    {
        "resourceType": st.just("Bundle"),
        "type": st.sampled_from(["transaction", "batch"]),
        "entry": st.lists(ENTRIES | JSON, max_size=4),
    }
)
PARAMS = st.sampled_from(
    ["_id", "identifier", "birthdate", "_count", "_sort", "_include", "_page", "name:exact"]
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stocked() -> Engine:
    engine = Engine(BASE, lambda: NOW)
    for row in (
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Goal", "id": "g1", "subject": {"reference": "Patient/p1"}},
    ):
        assert engine.answer(Ask("PUT", f"{row['resourceType']}/{row['id']}", body=row)).status == 201
    return engine


def snapshot(engine: Engine) -> Any:
    asks = [Ask("GET", t, (("_sort", "_id"),)) for t in ("Patient", "Goal")]
    rows = [engine.answer(a).body for a in asks]
    pointing = {k: set(v) for k, v in engine.store._pointing.items() if v}
    return copy.deepcopy([[r.get("entry") for r in rows if r], pointing])


def fine(answer: Answer) -> Answer:
    assert answer.status != 500
    if answer.status >= 400:
        assert answer.body is not None and answer.body["resourceType"] == "OperationOutcome"
    return answer


@MANY
@given(BUNDLES)
def test_any_bundle_is_done_whole_or_not_at_all(bundle: dict[str, Any]) -> None:
    engine = stocked()
    before = snapshot(engine)
    answer = fine(engine.answer(Ask("POST", "", body=bundle)))
    if answer.status >= 400:
        assert snapshot(engine) == before
    else:
        assert answer.body is not None and len(answer.body["entry"]) == len(bundle["entry"])


@MANY
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]),
    st.lists(WORDS, max_size=4).map("/".join),
    st.lists(st.tuples(PARAMS, WORDS), max_size=3),
    JSON,
)
def test_any_request(method: str, path: str, pairs: list[tuple[str, str]], body: Any) -> None:
    fine(
        stocked().answer(Ask(method, path, tuple(pairs), {"if-match": "x", "prefer": "return=minimal"}, body))
    )


@MANY
@given(RESOURCES | JSON, WORDS)
def test_any_resource(body: Any, query: str) -> None:
    engine = stocked()
    fine(engine.answer(Ask("POST", "Goal", (), {"if-none-exist": query}, body)))
    fine(engine.answer(Ask("PUT", "Goal/g1", (), {}, body)))
    fine(engine.answer(Ask("PUT", "Goal", (("identifier", query),), {}, body)))
    fine(engine.answer(Ask("POST", "Goal/$validate", body=body)))


MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 30)).map(
    lambda d: d.replace(tzinfo=UTC, microsecond=0)
)
FORMS = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"]


@settings(deadline=None)
@given(MOMENTS, MOMENTS, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_date_prefixes_follow_the_intervals(one: datetime, two: datetime, form: str, other: str) -> None:
    """R4 search, "date": the laws that tie the prefixes together."""
    found = parse_date(one.strftime(form))
    asked = two.strftime(other)
    span = parse_date(asked)
    assert found is not None and span is not None
    assert found[0] <= one < found[1]
    says = {p: date_matches(found, p + asked, NOW) for p in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")}
    assert says["ne"] is not says["eq"]
    assert says["eq"] is (span[0] <= found[0] and found[1] <= span[1])
    assert says["ge"] is (says["gt"] or says["eq"]) or found[0] >= span[0]
    assert (
        not (says["sa"] and says["eb"]) and (not says["sa"] or says["gt"]) and (not says["eb"] or says["lt"])
    )
    assert date_matches(found, asked, NOW) is says["eq"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-13",
        "2024-02-30",
        "24",
        "2024-01-01T25:00",
        "0000",
        "2024-01-01T10:00:00+99:99x",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_dates_that_are_none(text: str) -> None:
    assert parse_date(text) is None


def test_periods_timings_and_about() -> None:
    engine = stocked()
    times = {
        "o1": {"effectivePeriod": {"start": "2024-01-10", "end": "2024-02-10"}},
        "o2": {"effectivePeriod": {"start": "2024-06"}},
        "o3": {"effectiveTiming": {"event": ["2023-01-01", "2023-03-01"]}},
        "o4": {"effectiveTiming": {"event": []}},
        "o5": {"effectivePeriod": {}},
        "o6": {"effectivePeriod": {"end": "2020"}},
    }
    for id_, when in times.items():
        row = {"resourceType": "Observation", "id": id_, **when}
        assert engine.answer(Ask("PUT", f"Observation/{id_}", body=row)).status == 201

    def found(date: str) -> list[str]:
        body = engine.answer(Ask("GET", "Observation", (("date", date),))).body
        assert body is not None
        return [e["resource"]["id"] for e in body.get("entry", [])]

    assert found("2024") == ["o1"] and found("gt2025") == ["o2"] and found("eb2024") == ["o3", "o6"]
    assert found("sa2024-05") == ["o2"] and found("lt2023-01") == ["o6"] and found("2023") == ["o3"]
    assert "o1" in found("ap2024-01-01") and "o6" not in found("ap2025-12-01")


def test_month_and_year_ends() -> None:
    assert parse_date("2024-12") == (datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    assert parse_date("2024-02-29") == (datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    moment = datetime(2024, 5, 1, 4, 30, tzinfo=UTC)
    assert parse_date("2024-04-30T23:30:00-05:00") == (moment, moment + timedelta(seconds=1))

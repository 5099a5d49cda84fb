"""Notifications as servers send them (SB-3, SB-5, G2), read into one form."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.read_notice import deletions, read_notice
from fhir_twin.fhir.write_subscription import classic, renewed, topical, topics_of
from fhir_twin.model.change import Change

OBSERVATION = {"resourceType": "Observation", "id": "7", "meta": {"versionId": "2"}, "status": "final"}


def parameters(
    kind: str, *events: dict[str, Any], total: str | None = "3", camel: bool = False
) -> dict[str, Any]:
    """The status part of an R4 backport notification."""
    name = (
        (lambda text: "".join(w if i == 0 else w.title() for i, w in enumerate(text.split("-"))))
        if camel
        else str
    )
    parts: list[dict[str, Any]] = [
        {
            "name": "subscription",
            "valueReference": {"reference": "https://fhir.example.org/r4/Subscription/s1"},
        },
        {"name": "status", "valueCode": "active"},
        {"name": "type", "valueCode": kind},
    ]
    if total is not None:
        parts.append({"name": name("events-since-subscription-start"), "valueString": total})
    for event in events:
        inner = [{"name": name("event-number"), "valueString": event["number"]}]
        if "focus" in event:
            inner.append({"name": "focus", "valueReference": {"reference": event["focus"]}})
        parts.append({"name": name("notification-event"), "part": inner})
    return {"resourceType": "Parameters", "parameter": parts}


def bundle(status: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    first = {
        "resource": status,
        "request": {"method": "GET", "url": "Subscription/s1/$status"},
        "response": {"status": "200"},
    }
    return {"resourceType": "Bundle", "type": "history", "entry": [first, *entries]}


@pytest.mark.parametrize("camel", [False, True])
def test_an_event_with_ids_only(camel: bool) -> None:
    event = {"number": "3", "focus": "https://fhir.example.org/r4/Observation/7/_history/2"}
    notice = read_notice(bundle(parameters("event-notification", event, camel=camel)))
    assert (notice.kind, notice.subscription, notice.status, notice.events) == (
        "event-notification",
        "s1",
        "active",
        3,
    )
    assert notice.numbers == (3,)
    assert [(c.reference, c.version, c.resource, c.number) for c in notice.changes] == [
        ("Observation/7", "2", None, 3)
    ]
    assert not notice.says_something_changed_but_not_what


def test_an_event_with_the_resource_and_a_deletion() -> None:
    events = [{"number": "2", "focus": "Observation/7"}, {"number": "3", "focus": "Observation/8"}]
    notice = read_notice(
        bundle(
            parameters("event-notification", *events),
            {"fullUrl": "x", "resource": OBSERVATION, "request": {"method": "PUT", "url": "Observation/7"}},
            {"request": {"method": "DELETE", "url": "Observation/8"}, "response": {"status": "204"}},
        )
    )
    assert [(c.reference, c.version, c.deleted, c.number) for c in notice.changes] == [
        ("Observation/7", "2", False, 2), ("Observation/8", "", True, 3)
    ]  # fmt: skip
    assert notice.changes[0].resource == OBSERVATION


def test_an_empty_event_says_that_something_changed() -> None:
    assert read_notice(
        bundle(parameters("event-notification", {"number": "3"}))
    ).says_something_changed_but_not_what
    assert read_notice(None).says_something_changed_but_not_what
    partly = parameters("event-notification", {"number": "2", "focus": "Observation/7"}, {"number": "3"})
    assert read_notice(bundle(partly)).says_something_changed_but_not_what


@pytest.mark.parametrize("kind", ["handshake", "heartbeat", "query-status"])
def test_what_is_no_event_changes_nothing(kind: str) -> None:
    notice = read_notice(bundle(parameters(kind, total="0")))
    assert (notice.kind, notice.changes, notice.numbers, notice.events) == (kind, (), (), 0)
    assert not notice.says_something_changed_but_not_what


def test_r4b_and_r5_status_resources_are_read_alike() -> None:
    status = {
        "resourceType": "SubscriptionStatus",
        "status": "active",
        "type": "event-notification",
        "eventsSinceSubscriptionStart": 5,
        "notificationEvent": [{"eventNumber": 5, "focus": {"reference": "Observation/7"}}],
        "subscription": {"reference": "Subscription/s1"},
    }
    notice = read_notice(
        {"resourceType": "Bundle", "type": "subscription-notification", "entry": [{"resource": status}]}
    )
    assert (notice.events, notice.numbers, notice.subscription) == (5, (5,), "s1")
    assert notice.changes == (Change("Observation", "7", number=5),)


def test_a_raw_resource_and_a_plain_bundle_of_resources() -> None:
    assert read_notice(OBSERVATION).changes[0].reference == "Observation/7"
    plain = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": OBSERVATION}]}
    assert read_notice(plain).changes[0].version == "2"


@pytest.mark.parametrize(
    "body",
    [
        [], "x", {}, {"resourceType": 7}, {"resourceType": "Observation"},
        {"resourceType": "Observation", "id": "../x"},
        {"resourceType": "Bundle", "type": "history", "entry": []},
        {"resourceType": "Bundle", "type": "history", "entry": [{"resource": OBSERVATION}]},
        {"resourceType": "Bundle", "type": "history", "entry": [{"resource": {"resourceType": "Parameters"}}]},
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        read_notice(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["resourceType", "entry", "resource", "parameter", "part", "name", "request", "method", "url", "focus", "type"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON, st.sampled_from(["parameter", "part", "entry"]))
def test_nothing_but_invalid_input_is_ever_raised(value: Any, where: str) -> None:
    given_ = copy.deepcopy(
        bundle(parameters("event-notification", {"number": "1", "focus": "Observation/7"}))
    )
    if where == "entry":
        given_["entry"].append(value)
    elif where == "parameter":
        given_["entry"][0]["resource"]["parameter"].append(value)
    else:
        given_["entry"][0]["resource"]["parameter"][-1]["part"].append(value)
    for body in (given_, value):
        try:
            read_notice(body)
        except InvalidInput:
            continue


def test_deletions_of_a_history() -> None:
    history = {
        "entry": [
            {"request": {"method": "DELETE", "url": "Condition/3/_history/2"}},
            {"resource": OBSERVATION},
            7,
        ]
    }
    assert [c.reference for c in deletions(history)] == ["Condition/3"]


def test_subscriptions_we_ask_for_are_valid() -> None:
    from datetime import UTC, datetime

    from fhir_twin.fhir.validate import validate_resource

    end = datetime(2027, 1, 1, tzinfo=UTC)
    one = classic("Observation?", "https://twin.example.org/hooks/a", "secret", end)
    two = topical(
        "http://example.org/topic",
        ["Observation?patient=Patient/1"],
        "https://twin.example.org/hooks/b",
        "s",
        end,
    )
    for made in (one, two):
        assert [i for i in validate_resource(made) if i.severity in ("error", "fatal")] == []
    assert two["channel"]["_payload"]["extension"][0]["valueCode"] == "id-only"
    again = renewed({**one, "id": "4", "status": "error", "error": "x", "channel": {"header": ["***"]}}, one)
    assert (again["id"], again["status"], again["channel"]["header"]) == (
        "4",
        "requested",
        one["channel"]["header"],
    )
    assert "error" not in again


def test_topics_are_found_in_a_capability_statement() -> None:
    url = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
    rest = {
        "resource": [{"type": "Subscription", "extension": [{"url": url, "valueCanonical": "http://t/1"}]}]
    }
    assert topics_of({"rest": [rest]}) == ("http://t/1",)

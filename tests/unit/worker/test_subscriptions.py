"""Subscriptions, both forms, against a server that can do everything they do (SB-1 to SB-6, G2 to G5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from fhir_twin.errors import Busy, InvalidInput, LoginRequired, NotFound
from fhir_twin.storage.desk import Desk
from fhir_twin.storage.store import Store, open_store
from fhir_twin.storage.work import Limits
from fhir_twin.transport.http import Reply
from fhir_twin.transport.subscriber import Subscriber
from fhir_twin.transport.urls import parse_base
from fhir_twin.web import subscriptions as hooks
from fhir_twin.worker.keeper import Keeper, Wish
from fhir_twin.worker.loop import Bench, Worker
from fhir_twin.worker.notices import Inbox, NoticeHandler, Sorter

BASE = "https://fhir.example.org/r4"
TOPIC = "http://example.org/topics/results"


class Server:
    """Keeps subscriptions and Observations; what it was asked for stands in `asked`."""

    def __init__(self) -> None:
        self.base = BASE
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.observations: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.count = 0
        self.client = self

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"not foreseen: {name}")

    def read(self, type_: str, id_: str) -> dict[str, Any] | None:
        self.asked.append(f"{type_}/{id_}")
        return (self.subscriptions if type_ == "Subscription" else self.observations).get(id_)

    def create(self, resource: dict[str, Any]) -> dict[str, Any]:
        id_ = f"s{len(self.subscriptions) + 1}"
        self.subscriptions[id_] = {**resource, "id": id_}
        return self.subscriptions[id_]

    def update(self, resource: dict[str, Any]) -> dict[str, Any]:
        self.subscriptions[resource["id"]] = resource
        return resource

    def request(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        self.asked.append(f"{method} {url}")
        if method == "DELETE":
            self.subscriptions.pop(url.split("/")[1], None)
            return Reply(204, {}, b"")
        if "$events" in url:
            first, last = (int(part.split("=")[1]) for part in url.split("?")[1].split("&")[:2])
            return Reply(
                200, {}, orjson.dumps(notice("query-event", *range(first, last + 1), total=self.count))
            )
        return Reply(200, {}, orjson.dumps(notice("query-status", total=self.count)))


def notice(
    kind: str, *numbers: int, total: int, status: str = "active", server_id: str = "s1"
) -> dict[str, Any]:
    """A topic notification with ids only: event n is about Observation/on."""
    events = [
        {"name": "notification-event", "part": [
            {"name": "event-number", "valueString": str(n)},
            {"name": "focus", "valueReference": {"reference": f"Observation/o{n}"}},
        ]}
        for n in numbers
    ]  # fmt: skip
    parts = [
        {"name": "subscription", "valueReference": {"reference": f"Subscription/{server_id}"}},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(total)},
        *events,
    ]
    entry = {"resource": {"resourceType": "Parameters", "parameter": parts}}
    return {"resourceType": "Bundle", "type": "history", "entry": [entry]}


class Site:
    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000.0
        self.server = Server()
        for n in range(1, 40):
            self.server.observations[f"o{n}"] = {
                "resourceType": "Observation", "id": f"o{n}", "meta": {"versionId": "1"},
                "subject": {"reference": "Patient/p1"},
            }  # fmt: skip
        self.store: Store = open_store(str(folder / "s.db"), clock=lambda: self.now, limits=Limits(depth=50))
        base = parse_base(BASE)
        self.server.__dict__["base"] = BASE
        sorter = Sorter(self.store, base, self.server.read)
        self.told: list[str] = []
        self.keeper = Keeper(
            self.store, Subscriber(self.server), sorter, "https://twin.example.org/hooks",  # type: ignore[arg-type]
            clock=lambda: self.now, tell=self.told.append, poll_every=1e12,
        )  # fmt: skip
        self.keeper._polled = self.now
        self.worker = Worker(
            [Bench(self.store.jobs, {"notice": NoticeHandler(self.store, base, self.server.read)})]
        )
        app = Flask("hooks")
        app.register_blueprint(hooks.blueprint)
        app.extensions["fhir-twin"] = {"inbox": Inbox(self.store)}
        self.app = app
        self.web: FlaskClient = app.test_client()

    def secret(self, server_id: str = "s1") -> str:
        header = self.server.subscriptions[server_id]["channel"]["header"][0]
        return str(header.removeprefix("Authorization: Bearer "))

    def send(self, id_: str, body: Any, secret: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.secret() if secret is None else secret}"}
        data = b"" if body is None else orjson.dumps(body)
        return self.web.post(
            f"/hooks/{id_}", data=data, headers=headers, content_type="application/fhir+json"
        )

    def work(self) -> list[str]:
        """Keys of the refresh work, after the notices were handled."""
        while self.worker.step():
            pass
        return [r.key for r in Desk(self.store.jobs).rows(kind="refresh", limit=500)]

    def kinds(self) -> list[str]:
        return [r.kind for r in Desk(self.store.jobs).rows(limit=500)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def topic(site: Site) -> str:
    id_ = site.keeper.want(Wish("topic", TOPIC, ("Observation?patient=Patient/p1",)))
    assert site.send(id_, notice("handshake", total=0)).status_code == 200
    site.server.subscriptions["s1"]["status"] = "active"
    return id_


def test_a_topic_subscription_is_asked_for_and_shakes_hands(site: Site, topic: str) -> None:
    asked = site.server.subscriptions["s1"]
    assert asked["criteria"] == TOPIC
    assert asked["channel"]["endpoint"] == f"https://twin.example.org/hooks/{topic}"
    assert site.store.subscriptions.get(topic).state == "active"
    assert site.secret() not in orjson.dumps(site.store.subscriptions.get(topic).secret).decode()
    assert site.kinds() == []  # a handshake is no work


def test_events_become_work_once_whatever_comes_twice_or_late(site: Site, topic: str) -> None:
    for numbers in ((1,), (2,), (2,), (4,), (1, 2), (3,), (4,)):
        answer = site.send(topic, notice("event-notification", *numbers, total=max(numbers)))
        assert answer.status_code == 200
        assert answer.get_json()["resourceType"] == "OperationOutcome"  # G3
    assert site.work() == [f"p1/Observation/o{n}@1" for n in (1, 2, 4, 3)]
    held = site.store.subscriptions.get(topic)
    assert (held.event, held.missing) == (4, None)


def test_a_gap_is_asked_for_by_number(site: Site, topic: str) -> None:
    site.send(topic, notice("event-notification", 1, total=1))
    site.send(topic, notice("event-notification", 4, total=4))
    site.server.count = 4
    assert site.store.subscriptions.get(topic).missing == (2, 4)
    site.keeper.tick()
    assert not any("$events" in a for a in site.server.asked), "it may still be on its way"
    site.now += 31
    site.keeper.tick()
    assert any("eventsSinceNumber=2&eventsUntilNumber=4" in a for a in site.server.asked)
    assert sorted(site.work()) == [f"p1/Observation/o{n}@1" for n in (1, 2, 3, 4)]
    assert site.store.subscriptions.get(topic).missing is None


def test_a_heartbeat_that_knows_of_more_is_a_gap_and_silence_is_asked_about(site: Site, topic: str) -> None:
    site.send(topic, notice("heartbeat", total=2))
    assert site.store.subscriptions.get(topic).missing == (1, 2)
    site.now += 31
    site.keeper.tick()
    assert sorted(site.work()) == ["p1/Observation/o1@1", "p1/Observation/o2@1"]
    site.server.count = 3
    site.now += 121
    site.keeper.tick()
    assert any("$status" in a for a in site.server.asked)
    assert "catch-up" in site.kinds()


def test_who_is_not_the_server_is_turned_away_and_nothing_is_kept(site: Site, topic: str) -> None:
    event = notice("event-notification", 1, total=1)
    with site.app.test_request_context():
        inbox: Inbox = site.app.extensions["fhir-twin"]["inbox"]
    for secret in ("", "wrong", site.secret() + "x"):
        with pytest.raises(LoginRequired):
            inbox.take(topic, secret, orjson.dumps(event))
    with pytest.raises(NotFound):
        inbox.take("unknown", site.secret(), orjson.dumps(event))
    with pytest.raises(InvalidInput):
        inbox.take(
            topic, site.secret(), orjson.dumps(notice("event-notification", 1, total=1, server_id="other"))
        )
    with pytest.raises(InvalidInput):
        inbox.take(topic, site.secret(), b'{"resourceType": "Observation", "id": NaN}')
    assert site.kinds() == []


def test_a_full_queue_refuses_and_counts_no_event(site: Site, topic: str) -> None:
    inbox: Inbox = site.app.extensions["fhir-twin"]["inbox"]
    for n in range(1, 51):
        inbox.take(topic, site.secret(), orjson.dumps(notice("event-notification", n, total=n)))
    with pytest.raises(Busy):
        inbox.take(topic, site.secret(), orjson.dumps(notice("event-notification", 51, total=51)))
    assert site.store.subscriptions.get(topic).event == 50


@pytest.mark.parametrize("trouble", ["error", "off", "gone"])
def test_what_the_server_turned_off_is_asked_for_again_and_caught_up(
    site: Site, topic: str, trouble: str
) -> None:
    old = site.secret()
    site.send(topic, notice("event-notification", 1, total=1))
    if trouble == "gone":
        site.server.subscriptions.clear()
    else:
        site.server.subscriptions["s1"]["status"] = trouble
    site.keeper.tick()
    assert "catch-up" in site.kinds()
    assert site.server.subscriptions["s1"]["status"] == "requested"
    assert site.secret() != old  # the old one is no longer taken
    with pytest.raises(LoginRequired):
        site.app.extensions["fhir-twin"]["inbox"].take(topic, old, b"")
    # Events count from the beginning now, and the first is not taken for the old first one.
    site.send(topic, notice("handshake", total=0))
    site.server.observations["o1"]["meta"]["versionId"] = "2"
    site.send(topic, notice("event-notification", 1, total=1))
    assert "p1/Observation/o1@2" in site.work()
    assert any(trouble in t for t in site.told)


def test_no_handshake_in_time_is_asked_for_again(site: Site) -> None:
    site.keeper.want(Wish("topic", TOPIC))
    site.server.subscriptions["s1"]["status"] = "requested"
    first = site.secret()
    site.keeper.tick()
    assert site.secret() == first
    site.now += 121
    site.keeper.tick()
    assert site.secret() != first


def test_it_is_renewed_before_its_end_and_taken_away_at_ours(site: Site, topic: str) -> None:
    site.server.subscriptions["s1"]["status"] = "active"
    end = site.server.subscriptions["s1"]["end"]
    site.now += 6 * 86400
    site.keeper.tick()
    assert site.server.subscriptions["s1"]["end"] > end
    site.keeper.release()
    assert site.server.subscriptions == {}
    assert site.store.subscriptions.all() == []
    assert site.web.post(f"/hooks/{topic}").status_code in (404, 500)


def test_classic_notifications_of_every_shape(site: Site) -> None:
    id_ = site.keeper.want(Wish("classic", "Observation?"))
    headers = {"Authorization": f"Bearer {site.secret()}"}
    whole = site.server.observations["o7"]
    for method, body in (("put", whole), ("put", whole), ("post", whole)):
        path = f"/hooks/{id_}/Observation/o7" if method == "put" else f"/hooks/{id_}"
        answer = getattr(site.web, method)(path, json=body, headers=headers)
        assert answer.status_code == 200
    assert site.work() == ["p1/Observation/o7@1"]
    assert site.store.subscriptions.get(id_).state == "active"
    for _ in range(2):  # nothing said: each is a reason to look
        assert site.web.post(f"/hooks/{id_}", headers=headers).status_code == 200
    site.work()
    assert site.kinds().count("catch-up") == 2
    with site.store.database.write() as tx:
        site.store.twins.note("p1", {"Observation/o9": "1"}, tx)
    assert site.web.delete(f"/hooks/{id_}/Observation/o9", headers=headers).status_code == 200
    keys = site.work()
    assert len(keys) == 2
    assert keys[1].startswith("p1/Observation/o9@gone")


def test_our_own_output_and_other_peoples_servers_are_no_news(site: Site) -> None:
    id_ = site.keeper.want(Wish("classic", "Observation?"))
    headers = {"Authorization": f"Bearer {site.secret()}"}
    ours = {**site.server.observations["o8"], "meta": {"tag": [
        {"system": "https://fhir-twin.org/fhir/tags", "code": "fhir-twin"}]}}  # fmt: skip
    foreign = {
        **site.server.observations["o9"],
        "subject": {"reference": "https://evil.example.org/Patient/p1"},
    }
    for body in (ours, foreign):
        assert site.web.post(f"/hooks/{id_}", json=body, headers=headers).status_code == 200
    assert site.work() == []

"""A person's changes on their way to a server: all together where it takes that, each on the version it was made on."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_twin.errors import Conflict, Forbidden, InvalidInput, NotSupported, UpstreamError
from fhir_twin.model.decision import Change
from fhir_twin.transport.change_writer import write_changes

Json = dict[str, Any]
PROVENANCE: Json = {"resourceType": "Provenance"}


class Server:
    """Answers like a good server; `refuse` makes a call fail with that error."""

    base = "https://ehr.example/fhir"

    def __init__(self, *, transactions: bool = True, refuse: dict[str, Exception] | None = None) -> None:
        self.transactions, self.refuse = transactions, refuse or {}
        self.sent: list[tuple[str, Json, str]] = []

    def capability(self) -> Any:
        return self

    def supports_system(self, _name: str) -> bool:
        return self.transactions

    def _say(self, how: str, resource: Json, note: str) -> None:
        if how in self.refuse or resource["resourceType"] in self.refuse:
            raise self.refuse.get(how) or self.refuse[resource["resourceType"]]
        self.sent.append((how, resource, note))

    def transaction(self, bundle: Json) -> Json:
        self._say("transaction", bundle, "")
        answers = [
            {
                "response": {
                    "status": "200 OK",
                    "location": f"{e['resource']['resourceType']}/new-{i}/_history/1",
                }
            }
            for i, e in enumerate(bundle["entry"])
        ]
        return {"resourceType": "Bundle", "entry": answers}

    def update(self, resource: Json, *, if_match: str = "") -> Json:
        self._say("update", resource, if_match)
        return resource

    def create(self, resource: Json, *, if_none_exist: str = "") -> Json:
        self._say("create", resource, if_none_exist)
        return {**resource, "id": "new"}


def goal(id_: str = "", version: str = "4") -> Json:
    known = {"id": id_, "meta": {"versionId": version}} if id_ else {}
    words = {"description": {"text": "walk"}, "subject": {"reference": "Patient/p1"}}
    return {"resourceType": "Goal", "lifecycleStatus": "active", **words, **known}


OLD = Change("Goal", "walk", "update", goal("g1"), goal("g1"))
NEW = Change("Goal", "walk", "create", None, goal())


def test_together_with_the_version_of_each() -> None:
    server = Server()
    written = write_changes(server, [OLD, NEW], PROVENANCE)  # type: ignore[arg-type]
    bundle = server.sent[0][1]
    assert bundle["entry"][0]["request"] == {"method": "PUT", "url": "Goal/g1", "ifMatch": 'W/"4"'}
    assert bundle["entry"][1]["request"] == {"method": "POST", "url": "Goal"}
    assert [i.reference for i in written.items] == ["Goal/g1", "Goal/new-1"]
    assert server.sent[-1][1]["target"] == [{"reference": "Goal/g1"}, {"reference": "Goal/new-1"}]


@pytest.mark.parametrize("error", [NotSupported("no"), Forbidden("no")])
def test_one_by_one_where_transactions_are_not_taken(error: Exception) -> None:
    server = Server(refuse={"transaction": error})
    written = write_changes(server, [OLD, NEW], None)  # type: ignore[arg-type]
    assert [(how, note) for how, _, note in server.sent] == [("update", "4"), ("create", "")]
    assert written.mode == "single"


def test_somebody_elses_later_edit_stops_it() -> None:
    server = Server(transactions=False, refuse={"update": Conflict("changed")})
    with pytest.raises(Conflict):
        write_changes(server, [OLD], PROVENANCE)  # type: ignore[arg-type]
    assert server.sent == []


def test_half_done_is_said() -> None:
    server = Server(transactions=False, refuse={"create": UpstreamError("down")})
    with pytest.raises(UpstreamError) as caught:
        write_changes(server, [OLD, NEW], None)  # type: ignore[arg-type]
    assert "1 of 2 changes" in caught.value.issues[0].diagnostics


def test_a_refused_provenance_is_an_issue() -> None:
    server = Server(transactions=False, refuse={"Provenance": Forbidden("no")})
    written = write_changes(server, [OLD], PROVENANCE)  # type: ignore[arg-type]
    assert [i.code for i in written.issues] == ["forbidden"]


def test_what_is_not_valid_is_not_sent() -> None:
    server = Server()
    with pytest.raises(InvalidInput):
        write_changes(server, [Change("Goal", "x", "create", None, {**goal(), "description": 5})], None)  # type: ignore[arg-type]
    assert server.sent == []


def test_nothing_to_send_asks_nothing() -> None:
    server = Server()
    assert write_changes(server, [Change("Goal", "x", "unchanged", goal("g"), None)], PROVENANCE).items == ()  # type: ignore[arg-type]
    assert server.sent == []

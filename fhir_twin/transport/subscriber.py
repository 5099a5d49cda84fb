"""Subscriptions on a FHIR server: made, looked at, asked for again, taken away. Its status and events by operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import NotFound, TwinError
from fhir_twin.fhir.read_notice import read_notice
from fhir_twin.fhir.write_subscription import renewed, topics_of
from fhir_twin.model.change import Notice
from fhir_twin.transport.answers import error_of, resource_of
from fhir_twin.transport.fhir_server import JSON, FhirServer
from fhir_twin.transport.urls import ID


@dataclass(frozen=True, slots=True)
class Standing:
    """How a subscription is on the server. state: requested | active | error | off | gone. error: whether the server
    gives a reason (its words may quote data, so they go no further)."""

    state: str
    error: bool = False


class Subscriber:
    """Speaks to one server about subscriptions."""

    def __init__(self, server: FhirServer) -> None:
        self._server = server

    def offered(self) -> bool:
        """Whether the server says that it takes subscriptions (a statement that lists nothing rules nothing out)."""
        capability = self._server.capability()
        return not capability.listed or capability.supports("Subscription", "create")

    def topics(self) -> tuple[str, ...]:
        """Canonicals of the topics the server lists."""
        return topics_of(self._server.capability().raw)

    def create(self, subscription: dict[str, Any]) -> str:
        """The id on the server. Raises what the server refuses with."""
        return str(self._server.create(subscription)["id"])

    def standing(self, id_: str) -> Standing:
        """How it is now."""
        held = self._server.read("Subscription", id_)
        if held is None:
            return Standing("gone")
        return Standing(str(held.get("status", "")), bool(held.get("error")))

    def renew(self, id_: str, ours: Mapping[str, Any]) -> None:
        """Ask for it again, with our criteria, channel and end. Raises NotFound when it is gone."""
        held = self._server.read("Subscription", id_)
        if held is None:
            raise NotFound("the server does not hold this subscription any more")
        self._server.update(renewed(held, ours))

    def remove(self, id_: str) -> None:
        """Delete it; one that the server will not delete is turned off. Not finding it is fine."""
        if not ID.match(id_):
            return
        reply = self._server.client.request("DELETE", f"Subscription/{id_}", headers={"Accept": JSON})
        if reply.status < 300 or reply.status in (404, 410):
            return
        held = self._server.read("Subscription", id_)
        if held is not None:
            self._server.update({**held, "status": "off"})

    def status(self, id_: str) -> Notice | None:
        """The `$status` of a topic subscription (SB-5); None where the server does not offer it."""
        return self._notice(f"Subscription/{id_}/$status")

    def events(self, id_: str, first: int, last: int) -> Notice | None:
        """The events numbered `first` to `last`, by `$events`; None where the server does not offer it."""
        asked = f"eventsSinceNumber={first}&eventsUntilNumber={last}&content=id-only"
        return self._notice(f"Subscription/{id_}/$events?{asked}")

    def _notice(self, url: str) -> Notice | None:
        reply = self._server.client.request("GET", url, headers={"Accept": JSON})
        if reply.status in (400, 403, 404, 405, 410, 422, 501):
            return None
        if reply.status >= 400:
            raise error_of(reply, "asking about a subscription")
        answer = resource_of(reply, "asking about a subscription")
        if answer["resourceType"] == "Bundle" and answer.get("type") == "searchset":
            answer = {**answer, "type": "history"}  # $status answers with a searchset of statuses
        try:
            return read_notice(answer)
        except TwinError:
            return None

"""Self-test G: what the server says of subscriptions. Nothing is created."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.selftest import Check

_TOPICS = "capabilitystatement-subscriptiontopic-canonical"


def subscriptions(capability: ServerCapability) -> Iterator[Check]:
    """Two checks."""
    if capability.supports("Subscription", "create"):
        yield Check("subscriptions", "pass", "can be created", id="G1")
    else:
        yield Check(
            "subscriptions",
            "not offered",
            "not in the capability statement",
            "`watch` polls instead",
            id="G1",
        )
    topics = [
        e
        for rest in capability.raw.get("rest") or ()
        for resource in rest.get("resource") or ()
        if resource.get("type") == "Subscription"
        for e in resource.get("extension") or ()
        if str(e.get("url", "")).endswith(_TOPICS)
    ]
    if topics:
        yield Check("subscription topics", "pass", f"{len(topics)} topics named", id="G2")
    else:
        yield Check("subscription topics", "not offered", "none named", "classic criteria are used", id="G2")

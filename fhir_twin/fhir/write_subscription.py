"""The Subscriptions we ask a server for: classic R4 (criteria) and R4 backport (topic) (SB-1, SB-2, G1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fhir_twin.fhir.systems import SOFTWARE_TAG, TAGS
from fhir_twin.fhir.write_elements import compact, instant

_IG = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
REASON = "fhir-twin: keep the patient's digital twin up to date"


def classic(
    criteria: str, endpoint: str, secret: str, end: datetime, *, payload: bool = True
) -> dict[str, Any]:
    """criteria: a search ("Observation?"). payload: whether the resource is sent, else an empty notification."""
    channel = {
        "type": "rest-hook",
        "endpoint": endpoint,
        "payload": "application/fhir+json" if payload else None,
        "header": [f"Authorization: Bearer {secret}"],
    }
    return _subscription(criteria, channel, end)


def topical(
    topic: str,
    filters: Sequence[str],
    endpoint: str,
    secret: str,
    end: datetime,
    *,
    content: str = "id-only",
    heartbeat: int = 60,
    timeout: int = 30,
) -> dict[str, Any]:
    """topic: canonical. filters: "Observation?patient=Patient/1". content: empty | id-only | full-resource.
    heartbeat, timeout: seconds."""
    channel = {
        "extension": [
            {"url": f"{_IG}/backport-heartbeat-period", "valueUnsignedInt": heartbeat},
            {"url": f"{_IG}/backport-timeout", "valueUnsignedInt": timeout},
        ],
        "type": "rest-hook",
        "endpoint": endpoint,
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": f"{_IG}/backport-payload-content", "valueCode": content}]},
        "header": [f"Authorization: Bearer {secret}"],
    }
    made = _subscription(topic, channel, end)
    made["meta"]["profile"] = [f"{_IG}/backport-subscription"]
    if filters:
        found = [{"url": f"{_IG}/backport-filter-criteria", "valueString": f} for f in filters]
        made["_criteria"] = {"extension": found}
    return made


def renewed(held: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """The server's copy asked for again, with our criteria, channel (the server may mask the secret) and end."""
    keep = {k: v for k, v in held.items() if k not in ("error", "text", "channel", "_criteria")}
    return {**keep, **{k: v for k, v in ours.items() if k != "meta"}, "status": "requested"}


def topics_of(capability: Mapping[str, Any]) -> tuple[str, ...]:
    """Canonicals of the topics a CapabilityStatement lists (SB-8: an extension, in several spellings)."""
    found: list[str] = []
    level: list[Any] = [capability.get("rest")]
    while level:
        node = level.pop()
        if isinstance(node, list):
            level += node
        elif isinstance(node, dict):
            url = str(node.get("url", "")).lower()
            if "subscriptiontopic" in url.replace("-", "").replace(".", ""):
                value = node.get("valueCanonical") or node.get("valueUri")
                found += [value] if isinstance(value, str) else []
            level += [v for v in node.values() if isinstance(v, dict | list)]
    return tuple(dict.fromkeys(found))


def _subscription(criteria: str, channel: dict[str, Any], end: datetime) -> dict[str, Any]:
    return compact(
        {
            "resourceType": "Subscription",
            "meta": {"tag": [{"system": TAGS, "code": SOFTWARE_TAG}]},
            "status": "requested",
            "reason": REASON,
            "criteria": criteria,
            "end": instant(end),
            "channel": channel,
        }
    )

"""Self-test D: a CDS Hooks service (ours behind a gateway, or somebody else's), asked with made-up data only."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from fhir_twin.errors import TwinError
from fhir_twin.transport.http import HttpClient, Reply
from fhir_twin.transport.retry import RetryPolicy
from fhir_twin.transport.selftest import Check

Json = dict[str, Any]
_TOKEN = re.compile(r"\{\{([^}]*)\}\}")
_KNOWN = re.compile(
    r"context\.[A-Za-z0-9.]{1,60}|userPractitionerId|userPractitionerRoleId|userPatientId|userRelatedPersonId"
)


def hooks(base: str) -> Iterator[Check]:
    """D1 to D13."""
    with HttpClient(base.rstrip("/").removesuffix("/cds-services"), retry=RetryPolicy(attempts=0)) as client:
        try:
            reply = client.request("GET", "cds-services", headers={"Accept": "application/json"})
            services = json.loads(reply.body)["services"] if reply.status == 200 else None
        except (TwinError, ValueError, KeyError, TypeError):
            services = None
        if not isinstance(services, list):
            yield Check(
                "CDS Hooks discovery",
                "not offered",
                "no readable /cds-services",
                "give the service's base URL",
                id="D1",
            )
            return
        yield _discovery(services)
        yield _cors(client)
        yield Check(
            "CDS elements",
            "fail" if _nulls(services) else "pass",
            "null or empty elements" if _nulls(services) else "none is null or empty",
            id="D2",
        )
        yield _prefetch(services)
        views = [s for s in services if isinstance(s, dict) and s.get("hook") == "patient-view"]
        if not views:
            yield Check("CDS cards", "not offered", "no patient-view service to ask", id="D5")
            return
        yield from _asked(client, str(views[0].get("id")))


def _discovery(services: list[Any]) -> Check:
    bad = [
        s
        for s in services
        if not isinstance(s, dict)
        or not all(isinstance(s.get(k), str) and s[k] for k in ("hook", "id", "description"))
    ]
    words = f"{len(services)} services"
    return Check(
        "CDS Hooks discovery",
        "fail" if bad else "pass",
        words + (f", {len(bad)} without hook, id or description" if bad else ""),
        id="D1",
    )


def _cors(client: HttpClient) -> Check:
    headers = {"Origin": "https://ehr.example", "Access-Control-Request-Method": "POST"}
    reply = client.request("OPTIONS", "cds-services", headers=headers, repeat="never")
    if reply.status < 300 and reply.headers.get("Access-Control-Allow-Origin"):
        return Check("CDS CORS", "pass", "answers preflight requests", id="D1b")
    return Check(
        "CDS CORS",
        "warn",
        f"no CORS for an unknown origin ({reply.status})",
        "EHRs that call from the browser need their origin registered",
        id="D1b",
    )


def _nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(v in (None, "", {}) or _nulls(v) for v in value.values())
    return any(v is None or _nulls(v) for v in value) if isinstance(value, list) else False


def _prefetch(services: list[Any]) -> Check:
    words = [str(q) for s in services if isinstance(s, dict) for q in (s.get("prefetch") or {}).values()]
    bad = [t for w in words for t in _TOKEN.findall(w) if not _KNOWN.fullmatch(t)]
    if bad:
        return Check("CDS prefetch", "fail", f"{len(bad)} tokens that no EHR fills in", id="D3")
    return Check("CDS prefetch", "pass", f"{len(words)} queries with plain tokens", id="D3")


def _request(context: Json) -> Json:
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": context,
        "prefetch": {
            "patient": {
                "resourceType": "Patient",
                "id": "fhir-twin-check",
                "gender": "female",
                "birthDate": "1960-01-01",
            }
        },
    }


def _post(client: HttpClient, name: str, body: Any) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.request(
        "POST",
        f"cds-services/{name}",
        body=data,
        headers={"Content-Type": "application/json"},
        repeat="never",
    )


def _asked(client: HttpClient, name: str) -> Iterator[Check]:
    whole = _request({"userId": "Practitioner/fhir-twin-check", "patientId": "fhir-twin-check"})
    reply = _post(client, name, whole)
    if reply.status in (401, 403):
        yield Check("CDS login", "pass", f"a call without a JWT is refused ({reply.status})", id="D11")
        yield Check(
            "CDS cards",
            "not offered",
            "cannot be looked at without a trusted JWT",
            "register this EHR's issuer and keys with the service",
            id="D5",
        )
    else:
        yield Check(
            "CDS login", "warn", f"a call without a JWT answers {reply.status}", "anybody may ask", id="D11"
        )
        yield _cards(reply)
    for ident, words, body in (
        ("D13", "a body that is no JSON", b"{"),
        ("D13b", "a request without context", {"hook": "patient-view", "hookInstance": "1"}),
        ("D13c", "another hook than the service's", {**whole, "hook": "order-sign"}),
    ):
        status = _post(client, name, body).status
        ok = 400 <= status < 500
        yield Check(
            f"CDS: {words}",
            "pass" if ok else "fail",
            f"answers {status}",
            "" if ok else "should be a 4xx",
            id=ident,
        )
    missing = _post(client, f"{name}-none", whole).status
    yield Check(
        "CDS: unknown service", "pass" if missing in (401, 404) else "fail", f"answers {missing}", id="D13d"
    )


def _cards(reply: Reply) -> Check:
    if reply.status == 412:
        return Check("CDS cards", "pass", "412: it wants more prefetch, or a FHIR server (D4)", id="D5")
    try:
        cards = json.loads(reply.body)["cards"]
        assert isinstance(cards, list)
    except (ValueError, KeyError, TypeError, AssertionError):
        return Check("CDS cards", "fail", f"{reply.status} without a list of cards", id="D5")
    faults = [f for card in cards for f in _card_faults(card)]
    if faults:
        return Check("CDS cards", "fail", f"{len(cards)} cards: {'; '.join(sorted(set(faults)))}", id="D6")
    return Check("CDS cards", "pass", f"{len(cards)} cards, well-formed", id="D6")


def _card_faults(card: Any) -> Iterator[str]:
    if not isinstance(card, dict):
        yield "a card is no object"
        return
    if not 0 < len(str(card.get("summary") or "")) < 140:
        yield "summary missing or too long"
    if card.get("indicator") not in ("info", "warning", "critical"):
        yield "indicator"
    if not (card.get("source") or {}).get("label"):
        yield "source.label"
    suggestions = card.get("suggestions") or []
    if suggestions and card.get("selectionBehavior") not in ("at-most-one", "any"):
        yield "selectionBehavior"
    if any(not s.get("label") for s in suggestions if isinstance(s, dict)):
        yield "a suggestion without label"

"""What the server's Consents say of one patient at this moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from fhir_twin.errors import NotFound
from fhir_twin.fhir.read import read_chart
from fhir_twin.rules.consent import consent_refusal
from fhir_twin.transport.protocols import Capability


class _Server(Protocol):
    def capability(self) -> Capability: ...

    def read(self, type_: str, id_: str) -> dict[str, Any] | None: ...

    def search(self, type_: str, params: dict[str, str]) -> list[dict[str, Any]]: ...


def consent_now(server: _Server, patient: str, now: float) -> str:
    """Why this patient's record must not be used now, "" when nothing forbids it. now: Unix time.

    Raises NotFound when the patient is gone, and what reading gives cause for: a doubt is not a permission. A server
    that offers no Consents has none to go by."""
    capability = server.capability()
    listed = any(r.get("resource") for r in capability.raw.get("rest") or [])
    if listed and not capability.supports("Consent", "search-type"):
        return ""
    person = server.read("Patient", patient)
    if person is None:
        raise NotFound("the server does not hold this patient any more; nothing was written")
    found = server.search("Consent", {"patient": patient})
    entries = [{"resource": r} for r in (person, *found)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    as_of = datetime.fromtimestamp(now, UTC)
    return consent_refusal(read_chart(bundle, as_of, patient=patient).consents, as_of)

"""What the answer to a transaction says, entry by entry (TX-3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_twin.errors import Conflict, UpstreamError
from fhir_twin.fhir.outcome import issues_of
from fhir_twin.fhir.reconcile import Step
from fhir_twin.transport.protocols import Resource

_LOCATION = re.compile(
    r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?/?$"
)
_ETAG = re.compile(r'^(?:W/)?"?([^"]+)"?$')


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a resource is on the server after a write; version "" when the server does not say."""

    type: str
    id: str
    version: str

    @property
    def reference(self) -> str:
        short = f"{self.type}/{self.id}"
        return f"{short}/_history/{self.version}" if self.version else short


def judge(answer: Resource, steps: tuple[Step, ...], provenance: bool) -> list[Placed]:
    """Where every step's resource is now. Raises Conflict when somebody else had created one of them just before
    (a conditional create that created nothing), UpstreamError when an entry failed or is missing."""
    responses = [e.get("response", {}) for e in answer.get("entry", [])]
    if len(responses) != len(steps) + provenance:
        raise UpstreamError("the server answered a transaction with another number of entries than were sent")
    failed = [r for r in responses if not str(r.get("status", "")).startswith("2")]
    if failed:
        outcome = failed[0].get("outcome")
        issues = issues_of(outcome) if isinstance(outcome, dict) else ()
        raise UpstreamError("the server did not carry out every entry of a transaction", issues=issues)
    placed = []
    for step, response in zip(steps, responses, strict=False):
        if step.held is None and str(response["status"]).startswith("200"):
            raise Conflict("somebody else wrote the same item at the same time")
        placed.append(_place(step, response))
    return placed


def _place(step: Step, response: Resource) -> Placed:
    type_, id_, version = step.identity.type, step.held.id if step.held else "", ""
    match = _LOCATION.search(str(response.get("location", "")).split("?")[0])
    if match and match[1] == type_:
        id_, version = match[2], match[3] or ""
    etag = _ETAG.match(str(response.get("etag", "")))
    version = etag[1] if etag else version
    if not id_:
        raise UpstreamError("the server does not say which id it gave to a resource")
    return Placed(type_, id_, version)

"""The narrow seam between those who talk HTTP and those who say what to ask: `FhirServer` and `Capability`.

`fhir_twin.transport.fhir_server` implements it over HTTP; `plan_writer` only knows this protocol, so a test may
put an in-memory server in its place. All resources are plain R4 JSON dicts.

Errors (fhir_twin.errors), the same for every method:
    401 LoginRequired      403 Forbidden      404/410 NotFound (read answers None instead)
    400/422 InvalidInput, with the server's OperationOutcome as safe issues
    409/412 Conflict       405/501 NotSupported      413 TooCostly      429 Throttled
    no answer in time UpstreamTimeout (the outcome of a write is then *unknown*)      others UpstreamError
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Resource: TypeAlias = dict[str, Any]


class Capability(Protocol):
    """What the server's CapabilityStatement says it can do."""

    @property
    def software(self) -> str:
        """Name and version ("HAPI FHIR Server 8.8.0"), "" when not stated."""

    @property
    def raw(self) -> Resource:
        """The CapabilityStatement as received."""

    def supports(self, type_: str, interaction: str) -> bool:
        """True when `type_` ("CarePlan") is offered with `interaction` ("read", "search-type", "create", ...)."""

    def supports_system(self, interaction: str) -> bool:
        """True when the system level offers `interaction` ("transaction", "batch")."""

    def has_search_param(self, type_: str, name: str) -> bool:
        """True when `type_` can be searched by `name`."""


class FhirServer(Protocol):
    """One FHIR R4 server, logged in. `base` has no trailing slash."""

    @property
    def base(self) -> str: ...

    def capability(self) -> Capability:
        """The CapabilityStatement, fetched once per client."""

    def read(self, type_: str, id_: str) -> Resource | None:
        """GET {type}/{id}; None when it does not exist or is deleted."""

    def search(
        self, type_: str, params: Mapping[str, str | Sequence[str]], *, no_cache: bool = True
    ) -> list[Resource]:
        """Every match over all pages (OperationOutcome entries left out).

        A list value means the parameter repeated (AND). no_cache: send `Cache-Control: no-cache` (HP-7)."""

    def invoke(self, path: str, params: Mapping[str, str]) -> Resource:
        """GET an operation that changes nothing ("CodeSystem/$validate-code"); its answer."""

    def transaction(self, bundle: Resource) -> Resource:
        """POST a transaction Bundle to the base; the response Bundle."""

    def create(self, resource: Resource, *, if_none_exist: str = "") -> Resource:
        """POST; the resource as the server now holds it (at least resourceType, id, meta.versionId).

        if_none_exist: a query string ("identifier=system|value") for a conditional create."""

    def update(self, resource: Resource, *, if_match: str = "") -> Resource:
        """PUT {type}/{id}; the resource as the server now holds it.

        if_match: the bare version id ("3"); sent as `If-Match: W/"3"`."""

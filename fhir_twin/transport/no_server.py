"""A service without a FHIR server of its own: users log in at registered servers, and records come with the login."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_twin.errors import NotSupported
from fhir_twin.transport.pull import Fetched

WORDS = (
    "this service has no FHIR server of its own: log in at a registered one (/smart/login), or set `server`"
)


class NoServer:
    """Implements service.Source by saying so."""

    base = "urn:fhir-twin"

    def patients(self) -> Iterator[str]:
        raise NotSupported(WORDS)

    def find(self, system: str, value: str) -> str:  # noqa: ARG002 - the protocol's
        raise NotSupported(WORDS)

    def fetch(self, patient: str) -> Fetched:  # noqa: ARG002 - the protocol's
        raise NotSupported(WORDS)

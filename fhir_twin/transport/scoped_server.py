"""A FHIR server seen through the scopes that a login was granted (A8, SC-4).

A server may answer a search that the scopes do not cover with 403, or with fewer rows and 200. So nothing is asked
that is not granted, and what is granted in part never counts as complete.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_twin.model.scopes import INTERACTIONS, Granted
from fhir_twin.transport.capability import ServerCapability
from fhir_twin.transport.fhir_server import FhirServer
from fhir_twin.transport.http import HttpClient
from fhir_twin.transport.wanted import Query

NOT_GRANTED = "the granted scopes do not cover it"
IN_PART = "the granted scopes cover a part of it only"


class ScopedServer(FhirServer):
    """granted: None = the login has no scopes (an open server). known: a capability statement read before."""

    def __init__(
        self,
        client: HttpClient,
        granted: Granted | None,
        *,
        known: ServerCapability | None = None,
        post_search: bool = False,
        max_pages: int = 500,
    ) -> None:
        super().__init__(client, post_search=post_search, max_pages=max_pages)
        self._granted = granted
        self._capability = known
        self._restricted: ServerCapability | None = None

    def whole_capability(self) -> ServerCapability:
        """What the server offers, whoever asks."""
        return super().capability()

    def capability(self) -> ServerCapability:
        """What the server offers and this login may do."""
        if self._granted is None:
            return super().capability()
        if self._restricted is None:
            whole = super().capability()
            types = {
                name: replace(
                    offered,
                    interactions=frozenset(i for i in offered.interactions if self._may(name, i)),
                )
                for name, offered in whole.types.items()
            }
            self._restricted = replace(whole, types=types)
        return self._restricted

    def _may(self, type_: str, interaction: str) -> bool:
        letter = INTERACTIONS.get(interaction)
        return letter is not None and self._granted is not None and self._granted.may(type_, letter)

    def closed(self, type_: str) -> str:
        if self._granted is None or self._granted.may(type_, "s"):
            return ""
        return NOT_GRANTED

    def narrow(self, ladder: tuple[Query, ...]) -> tuple[Query, ...]:
        """With a filter in the scope (`?category=`) the search carries it, and the type is never complete."""
        filters = self._granted.filters(ladder[0].type, "s") if self._granted is not None else ()
        if not filters:
            return ladder
        partial = tuple(replace(q, partial=True, note=IN_PART) for q in ladder)
        extra = _joined(filters)
        if extra is None:
            return partial
        return tuple(replace(q, params={**q.params, **extra}) for q in partial)


def _joined(filters: tuple[str, ...]) -> dict[str, str] | None:
    """`category=a` and `category=b` are `category=a,b`; None when they filter by different parameters."""
    values: dict[str, list[str]] = {}
    for one in filters:
        name, equals, value = one.partition("=")
        if not equals or "&" in value or not value:
            return None
        values.setdefault(name, []).append(value)
    return {name: ",".join(each) for name, each in values.items()} if len(values) == 1 else None

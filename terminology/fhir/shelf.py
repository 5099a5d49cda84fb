"""Where code systems, value sets and concept maps are found: loaded releases, and resources given with a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from terminology.fhir.canonical import split
from terminology.fhir.concept import CodeSystem
from terminology.fhir.resource_system import ResourceSystem

Json = dict[str, Any]
# Contents that can be asked (https://hl7.org/fhir/R4/valueset-codesystem-content-mode.html).
_USABLE = ("complete", "fragment")


class Shelf(Protocol):
    def versions(self, type_: str, url: str) -> list[str]:
        """The versions there are; "" for one without version."""
        ...

    def resource(self, type_: str, url: str, version: str) -> Json | None:
        """The whole resource of exactly that version."""
        ...

    def resources(self, type_: str) -> Iterator[Json]:
        """The heads (no concepts, no compose) of all resources of a type."""
        ...

    def system(self, url: str, version: str, supplements: Sequence[Json] = ()) -> CodeSystem | None:
        """The code system of exactly that version, with supplements laid over."""
        ...


class Overlay:
    """Resources of one question over a shelf; of the same url and version they win."""

    def __init__(self, below: Shelf, resources: Sequence[Json] = ()) -> None:
        self.below = below
        self._own: dict[tuple[str, str, str], Json] = {}
        for resource in resources:
            url = resource.get("url")
            if isinstance(url, str):
                key = (str(resource.get("resourceType")), url, str(resource.get("version") or ""))
                self._own[key] = resource
        self._systems: dict[tuple[str, str], CodeSystem] = {}

    def versions(self, type_: str, url: str) -> list[str]:
        own = [v for (t, u, v) in self._own if (t, u) == (type_, url) and self._is_usable(t, u, v)]
        return list(dict.fromkeys((*own, *self.below.versions(type_, url))))

    def resource(self, type_: str, url: str, version: str) -> Json | None:
        return self._own.get((type_, url, version)) or self.below.resource(type_, url, version)

    def resources(self, type_: str) -> Iterator[Json]:
        yield from (r for (t, _, _), r in self._own.items() if t == type_)
        yield from self.below.resources(type_)

    def system(self, url: str, version: str, supplements: Sequence[Json] = ()) -> CodeSystem | None:
        own = self._own.get(("CodeSystem", url, version))
        if own is None or not usable(own):
            return self.below.system(url, version, supplements)
        if supplements:
            return ResourceSystem(own, supplements)
        if (url, version) not in self._systems:
            self._systems[url, version] = ResourceSystem(own)
        return self._systems[url, version]

    def _is_usable(self, type_: str, url: str, version: str) -> bool:
        return type_ != "CodeSystem" or usable(self._own[type_, url, version])


def usable(resource: Json) -> bool:
    """Whether codes can be looked up in it: content complete or fragment, or concepts without a word about content."""
    content = resource.get("content")
    return content in _USABLE or (content is None and "concept" in resource)


def supplements_of(shelf: Shelf, url: str) -> list[Json]:
    """Heads of all supplements to a code system."""
    return [
        r for r in shelf.resources("CodeSystem")
        if r.get("content") == "supplement" and split(str(r.get("supplements", "")))[0] == url
    ]  # fmt: skip

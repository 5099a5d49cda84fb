"""Create, update and delete with the checks a real server makes: identity, versions, conditions, integrity."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fhir_twin.sandbox.parameters import TYPES
from fhir_twin.sandbox.problems import Problem
from fhir_twin.sandbox.references import check, rewrite
from fhir_twin.sandbox.search import known_pairs, search
from fhir_twin.sandbox.store import Resource, Store, Version

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_ETAG = re.compile(r'(?:W/)?"?([A-Za-z0-9\-.]{1,64})"?\Z')


@dataclass(frozen=True, slots=True)
class Written:
    """status: 201 created, 200 updated or unchanged, 204 deleted."""

    status: int
    version: Version


class Writer:
    """Writes to one store. `exists` may be widened by a transaction to what it is about to write."""

    def __init__(self, store: Store, base: str) -> None:
        self.store = store
        self.base = base

    def create(self, type_: str, body: Any, *, if_none_exist: str = "") -> Written:
        resource = checked(type_, body)
        if if_none_exist:
            found = self.matches(type_, if_none_exist)
            if found:
                return Written(200, found[0])
        return self.store_new(type_, str(uuid.uuid4()), self.localised(resource))

    def update(self, type_: str, id_: str, body: Any, *, if_match: str = "") -> Written:
        resource = checked(type_, body)
        if resource.get("id") != id_:
            raise Problem(400, "invalid", "the id in the body must be the id in the URL", f"{type_}.id")
        return self.replace(type_, id_, self.localised(resource), if_match=if_match)

    def conditional_update(self, type_: str, query: str, body: Any, *, if_match: str = "") -> Written:
        """0 matches: create; 1: update; more: 412 (ID-2)."""
        resource = checked(type_, body)
        found = self.matches(type_, query)
        own = resource.get("id")
        if found and own is not None and own != found[0].id:
            raise Problem(400, "invalid", "the body has another id than the resource that matches")
        id_ = found[0].id if found else self.client_id(own) if own is not None else str(uuid.uuid4())
        return self.replace(type_, id_, self.localised(resource), if_match=if_match)

    def delete(self, type_: str, id_: str, *, if_match: str = "") -> Written:
        """204 also when it is gone already; 409 while others refer to it."""
        version = self.store.read(type_, id_)
        self._check_match(version, if_match)
        if version is None:
            raise Problem(404, "not-found", f"no such {type_}")
        if version.resource is None:
            return Written(204, version)
        if any((v.type, v.id) != (type_, id_) for v in self.store.pointing_to(f"{type_}/{id_}")):
            raise Problem(409, "conflict", "other resources refer to this one")
        return Written(204, self.store.put(type_, id_, None))

    def replace(
        self,
        type_: str,
        id_: str,
        resource: Resource,
        *,
        if_match: str = "",
        exists: Callable[[str, str], bool] | None = None,
    ) -> Written:
        """Store `resource` (already localised) under an id; an identical body makes no new version (HP-8)."""
        version = self.store.read(type_, id_)
        self._check_match(version, if_match)
        if version is None:
            self.client_id(id_)
        check(resource, exists or self._exists(type_, id_))
        if version is not None and version.resource is not None and _same(version.resource, resource):
            return Written(200, version)
        created = version is None or version.resource is None
        return Written(201 if created else 200, self.store.put(type_, id_, resource))

    def store_new(
        self, type_: str, id_: str, resource: Resource, *, exists: Callable[[str, str], bool] | None = None
    ) -> Written:
        check(resource, exists or self._exists(type_, id_))
        return Written(201, self.store.put(type_, id_, resource))

    def localised(self, resource: Resource, known: dict[str, str] | None = None) -> Resource:
        return rewrite(resource, self.base, known or {}, self.find_reference)

    def matches(self, type_: str, query: str) -> list[Version]:
        """For conditional operations: none or one. Raises Problem 412 for several, 400 for no criteria."""
        asked = parse_qsl(query.partition("?")[2] or query, keep_blank_values=True)
        pairs = known_pairs(type_, asked, strict=True)
        if not pairs:
            raise Problem(400, "invalid", "a conditional operation needs search parameters")
        found = search(self.store, type_, pairs)
        if len(found) > 1:
            raise Problem(412, "multiple-matches", f"{len(found)} resources match the condition")
        return found

    def find_reference(self, reference: str) -> str:
        """ "Type?query" -> "Type/id"; exactly one must match (HP-3)."""
        type_ = known_type(reference.partition("?")[0])
        found = self.matches(type_, reference)
        if not found:
            raise Problem(400, "processing", f"a conditional reference to a {type_} matches nothing")
        return f"{type_}/{found[0].id}"

    def client_id(self, id_: Any) -> str:
        """An id that a client may choose: not purely numeric (HP-6)."""
        if not isinstance(id_, str) or not _ID.match(id_):
            raise Problem(400, "value", "an id must be 1 to 64 letters, digits, '-' or '.'")
        if id_.isdecimal():
            raise Problem(400, "business-rule", "ids that clients choose must not be purely numeric")
        return id_

    def _exists(self, type_: str, id_: str) -> Callable[[str, str], bool]:
        return lambda t, i: (t, i) == (type_, id_) or self.store.exists(t, i)

    def _check_match(self, version: Version | None, if_match: str) -> None:
        if not if_match:
            return
        match = _ETAG.match(if_match.strip())
        if version is None or match is None or match[1] != str(version.number):
            raise Problem(412, "conflict", "the version in If-Match is not the current one")


def known_type(name: Any) -> str:
    if not isinstance(name, str) or name not in TYPES:
        raise Problem(404, "not-supported", "the sandbox does not know this resource type")
    return name


def checked(type_: str, body: Any) -> Resource:
    """A resource of this type with an allowed id. Raises Problem 400."""
    if not isinstance(body, dict) or not isinstance(body.get("resourceType"), str):
        raise Problem(400, "structure", "the body is no FHIR resource")
    if body["resourceType"] != type_:
        raise Problem(400, "invalid", "the body is another resource type than the URL says", "resourceType")
    if not isinstance(body.get("meta", {}), dict):
        raise Problem(400, "structure", "meta must be an object", f"{type_}.meta")
    return body


def _same(stored: Resource, sent: Resource) -> bool:
    """Equal but for id, version and time, which are the server's."""

    def bare(resource: Resource) -> Resource:
        meta = {
            k: v
            for k, v in (resource.get("meta") or {}).items()
            if k not in ("versionId", "lastUpdated", "source")
        }
        rest = {k: v for k, v in resource.items() if k not in ("id", "meta")}
        return {**rest, **({"meta": meta} if meta else {})}

    return bare(stored) == bare(sent)

"""Resources in memory with all their versions. One lock; a transaction can be undone whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_twin.sandbox.references import local_references

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Version:
    """resource is None for a deletion. updated: instant as in meta.lastUpdated."""

    type: str
    id: str
    number: int
    updated: str
    resource: Resource | None

    @property
    def etag(self) -> str:
        return f'W/"{self.number}"'


class Store:
    """Stored resources are never changed in place: a new version is a new dict, so a reader may keep one."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.lock = threading.RLock()
        self.now = now
        self._rows: dict[str, dict[str, list[Version]]] = {}
        self._pointing: dict[str, set[tuple[str, str]]] = {}
        self._undo: list[Callable[[], None]] | None = None

    def read(self, type_: str, id_: str) -> Version | None:
        """The newest version (perhaps a deletion), None when there never was one."""
        versions = self._rows.get(type_, {}).get(id_)
        return versions[-1] if versions else None

    def versions(self, type_: str, id_: str) -> tuple[Version, ...]:
        """Oldest first."""
        return tuple(self._rows.get(type_, {}).get(id_, ()))

    def current(self, type_: str) -> Iterator[Version]:
        """Everything of a type that is not deleted, in the order of first writing."""
        for versions in self._rows.get(type_, {}).values():
            if versions[-1].resource is not None:
                yield versions[-1]

    def pointing_to(self, reference: str) -> Iterator[Version]:
        """Current versions that refer to "Type/id", in a stable order."""
        for type_, id_ in sorted(self._pointing.get(reference, ())):
            version = self.read(type_, id_)
            if version is not None and version.resource is not None:
                yield version

    def exists(self, type_: str, id_: str) -> bool:
        version = self.read(type_, id_)
        return version is not None and version.resource is not None

    def put(self, type_: str, id_: str, resource: Resource | None) -> Version:
        """Store the next version (None = deleted); id, versionId and lastUpdated are set here."""
        versions = self._rows.setdefault(type_, {}).setdefault(id_, [])
        number = len(versions) + 1
        updated = self.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        stored = None
        if resource is not None:
            meta = {**(resource.get("meta") or {}), "versionId": str(number), "lastUpdated": updated}
            rest = {k: v for k, v in resource.items() if k not in ("resourceType", "id", "meta")}
            stored = {"resourceType": type_, "id": id_, "meta": meta, **rest}
        version = Version(type_, id_, number, updated, stored)
        old = versions[-1] if versions else None
        versions.append(version)
        self._index(old, version)
        if self._undo is not None:
            self._undo.append(lambda: self._take_back(version, old))
        return version

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Everything stored inside is taken back when the block raises."""
        with self.lock:
            self._undo = []
            try:
                yield
            except BaseException:
                for step in reversed(self._undo):
                    step()
                raise
            finally:
                self._undo = None

    def counts(self) -> dict[str, int]:
        """Resources by type, without deleted ones."""
        return {t: n for t in sorted(self._rows) if (n := sum(1 for _ in self.current(t)))}

    def _take_back(self, version: Version, old: Version | None) -> None:
        versions = self._rows[version.type][version.id]
        versions.pop()
        if not versions:
            del self._rows[version.type][version.id]
        self._index(version, old)

    def _index(self, old: Version | None, new: Version | None) -> None:
        for version, add in ((old, False), (new, True)):
            if version is None or version.resource is None:
                continue
            key = (version.type, version.id)
            for target in local_references(version.resource):
                keys = self._pointing.setdefault(target, set())
                keys.add(key) if add else keys.discard(key)

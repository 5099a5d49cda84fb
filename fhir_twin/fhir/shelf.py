"""What the server holds of ours, sorted: by item and generation, and who touched it last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import Issue
from fhir_twin.fhir.digest import Digest, digest, lasting_name, name_of, stated
from fhir_twin.fhir.identity import Identity, identity_of
from fhir_twin.fhir.references import references_in

Json = dict[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """One resource of ours on the server. touched: somebody else changed it since we wrote it (ID-3)."""

    identity: Identity
    resource: Json
    stated: Digest | None
    touched: bool

    @property
    def id(self) -> str:
        return str(self.resource.get("id", ""))

    @property
    def version(self) -> str:
        meta = self.resource.get("meta")
        return str(meta.get("versionId", "")) if isinstance(meta, dict) else ""

    @property
    def reference(self) -> str:
        return f"{self.identity.type}/{self.id}"

    @property
    def versioned(self) -> str:
        return f"{self.reference}/_history/{self.version}" if self.version else self.reference


@dataclass(frozen=True, slots=True, repr=False)
class Shelf:
    """by_key: newest generation last. locked: lasting names of all that a clinician-owned plan refers to."""

    by_key: Mapping[Key, tuple[Held, ...]]
    locked: frozenset[str]
    issues: tuple[Issue, ...]

    def latest(self, identity: Identity) -> Held | None:
        found = self.by_key.get(key_of(identity))
        return found[-1] if found else None

    def generation(self, identity: Identity) -> Held | None:
        """Exactly this generation."""
        return next((h for h in self.by_key.get(key_of(identity), ()) if h.identity == identity), None)

    def is_locked(self, held: Held) -> bool:
        return name_of(held.identity) in self.locked


def key_of(identity: Identity) -> Key:
    return (identity.type, identity.system, identity.key)


def shelf(resources: Iterable[Json], base: str) -> Shelf:
    """Sort what a server returned. Foreign resources among it are ignored; of two with one identity the elder one
    counts, and an issue says that there are two (interop.md E6)."""
    found: dict[Identity, list[Held]] = {}
    for resource in resources:
        identity = identity_of(resource)
        if identity is not None and resource.get("id"):
            found.setdefault(identity, []).append(_held(identity, resource, base))
    issues = [_duplicate(i) for i, same in found.items() if len({h.id for h in same}) > 1]
    by_key: dict[Key, list[Held]] = {}
    for identity in sorted(found, key=lambda i: i.generation):
        elder = min(found[identity], key=lambda h: (_age(h.id), h.id))
        by_key.setdefault(key_of(identity), []).append(elder)
    sorted_shelf = {key: tuple(helds) for key, helds in by_key.items()}
    return Shelf(sorted_shelf, _locked(sorted_shelf, base), tuple(issues))


def _held(identity: Identity, resource: Json, base: str) -> Held:
    said = stated(resource)
    now = digest(resource, base)
    return Held(identity, resource, said, said is None or said.seal != now.seal)


def _age(id_: str) -> int:
    """Numeric ids rise with age on the servers that use them; others compare as text only."""
    return int(id_) if id_.isdigit() else 0


def _duplicate(identity: Identity) -> Issue:
    return Issue(
        "warning",
        "duplicate",
        "The server holds two resources with one identifier of ours; the elder one is used",
        identity.type,
        "write",
    )


def _locked(by_key: Mapping[Key, tuple[Held, ...]], base: str) -> frozenset[str]:
    names = {name_of(h.identity): h for helds in by_key.values() for h in helds}
    todo = [h for h in names.values() if h.identity.type == "CarePlan" and h.touched]
    reached: set[str] = set()
    while todo:
        for reference in references_in(todo.pop().resource):
            name = lasting_name(reference, base)
            target = names.get(name)
            if target is None or name in reached or target.identity.type in ("Device", "CarePlan"):
                continue
            reached.add(name)
            todo.append(target)
    return frozenset(reached)

"""References inside resources: find them, rewrite them, and check that what they name is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from fhir_twin.sandbox.problems import Problem

Resource = dict[str, Any]
_LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})\Z")
_CONDITIONAL = re.compile(r"[A-Z][A-Za-z]+\?")


def references(value: Any) -> Iterator[Resource]:
    """Every Reference object (one with a `reference` string) in `value`, in order. A resource is none: the
    `reference` of a DetectedIssue is a link to a guideline."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and "resourceType" not in value:
            yield value
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def local_references(resource: Resource) -> set[str]:
    """ "Type/id" of everything that `resource` refers to on this server."""
    return {r["reference"] for r in references(resource) if _LOCAL.match(r["reference"])}


def split_reference(reference: str) -> tuple[str, str] | None:
    """(type, id) of a stored reference, None for contained, logical and urn: ones."""
    match = _LOCAL.match(reference)
    return (match[1], match[2]) if match else None


def rewrite(resource: Resource, base: str, known: dict[str, str], find: Callable[[str], str]) -> Resource:
    """A copy with references as the server stores them: urn:uuid and fullUrls of `known` replaced, our own
    absolute ones made relative, versions stripped (as HAPI does, HP-5), conditional ones looked up by `find`."""

    def change(value: Any) -> Any:
        if isinstance(value, list):
            return [change(v) for v in value]
        if not isinstance(value, dict):
            return value
        changed = {k: change(v) for k, v in value.items()}
        if isinstance(changed.get("reference"), str) and "resourceType" not in changed:
            changed["reference"] = one(changed["reference"])
        return changed

    def one(reference: str) -> str:
        if reference in known:
            return known[reference]
        text = reference.removeprefix(base + "/")
        if text.startswith(("urn:uuid:", "urn:oid:")):
            raise Problem(400, "processing", "a urn: reference names no entry of this Bundle")
        if text.startswith(("http://", "https://")):
            raise Problem(400, "processing", "references to other servers are not allowed")
        if _CONDITIONAL.match(text):
            return find(text)
        return text.split("/_history/")[0]

    result: Resource = change(resource)
    return result


def check(resource: Resource, exists: Callable[[str, str], bool]) -> None:
    """Raises Problem 400 when a reference names a resource that is not there (referential integrity)."""
    for reference in references(resource):
        text = reference["reference"]
        if text.startswith("#"):
            continue
        target = split_reference(text)
        if target is None:
            raise Problem(400, "value", "a reference is not in the form Type/id")
        if not exists(*target):
            raise Problem(400, "processing", f"a referenced {target[0]} is not on this server")

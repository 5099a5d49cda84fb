"""What a server lets us keep there, by its CapabilityStatement."""

from __future__ import annotations

from fhir_twin.transport.protocols import Capability


def _lists_nothing(capability: Capability) -> bool:
    """A statement that lists no types rules none out."""
    return not any(r.get("resource") for r in capability.raw.get("rest") or [])


def updates(capability: Capability, type_: str) -> bool:
    return _lists_nothing(capability) or capability.supports(type_, "update")


def offers(capability: Capability, type_: str) -> bool:
    """Whether we can keep resources of this type there: find, create and update them. Provenance is only ever
    created; documents may be replaced instead of updated, as some vendors demand (interop.md E8)."""
    needed = {"Provenance": ("create",), "DocumentReference": ("create", "search-type")}
    asked = needed.get(type_, ("create", "update", "search-type"))
    return _lists_nothing(capability) or all(capability.supports(type_, how) for how in asked)

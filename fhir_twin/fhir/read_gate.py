"""What may not be read as it stands: our own output (CP-4), unknown modifiers (RD-10), errors (RD-12), masks (RD-11).

Works on raw JSON, before anything is believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_twin.fhir.bundle import Entry, Resource
from fhir_twin.fhir.context import Issues
from fhir_twin.fhir.resolve import identifiers
from fhir_twin.fhir.systems import SOFTWARE_TAG, TAGS, is_own_identifier_system

# Elements that name who made a resource.
_MAKERS = ("author", "contributor", "requester", "performer", "sender", "recorder")
_ORDERED = frozenset(["order", "plan", "original-order", "reflex-order", "filler-order", "instance-order"])
_MASKED = frozenset(["MASKED", "REDACTED"])


def own_devices(entries: Iterable[Entry]) -> frozenset[str]:
    """References ("Device/id" and fullUrls) that mean our own software."""
    found: set[str] = set()
    for entry in entries:
        if entry.type == "Device" and is_own(entry.raw, frozenset()):
            found |= {f"Device/{entry.id}", entry.full_url} - {"", "Device/"}
    return frozenset(found)


def is_own(raw: Resource, devices: frozenset[str]) -> bool:
    """Written by fhir-twin: our tag, an identifier system of ours, or our Device as its author."""
    meta = raw.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and tag.get("system") == TAGS and tag.get("code") == SOFTWARE_TAG:
            return True
    if "identifier" in raw and any(is_own_identifier_system(system) for system, _ in identifiers(raw)):
        return True
    return bool(devices) and any(_refers(raw.get(key), devices) for key in _MAKERS)


def is_adopted(raw: Resource) -> bool:
    """A proposal of ours that somebody made an order. We only ever write draft proposals (CP-1), so an order with
    our identifier is a clinician's act, and the drug or test in it is real."""
    if raw.get("resourceType") not in ("MedicationRequest", "ServiceRequest"):
        return False
    return raw.get("intent") in _ORDERED and raw.get("status") in (
        "active",
        "on-hold",
        "completed",
        "stopped",
    )


def _refers(value: Any, devices: frozenset[str]) -> bool:
    """A Reference, a list of them, or of objects with an `actor`."""
    for each in value if isinstance(value, list) else [value]:
        held = each.get("actor", each) if isinstance(each, dict) else None
        text = held.get("reference") if isinstance(held, dict) else None
        if isinstance(text, str):
            plain = text.split("/_history/")[0]
            if plain in devices or any(d.startswith("Device/") and plain.endswith(f"/{d}") for d in devices):
                return True
    return False


def in_error(raw: Resource) -> bool:
    """entered-in-error, in whatever status element; such a resource may have nothing else (RD-12)."""
    status = raw.get("status") or raw.get("lifecycleStatus")
    if isinstance(status, str) and status.strip().lower() == "entered-in-error":
        return True
    verification = raw.get("verificationStatus")
    if isinstance(verification, str):
        return verification.strip().lower() == "entered-in-error"
    codings = verification.get("coding") if isinstance(verification, dict) else None
    return any(
        isinstance(c, dict)
        and isinstance(c.get("code"), str)
        and c["code"].strip().lower() == "entered-in-error"
        for c in (codings if isinstance(codings, list) else ())
    )


def is_understood(raw: Resource, source: str, issues: Issues) -> bool:
    """False when the resource says that its plain reading may be wrong: then it is not used (RD-10)."""
    for key, what in (
        ("modifierExtension", "an unknown modifierExtension"),
        ("implicitRules", "implicitRules"),
    ):
        if raw.get(key):
            issues.add("warning", "extension", f"has {what}: not used", source)
            return False
    return True


def note_labels(raw: Resource, source: str, issues: Issues) -> None:
    """Say what a server withheld: a masked or shortened resource is not the whole truth (RD-9, RD-11)."""
    meta = raw.get("meta")
    if not isinstance(meta, dict) or not (meta.get("security") or meta.get("tag")):
        return
    security = {label["code"] for label in _codings(meta.get("security"))}
    if security & _MASKED:
        issues.add("information", "suppressed", "parts were withheld by the server", source)
    if any(
        tag.get("code") == "SUBSETTED" for tag in _codings(meta.get("tag")) + _codings(meta.get("security"))
    ):
        issues.add("information", "incomplete", "the server sent only a part of it (SUBSETTED)", source)


def _codings(value: Any) -> list[Resource]:
    """Those that have a code."""
    listed = value if isinstance(value, list) else []
    return [c for c in listed if isinstance(c, dict) and isinstance(c.get("code"), str)]

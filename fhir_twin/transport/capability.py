"""CapabilityStatement -> what the server can do, and whether we may talk to it at all (RD-1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhir_twin.errors import Issue, NotSupported, UpstreamError

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TypeCapability:
    """What one resource type offers, by the names that R4 gives them."""

    interactions: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    conditional_create: bool = False
    conditional_update: bool = False
    versioning: str = ""


@dataclass(frozen=True, slots=True)
class ServerCapability:
    """Implements transport.protocols.Capability. `types` is empty when the server lists none; then nothing is
    ruled out (`listed` is False)."""

    fhir_version: str
    software: str
    types: dict[str, TypeCapability]
    interactions: frozenset[str]
    operations: frozenset[str]
    formats: frozenset[str]
    issues: tuple[Issue, ...] = ()
    raw: Resource = field(default_factory=dict, repr=False)

    @property
    def listed(self) -> bool:
        return bool(self.types)

    def supports(self, type_: str, interaction: str) -> bool:
        return type_ in self.types and interaction in self.types[type_].interactions

    def supports_system(self, interaction: str) -> bool:
        return interaction in self.interactions

    def has_search_param(self, type_: str, name: str) -> bool:
        return type_ in self.types and name in self.types[type_].params

    def has_operation(self, type_: str, name: str) -> bool:
        """True when `name` ("everything", without $) is offered on `type_` or at the system level."""
        return name in self.operations or (type_ in self.types and name in self.types[type_].operations)


def read_capability(resource: Resource) -> ServerCapability:
    """Raises UpstreamError when it is no CapabilityStatement and NotSupported for another FHIR version than R4."""
    if resource.get("resourceType") != "CapabilityStatement":
        raise UpstreamError("the answer to /metadata is not a CapabilityStatement; is the base URL right?")
    version = _text(resource.get("fhirVersion"))
    issues = _check_version(version) + _check_formats(resource)
    rest = _server_rest(resource)
    types = {
        _text(entry.get("type")): _type_capability(entry)
        for entry in _dicts(rest.get("resource"))
        if _text(entry.get("type"))
    }
    software = resource.get("software")
    named = software if isinstance(software, dict) else {}
    return ServerCapability(
        version,
        " ".join(filter(None, (_text(named.get("name")), _text(named.get("version"))))),
        types,
        _codes(rest.get("interaction"), "code"),
        frozenset(n.lstrip("$") for n in _codes(rest.get("operation"), "name")),
        frozenset(_strings(resource.get("format"))),
        issues,
        resource,
    )


def _check_version(version: str) -> tuple[Issue, ...]:
    """4.0.x is R4. 4.1.0 and 4.3.0 are R4B: the same for what we read and write (MDL-2), with a warning."""
    if version == "4.0" or version.startswith("4.0."):
        return ()
    if version.startswith(("4.1.", "4.3.")):
        text = "the server speaks FHIR R4B; it is treated as R4"
        return (Issue("warning", "not-supported", text, "CapabilityStatement.fhirVersion", "fetch"),)
    if not version:
        raise NotSupported("the server does not say which FHIR version it speaks; fhir-twin needs R4 (4.0.1)")
    known = version if len(version) < 20 and version.replace(".", "").isalnum() else "another version"
    raise NotSupported(f"the server speaks FHIR {known}; fhir-twin needs R4 (4.0.1)")


def _check_formats(resource: Resource) -> tuple[Issue, ...]:
    formats = [f.lower() for f in _strings(resource.get("format"))]
    if formats and not any("json" in f for f in formats):
        text = "the server names no JSON format; JSON is asked for all the same"
        return (Issue("warning", "not-supported", text, "CapabilityStatement.format", "fetch"),)
    return ()


def _server_rest(resource: Resource) -> Resource:
    entries = _dicts(resource.get("rest"))
    return next((e for e in entries if e.get("mode") == "server"), entries[0] if entries else {})


def _type_capability(entry: Resource) -> TypeCapability:
    return TypeCapability(
        interactions=_codes(entry.get("interaction"), "code"),
        params=_codes(entry.get("searchParam"), "name"),
        includes=frozenset(_strings(entry.get("searchInclude"))),
        operations=frozenset(n.lstrip("$") for n in _codes(entry.get("operation"), "name")),
        conditional_create=entry.get("conditionalCreate") is True,
        conditional_update=entry.get("conditionalUpdate") is True,
        versioning=_text(entry.get("versioning")),
    )


def _codes(entries: Any, key: str) -> frozenset[str]:
    return frozenset(_text(e.get(key)) for e in _dicts(entries)) - {""}


def _dicts(value: Any) -> list[Resource]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

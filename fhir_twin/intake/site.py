"""What a site decides about its feeds: time zone, identifier authorities, which processing ids it takes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from urllib.parse import quote

from fhir_twin.fhir.systems import HOME
from fhir_twin.intake.tables import Tables, load_tables

Json = dict[str, object]
_NAMES = uuid.UUID(
    "5d7a2b52-5e6c-5b0a-9c0e-6a1c5f0d9f11"
)  # our namespace for ids made from business identities
_OID = re.compile(r"[0-2](\.(0|[1-9]\d{0,30})){1,40}\Z", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


@dataclass(frozen=True, slots=True)
class Site:
    """zone: for times without an offset. authorities: assigning authority (namespace, OID or facility) -> identifier
    system. accept: values of MSH-11 that are taken (P, T, D); empty MSH-11 counts as P."""

    zone: tzinfo = UTC
    authorities: Mapping[str, str] = field(default_factory=dict)
    accept: frozenset[str] = frozenset({"P"})
    tables: Tables = field(default_factory=load_tables)

    def authority(self, namespace: str, universal: str = "", kind: str = "") -> str:
        """The identifier system of an assigning authority (HD); "" when it names nothing."""
        for key in (universal, namespace):
            if key and key in self.authorities:
                return self.authorities[key]
        if universal:
            if kind in ("ISO", "") and _OID.match(universal):
                return self.tables.oids.get(universal, f"urn:oid:{universal}")
            if _UUID.match(universal):
                return f"urn:uuid:{universal.lower()}"
            if universal.startswith(("http://", "https://", "urn:")):
                return universal
            if kind == "DNS":
                return f"{HOME}/authority/dns/{quote(universal.lower(), safe='.-')}"
        if namespace and _OID.match(namespace) and "." in namespace:
            return self.tables.oids.get(namespace, f"urn:oid:{namespace}")
        name = namespace or universal
        return f"{HOME}/authority/{quote(name, safe='')}" if name else ""


def made_id(kind: str, *identity: str) -> str:
    """A resource id that the same business identity always gives, and another one never."""
    return str(uuid.uuid5(_NAMES, "\x1f".join((kind, *identity))))

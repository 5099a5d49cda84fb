"""The maps of mappings/hl7v2 and mappings/ccda, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fhir_twin.errors import KnowledgeError
from mappings import Source

_STRAY = re.compile(r"[\s\-_.]")


@dataclass(frozen=True, slots=True)
class Tables:
    """maps: table name -> v2 or CDA code -> FHIR code. systems: name in capitals -> URI. oids: OID -> URI."""

    maps: Mapping[str, Mapping[str, str]]
    systems: Mapping[str, str]
    oids: Mapping[str, str]
    patterns: Mapping[str, Mapping[str, Any]]

    def get(self, table: str, code: str) -> str:
        """The FHIR code, "" when the table has none. Raises KeyError for a table that does not exist."""
        return self.maps[table].get(code.strip(), "")

    def system(self, name: str) -> str:
        """URI of a coding system as HL7 v2 names it (table 0396), an OID, or a URI; "" when it is not known."""
        name = name.strip()
        if name.startswith(("http://", "https://", "urn:")):
            return self.oids.get(name.removeprefix("urn:oid:"), name)
        if re.fullmatch(r"[0-2](\.\d{1,30}){2,30}", name):
            return self.oids.get(name, f"urn:oid:{name}")
        found = self.systems.get(_STRAY.sub("", name).upper(), "")
        if found:
            return found
        if hl7 := re.fullmatch(r"HL7[\s\-_]?(\d{4})", name.upper()):
            return f"http://terminology.hl7.org/CodeSystem/v2-{hl7[1]}"
        return ""

    def pattern(self, text: str) -> Mapping[str, Any] | None:
        """The repeat pattern's numbers, or None."""
        key = re.sub(r"[\s.]", "", text).upper()
        if key in self.patterns:
            return self.patterns[key]
        units = {"S": "s", "M": "min", "H": "h", "D": "d", "W": "wk", "L": "mo"}
        if every := re.fullmatch(r"Q(\d{1,3})(HRS?|[SMHDWL])", key):
            period, unit = int(every[1]), units[every[2][0]]
            code = key if key in ("Q1H", "Q2H", "Q3H", "Q4H", "Q6H", "Q8H") else ""
            return {"frequency": 1, "period": period, "unit": unit, "code": code} if period else None
        if times := re.fullmatch(r"(\d{1,2})(?:ID|XDAY|XDAILY|/DAY)", key):
            return {"frequency": int(times[1]), "period": 1, "unit": "d"} if int(times[1]) else None
        return None


@cache
def load_tables(overlay: Path | None = None) -> Tables:
    """Raises KnowledgeError when a file lacks what its README names."""
    source = Source(overlay=overlay)
    try:
        v2 = dict(source.toml("hl7v2"))
        cda = dict(source.toml("ccda"))
        maps = {t["name"]: dict(t["map"]) for t in v2["tables.toml"]["table"]}
        maps |= {f"cda-{t['name']}": dict(t["map"]) for t in cda["statuses.toml"]["table"]}
        systems = {_STRAY.sub("", k).upper(): v for k, v in v2["coding-systems.toml"]["exact"].items()}
        return Tables(maps, systems, cda["oids.toml"]["systems"], v2["repeat-patterns.toml"]["pattern"])
    except (KeyError, ValueError, TypeError) as error:
        raise KnowledgeError(f"mappings/hl7v2 or mappings/ccda: {error}") from None

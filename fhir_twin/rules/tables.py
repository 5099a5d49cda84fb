"""What every rule file shares: its evidence tables, and keys that must be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.model.rules import Evidence

EVIDENCE = {"key", "text", "claim", "value", "doi", "pmid", "url", "verified"}


def read_evidence(table: Mapping[str, Any], where: str) -> dict[str, Evidence]:
    """The file's [[evidence]] tables by key. Raises ValueError naming file and key."""
    found: dict[str, Evidence] = {}
    for row in table.get("evidence", ()):
        label = f"{where}: evidence {row.get('key')}"
        only(row, EVIDENCE, label)
        if not row.get("text") or not row.get("claim") or row["key"] in found:
            raise ValueError(f"{label}: needs a new key, text and claim")
        found[row["key"]] = Evidence(**{k: v for k, v in row.items() if k != "key"})
    return found


def cited(row: Mapping[str, Any], evidence: Mapping[str, Evidence], where: str) -> tuple[Evidence, ...]:
    """The evidence a rule names; every rule names some."""
    keys = row.get("evidence", ())
    missing = [key for key in keys if key not in evidence]
    if not keys or missing:
        raise ValueError(f"{where}: evidence {missing or 'missing'}")
    return tuple(evidence[key] for key in keys)


def only(row: Mapping[str, Any], allowed: set[str], where: str) -> None:
    """Refuse keys that are not in the legend."""
    unknown = sorted(set(row) - allowed)
    if unknown:
        raise ValueError(f"{where}: unknown key: {', '.join(unknown)}")

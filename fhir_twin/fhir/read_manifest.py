"""A Bulk Data manifest, read by its shape: STU 1, STU 2 and the STU 4 ballot alike (BU-4, BU-9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fhir_twin.errors import UpstreamError

Kind = Literal["output", "deleted", "error"]
_KEYS: dict[str, Kind] = {"output": "output", "deleted": "deleted", "error": "error", "outcome": "error"}


@dataclass(frozen=True, slots=True, repr=False)
class BulkFile:
    """count None: the server does not say how many lines there are."""

    kind: Kind
    type: str
    url: str
    count: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """time: the server's transactionTime, word for word (the next `_since`). more: URL of the next page of it."""

    time: str
    needs_token: bool
    files: tuple[BulkFile, ...]
    more: str = ""


def read_manifest(body: Any) -> Manifest:
    """Raises UpstreamError when it is none. An empty output is fine: there was nothing to export."""
    if not isinstance(body, dict) or not isinstance(body.get("transactionTime"), str):
        raise UpstreamError("the bulk export's answer is no manifest (no transactionTime)")
    if not any(key in body for key in ("output", "outcome", "error", "deleted")):
        raise UpstreamError("the bulk export's manifest names no files, not even an empty list")
    files = tuple(f for key, kind in _KEYS.items() for f in _files(body.get(key), kind))
    links = body.get("link")
    rows = [k for k in links if isinstance(k, dict)] if isinstance(links, list) else []
    more = next((str(k.get("url", "")) for k in rows if k.get("relation") == "next"), "")
    return Manifest(body["transactionTime"], body.get("requiresAccessToken") is True, files, more)


def _files(rows: Any, kind: Kind) -> list[BulkFile]:
    found = []
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, dict) or not isinstance(row.get("url"), str) or not row["url"]:
            raise UpstreamError("the bulk export's manifest lists a file without a URL")
        given, severity = row.get("count"), row.get("countSeverity")
        if not isinstance(given, int) and isinstance(severity, dict):
            numbers = [n for n in severity.values() if isinstance(n, int)]
            given = sum(numbers) if numbers else None
        count = given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else None
        type_ = row.get("type")
        found.append(BulkFile(kind, type_ if isinstance(type_, str) else "", row["url"], count))
    return found

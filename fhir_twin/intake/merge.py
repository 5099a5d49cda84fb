"""How a newer or later word on a resource meets what is known: pure rules (V2-2, V2-4, V2-6, row 59).

An empty field changes nothing, `""` empties it; an older message never overwrites a newer one, but may fill what
nobody has said yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_NEVER_FILLED = frozenset({"deceasedBoolean", "deceasedDateTime"})


def merge_patient(held: Json | None, said: Json, cleared: tuple[str, ...], *, newer: bool) -> Json:
    """The Patient after a message. Identifiers add up; everything else is the newest that was said."""
    if held is None:
        return {k: v for k, v in said.items() if k not in cleared}
    if not newer:
        more = {k: v for k, v in said.items() if k not in held and k not in _NEVER_FILLED}
        return {**more, **held, "identifier": _together(held, said)}
    kept = {k: v for k, v in held.items() if k not in cleared}
    if "deceasedBoolean" in said or "deceasedDateTime" in said:
        kept = {k: v for k, v in kept.items() if k not in _NEVER_FILLED}
    if "birthDate" in said and "_birthDate" not in said:
        kept.pop("_birthDate", None)
    said = {k: v for k, v in said.items() if k not in cleared}
    return {**kept, **said, "id": held["id"], "identifier": _together(held, said)}


def _together(held: Json, said: Json) -> list[Json]:
    rows = [*held.get("identifier", ()), *said.get("identifier", ())]
    seen: dict[tuple[Any, Any], Json] = {}
    for row in rows:
        seen[(row.get("system"), row.get("value"))] = row
    return list(seen.values())


def merge_resource(held: Json | None, said: Json, *, newer: bool) -> Json | None:
    """The resource after a message, None when what is known stays.

    A visit is told in pieces: a message that says nothing of its status or beginning leaves them as they are."""
    if held is None:
        return said
    if not newer:
        return None
    if said["resourceType"] != "Encounter":
        return said
    merged = {**held, **said}
    if said["status"] == "unknown":
        merged["status"] = held["status"]
        merged["period"] = {**held.get("period", {}), **said.get("period", {})}
    else:
        start = {"start": held["period"]["start"]} if held.get("period", {}).get("start") else {}
        merged["period"] = {**start, **said.get("period", {})}
    if not merged["period"]:
        del merged["period"]
    return merged


def point_to(resource: Json, old: str, new: str) -> Json:
    """The resource with every reference to Patient/`old` made one to Patient/`new`."""
    wanted, other = f"Patient/{old}", f"Patient/{new}"
    copy: Json = _copied(resource)
    for node in _nodes(copy):
        if node.get("reference") == wanted:
            node["reference"] = other
    return copy


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _nodes(value: Any) -> Iterator[Json]:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)

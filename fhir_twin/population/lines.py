"""The lines of one patient -> resources; what is about another server's patient of the same id is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_twin.errors import Conflict, TwinError
from fhir_twin.fhir.parse import parse_json

Resource = dict[str, Any]
_ABOUT = ("subject", "patient", "for")


def resources_of(lines: Iterable[bytes]) -> tuple[list[Resource], int]:
    """The lines as resources; how many could not be read whole although their head could."""
    found, bad = [], 0
    for line in lines:
        try:
            value = parse_json(line, what="line")
        except TwinError:
            bad += 1
            continue
        if isinstance(value, dict):
            found.append(value)
    return found, bad


def own_resources(resources: Sequence[Resource], base: str = "") -> tuple[list[Resource], int]:
    """Those about the patient of this server (`base`, "" = not known), and how many others there were.

    References that are all relative, or all name one server (a server behind another name), are about ours. Where
    several servers are named those of `base` and the relative ones are. Raises Conflict when that does not tell: to
    leave out our allergies would be as wrong as to take in a stranger's."""
    ours = base.rstrip("/")
    bases = [_base(r) for r in resources]
    named = {b for b in bases if b}
    relative = any(
        not b and r.get("resourceType") != "Patient" for r, b in zip(resources, bases, strict=True)
    )
    if (len(named) > 1 or (ours and named and relative)) and ours not in named:
        raise Conflict("lines of several servers use this patient's id")
    if len(named) < 2:
        return list(resources), 0
    own = [r for r, b in zip(resources, bases, strict=True) if b in ("", ours)]
    return own, len(resources) - len(own)


def _base(resource: Resource) -> str:
    """The server that an absolute reference to the patient names, "" for any other reference."""
    for name in _ABOUT:
        target = resource.get(name)
        text = target.get("reference") if isinstance(target, dict) else None
        if isinstance(text, str) and text.startswith(("http://", "https://")):
            return text.partition("/_history/")[0].rsplit("/Patient/", 1)[0].rstrip("/")
    return ""


__all__ = ["Resource", "own_resources", "resources_of"]

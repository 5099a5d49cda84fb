"""Whose resource is it? The client-side check after every search (RD-6, security.md 5.3 rows 40 and 41)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fhir_twin.transport.urls import ID, Base, local_reference

Resource = dict[str, Any]
_PLAIN = "Patient/"


def patient_of(resource: Resource, base: Base) -> str:
    """Id of the Patient that `resource` is about; "" when it names none that can be told (missing, logical,
    contained, a Group, another server's)."""
    for element in ("subject", "patient"):
        value = resource.get(element)
        reference = value.get("reference") if isinstance(value, dict) else None
        if isinstance(reference, str):
            return _patient_id(reference, base)
    return ""


def belongs_to(resource: Resource, base: Base, patients: frozenset[str]) -> str:
    """ "" when it is about one of `patients`, "other" when about another one, "unknown" when that cannot be told."""
    who = patient_of(resource, base)
    if who in patients:
        return ""
    return "other" if who else "unknown"


def _patient_id(reference: str, base: Base) -> str:
    if reference.startswith(_PLAIN) and ID.match(reference, len(_PLAIN)):
        return reference[len(_PLAIN) :]  # nearly all are; the rest is looked at closely
    local = local_reference(base, reference)
    if local is None and base.path and reference.startswith(("http://", "https://")):
        # Behind a proxy a server may name itself by its inner host: the same path under another host.
        path = urlsplit(reference).path
        local = local_reference(base, path[len(base.path) + 1 :]) if base.covers(path) else None
    return local[1] if local is not None and local[0] == "Patient" else ""

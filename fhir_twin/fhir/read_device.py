"""What measured: the device of an Observation as one concept, its type and its names as words."""

from __future__ import annotations

from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.bundle import Resource
from fhir_twin.fhir.context import Context
from fhir_twin.model.codes import Concept

_MOST = 8  # names of one device that are read


def read_device(given: k.Observation, raw: Resource, context: Context) -> Concept | None:
    """Codings of Device.type; text: type, deviceName, modelNumber and the reference's display. None without one."""
    if given.device is None:
        return None
    kind = context.concept_of(given.device, raw, "type")
    found = context.resource_of(given.device, raw) or {}
    words = [kind.text, given.device.display, *_names(found), found.get("modelNumber")]
    text = " ".join(dict.fromkeys(w.strip() for w in words if isinstance(w, str) and w.strip()))
    return Concept(kind.codings, text) if text or kind.codings else None


def _names(device: Resource) -> list[object]:
    names = device.get("deviceName")
    return [n.get("name") for n in names[:_MOST] if isinstance(n, dict)] if isinstance(names, list) else []

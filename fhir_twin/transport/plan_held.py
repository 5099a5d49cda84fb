"""What a server holds of ours for one patient, found by our identifiers."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_twin.errors import Forbidden, InvalidInput, NotSupported
from fhir_twin.fhir.identity import KIND_OF_TYPE, identity_of, parse_source
from fhir_twin.fhir.systems import identifier_system
from fhir_twin.transport.protocols import Capability, FhirServer, Resource


class HeldReader:
    """Reads past the server's search cache (HP-7). `closed` collects types that we are not allowed to search."""

    def __init__(self, server: FhirServer, capability: Capability) -> None:
        self._server = server
        self._capability = capability
        self._by_patient_only: set[str] = set()
        self.closed: set[str] = set()

    def read(self, patient: str, types: Iterable[str], device: str = "") -> list[Resource]:
        """All of ours of `types`, for `patient`. device: the value of the Device identifier to look up."""
        found: list[Resource] = []
        for type_ in types:
            if type_ == "Device":
                found += self._device(device) if device else []
            elif type_ not in self.closed and type_ != "Provenance":
                found += self._of_type(type_, patient)
        return found

    def _device(self, value: str) -> list[Resource]:
        system = identifier_system(self._server.base, "device")
        try:
            matches = self._server.search("Device", {"identifier": f"{system}|{value}"})
        except (Forbidden, NotSupported):  # outside the Patient compartment: a patient's token may not
            self.closed.add("Device")
            return []
        return [r for r in matches if (i := identity_of(r)) is not None and i.value == value]

    def _of_type(self, type_: str, patient: str) -> list[Resource]:
        system = identifier_system(self._server.base, KIND_OF_TYPE[type_])
        try:
            matches = self._search(type_, patient, system)
        except (Forbidden, NotSupported):
            self.closed.add(type_)
            return []
        return [r for r in matches if _is_ours(r, system, patient)]

    def _search(self, type_: str, patient: str, system: str) -> list[Resource]:
        name = "patient" if self._capability.has_search_param(type_, "patient") else "subject"
        who = {name: f"Patient/{patient}"}
        if type_ not in self._by_patient_only and self._capability.has_search_param(type_, "identifier"):
            try:
                return self._server.search(type_, {**who, "identifier": f"{system}|"})
            except InvalidInput:
                # Not every server knows "system|" (any code of a system); then all of the patient's, filtered here.
                self._by_patient_only.add(type_)
        return self._server.search(type_, who)


def _is_ours(resource: Resource, system: str, patient: str) -> bool:
    """The server's answer is not trusted: right system, right patient (RD-6)."""
    identity = identity_of(resource)
    if identity is None or identity.system != system:
        return False
    subject = resource.get("subject") or resource.get("patient") or {}
    parsed = parse_source(str(subject.get("reference", "")))
    return parsed is not None and parsed.type == "Patient" and parsed.id == patient

"""What every writer of one resource needs to know, and the parts that all written resources share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fhir_twin import __version__
from fhir_twin.fhir.identity import Identity, identity, patient_id
from fhir_twin.fhir.systems import HOME, SOFTWARE_TAG, TAGS, V3_OBSERVATION_VALUE
from fhir_twin.fhir.write_elements import compact, instant, reference

Json = dict[str, Any]

PLAN_DEFINITION = f"{HOME}/PlanDefinition/prevention"
CODES = f"{HOME}/CodeSystem"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a site may set about the output.

    label: v3-ObservationValue code put into meta.security: AIAST, or DEVAST for servers whose copy of the code
    system is R4's own and strict (AI-1). profiles: (type, canonical) claims; only what that server really validates
    (CP-20). organization: name of who answers for this installation (Provenance onBehalfOf, PV-2).
    instantiates: canonical|version of the PlanDefinition that was applied, "" for none."""

    label: str = "AIAST"
    profiles: tuple[tuple[str, str], ...] = ()
    organization: str = "The organisation that operates fhir-twin"
    instantiates: str = ""
    software_version: str = __version__


@dataclass(frozen=True, slots=True)
class Context:
    """One plan's writing: server base, patient, time, Device."""

    base: str
    patient: str
    as_of: datetime
    model_version: str
    options: WriteOptions = field(default_factory=WriteOptions)
    subject_source: str = ""

    def identity(self, type_: str, item: str) -> Identity:
        return identity(
            self.base, "" if type_ == "Device" else self.patient or self.subject_source, type_, item
        )

    @property
    def subject(self) -> Json:
        """Reference to the patient: relative, unversioned; an identifier when no server knows the patient."""
        if self.patient:
            return {"reference": f"Patient/{self.patient}"}
        return reference(self.subject_source)

    @property
    def device(self) -> Identity:
        return self.identity("Device", f"{self.options.software_version}/{self.model_version}")

    @property
    def when(self) -> str:
        return instant(self.as_of)

    def start(self, type_: str, item: str) -> Json:
        """resourceType, meta and identifier of a new resource (CP-21: label and own tag)."""
        meta = {
            "profile": [canonical for name, canonical in self.options.profiles if name == type_],
            "security": [security_label(self.options.label)],
            "tag": [{"system": TAGS, "code": SOFTWARE_TAG, "display": "Written by fhir-twin"}],
        }
        return {
            "resourceType": type_,
            "meta": compact(meta),
            "identifier": [self.identity(type_, item).as_json()],
        }


def context_of(
    subject: str, as_of: datetime, model_version: str, base: str, options: WriteOptions
) -> Context:
    return Context(base.rstrip("/"), patient_id(subject), as_of, model_version, options, subject)


def security_label(label: str) -> Json:
    display = {
        "AIAST": "Artificial Intelligence asserted",
        "DEVAST": "device asserted",
    }.get(label, "")
    return compact({"system": V3_OBSERVATION_VALUE, "code": label, "display": display})


def refer(target: Identity, display: str = "") -> Json:
    """Reference to a resource of ours: its urn inside the transaction, and its identifier for ever after."""
    named = {"system": target.system, "value": target.value}
    return compact({"reference": target.urn, "identifier": named, "display": display})

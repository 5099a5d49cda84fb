"""The lean structs of the hot path: what a row needs of each type, and nothing more. See read_lines.py."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import msgspec


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class Coding(Part, frozen=True, gc=False, rename="camel"):
    system: str | None = None
    code: str | None = None


class Concept(Part, frozen=True, gc=False, rename="camel"):
    coding: tuple[Coding, ...] = ()


class Reference(Part, frozen=True, gc=False, rename="camel"):
    reference: str | None = None


class Identifier(Part, frozen=True, gc=False, rename="camel"):
    system: str | None = None


class Meta(Part, frozen=True, gc=False, rename="camel"):
    tag: tuple[Coding, ...] = ()


class Quantity(Part, frozen=True, gc=False, rename="camel"):
    value: Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class Component(Part, frozen=True, gc=False, rename="camel"):
    code: Concept | None = None
    value_quantity: Quantity | None = None
    modifier_extension: tuple[Part, ...] = ()


class Period(Part, frozen=True, gc=False, rename="camel"):
    start: str | None = None


class Resource(Part, frozen=True, gc=False, rename="camel", tag_field="resourceType"):
    """Every type has the same attributes, each read from the JSON key that the type calls it by: `concept`,
    `about`, `status`, `time`, and `other_time` where `time` is missing."""

    kind: ClassVar[str] = ""
    id: str | None = None
    meta: Meta | None = None
    identifier: tuple[Identifier, ...] = ()
    implicit_rules: str | None = None
    modifier_extension: tuple[Part, ...] = ()
    status: str | None = None
    concept: Concept | None = msgspec.field(default=None, name="code")
    about: Reference | None = msgspec.field(default=None, name="subject")
    time: str | None = msgspec.field(default=None, name="effectiveDateTime")
    other_time: str | None = msgspec.field(default=None, name="issued")


class Observation(Resource, frozen=True, gc=False, rename="camel", tag="Observation"):
    kind: ClassVar[str] = "Observation"
    value_quantity: Quantity | None = None
    component: tuple[Component, ...] = ()


class DiagnosticReport(Resource, frozen=True, gc=False, rename="camel", tag="DiagnosticReport"):
    kind: ClassVar[str] = "DiagnosticReport"


class Patient(Resource, frozen=True, gc=False, rename="camel", tag="Patient"):
    kind: ClassVar[str] = "Patient"
    time: str | None = msgspec.field(default=None, name="birthDate")


class Condition(Resource, frozen=True, gc=False, rename="camel", tag="Condition"):
    """`state` and `certainty` are what Condition has instead of a status."""

    kind: ClassVar[str] = "Condition"
    time: str | None = msgspec.field(default=None, name="onsetDateTime")
    other_time: str | None = msgspec.field(default=None, name="recordedDate")
    state: Concept | None = msgspec.field(default=None, name="clinicalStatus")
    certainty: Concept | None = msgspec.field(default=None, name="verificationStatus")


class AllergyIntolerance(Condition, frozen=True, gc=False, rename="camel", tag="AllergyIntolerance"):
    kind: ClassVar[str] = "AllergyIntolerance"
    about: Reference | None = msgspec.field(default=None, name="patient")


class MedicationRequest(Resource, frozen=True, gc=False, rename="camel", tag="MedicationRequest"):
    kind: ClassVar[str] = "MedicationRequest"
    concept: Concept | None = msgspec.field(default=None, name="medicationCodeableConcept")
    time: str | None = msgspec.field(default=None, name="authoredOn")


class MedicationStatement(Resource, frozen=True, gc=False, rename="camel", tag="MedicationStatement"):
    kind: ClassVar[str] = "MedicationStatement"
    concept: Concept | None = msgspec.field(default=None, name="medicationCodeableConcept")
    other_time: str | None = msgspec.field(default=None, name="dateAsserted")


class Procedure(Resource, frozen=True, gc=False, rename="camel", tag="Procedure"):
    kind: ClassVar[str] = "Procedure"
    time: str | None = msgspec.field(default=None, name="performedDateTime")


class Immunization(Resource, frozen=True, gc=False, rename="camel", tag="Immunization"):
    kind: ClassVar[str] = "Immunization"
    concept: Concept | None = msgspec.field(default=None, name="vaccineCode")
    about: Reference | None = msgspec.field(default=None, name="patient")
    time: str | None = msgspec.field(default=None, name="occurrenceDateTime")


class FamilyMemberHistory(Resource, frozen=True, gc=False, rename="camel", tag="FamilyMemberHistory"):
    kind: ClassVar[str] = "FamilyMemberHistory"
    concept: Concept | None = msgspec.field(default=None, name="relationship")
    about: Reference | None = msgspec.field(default=None, name="patient")
    time: str | None = msgspec.field(default=None, name="date")


class Goal(Resource, frozen=True, gc=False, rename="camel", tag="Goal"):
    kind: ClassVar[str] = "Goal"
    status: str | None = msgspec.field(default=None, name="lifecycleStatus")
    concept: Concept | None = msgspec.field(default=None, name="description")
    time: str | None = msgspec.field(default=None, name="startDate")


class Consent(Resource, frozen=True, gc=False, rename="camel", tag="Consent"):
    kind: ClassVar[str] = "Consent"
    concept: Concept | None = msgspec.field(default=None, name="scope")
    about: Reference | None = msgspec.field(default=None, name="patient")
    time: str | None = msgspec.field(default=None, name="dateTime")


class Encounter(Resource, frozen=True, gc=False, rename="camel", tag="Encounter"):
    kind: ClassVar[str] = "Encounter"
    period: Period | None = None


class ServiceRequest(Resource, frozen=True, gc=False, rename="camel", tag="ServiceRequest"):
    kind: ClassVar[str] = "ServiceRequest"
    time: str | None = msgspec.field(default=None, name="authoredOn")


AnyRow = (
    Observation
    | DiagnosticReport
    | Patient
    | Condition
    | AllergyIntolerance
    | MedicationRequest
    | MedicationStatement
    | Procedure
    | Immunization
    | FamilyMemberHistory
    | Goal
    | Consent
    | Encounter
    | ServiceRequest
)
ROW_TYPES = frozenset(each.__name__ for each in AnyRow.__args__)

"""Typed structs: Patient, Observation, Condition, allergy, family history, events. See structs.py."""

from __future__ import annotations

import msgspec

from fhir_twin.fhir.structs import (
    Annotation,
    CodeableConcept,
    Coding,
    Element,
    Extension,
    Period,
    Primitive,
    Quantity,
    Range,
    Ratio,
    Reference,
    Resource,
    Timing,
)

# Some servers still send the plain string of older FHIR where R4 has a CodeableConcept.
Status = CodeableConcept | str | None


class HumanName(Element, frozen=True, gc=False, rename="camel"):
    use: str | None = None
    text: str | None = None
    family: str | None = None
    given: tuple[str | None, ...] = ()
    prefix: tuple[str | None, ...] = ()


class Communication(Element, frozen=True, gc=False, rename="camel"):
    language: CodeableConcept | None = None
    preferred: bool | None = None


class PatientLink(Element, frozen=True, gc=False, rename="camel"):
    other: Reference | None = None
    type: str | None = None


class Patient(Resource, frozen=True, gc=False, rename="camel", tag="Patient"):
    name: tuple[HumanName, ...] = ()
    gender: str | None = None
    birth_date: str | None = None
    birth_date_: Primitive | None = msgspec.field(default=None, name="_birthDate")
    deceased_boolean: bool | None = None
    deceased_date_time: str | None = None
    communication: tuple[Communication, ...] = ()
    language: str | None = None
    link: tuple[PatientLink, ...] = ()
    extension: tuple[Extension, ...] = ()


class ReferenceRange(Element, frozen=True, gc=False, rename="camel"):
    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None


class Value(Element, frozen=True, gc=False, rename="camel"):
    """The value[x] that Observation and Observation.component share."""

    code: CodeableConcept | None = None
    value_quantity: Quantity | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_integer: int | None = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_sampled_data: dict[str, object] | None = None
    value_time: str | None = None
    value_date_time: str | None = None
    value_period: Period | None = None
    value_string_: Primitive | None = msgspec.field(default=None, name="_valueString")
    data_absent_reason: CodeableConcept | None = None
    interpretation: tuple[CodeableConcept, ...] = ()
    reference_range: tuple[ReferenceRange, ...] = ()
    modifier_extension: tuple[Extension, ...] = ()


class Observation(Resource, frozen=True, gc=False, rename="camel", tag="Observation"):
    status: str | None = None
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept | None = None
    subject: Reference | None = None
    focus: tuple[Reference, ...] = ()
    encounter: Reference | None = None
    effective_date_time: str | None = None
    effective_instant: str | None = None
    effective_period: Period | None = None
    effective_timing: Timing | None = None
    issued: str | None = None
    performer: tuple[Reference, ...] = ()
    value_quantity: Quantity | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_string: str | None = None
    value_boolean: bool | None = None
    value_integer: int | None = None
    value_range: Range | None = None
    value_ratio: Ratio | None = None
    value_sampled_data: dict[str, object] | None = None
    value_time: str | None = None
    value_date_time: str | None = None
    value_period: Period | None = None
    value_string_: Primitive | None = msgspec.field(default=None, name="_valueString")
    data_absent_reason: CodeableConcept | None = None
    interpretation: tuple[CodeableConcept, ...] = ()
    note: tuple[Annotation, ...] = ()
    body_site: CodeableConcept | None = None
    method: CodeableConcept | None = None
    specimen: Reference | None = None
    device: Reference | None = None
    reference_range: tuple[ReferenceRange, ...] = ()
    has_member: tuple[Reference, ...] = ()
    derived_from: tuple[Reference, ...] = ()
    component: tuple[Value, ...] = ()


class Stage(Element, frozen=True, gc=False, rename="camel"):
    summary: CodeableConcept | None = None


class Condition(Resource, frozen=True, gc=False, rename="camel", tag="Condition"):
    clinical_status: Status = None
    verification_status: Status = None
    category: tuple[CodeableConcept, ...] = ()
    severity: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    onset_date_time: str | None = None
    onset_age: Quantity | None = None
    onset_period: Period | None = None
    onset_range: Range | None = None
    onset_string: str | None = None
    abatement_date_time: str | None = None
    abatement_age: Quantity | None = None
    abatement_period: Period | None = None
    abatement_range: Range | None = None
    abatement_string: str | None = None
    recorded_date: str | None = None
    stage: tuple[Stage, ...] = ()
    note: tuple[Annotation, ...] = ()


class Reaction(Element, frozen=True, gc=False, rename="camel"):
    substance: CodeableConcept | None = None
    manifestation: tuple[CodeableConcept, ...] = ()
    severity: str | None = None
    description: str | None = None


class AllergyIntolerance(Resource, frozen=True, gc=False, rename="camel", tag="AllergyIntolerance"):
    clinical_status: Status = None
    verification_status: Status = None
    type: str | None = None
    category: tuple[str, ...] = ()
    criticality: str | None = None
    code: CodeableConcept | None = None
    patient: Reference | None = None
    onset_date_time: str | None = None
    recorded_date: str | None = None
    reaction: tuple[Reaction, ...] = ()


class FamilyMemberCondition(Element, frozen=True, gc=False, rename="camel"):
    code: CodeableConcept | None = None
    contributed_to_death: bool | None = None
    onset_age: Quantity | None = None
    onset_range: Range | None = None
    onset_string: str | None = None
    modifier_extension: tuple[Extension, ...] = ()


class FamilyMemberHistory(Resource, frozen=True, gc=False, rename="camel", tag="FamilyMemberHistory"):
    status: str | None = None
    patient: Reference | None = None
    date: str | None = None
    relationship: CodeableConcept | None = None
    sex: CodeableConcept | None = None
    deceased_boolean: bool | None = None
    deceased_age: Quantity | None = None
    deceased_range: Range | None = None
    deceased_date: str | None = None
    deceased_string: str | None = None
    condition: tuple[FamilyMemberCondition, ...] = ()


class Encounter(Resource, frozen=True, gc=False, rename="camel", tag="Encounter"):
    status: str | None = None
    class_: Coding | None = msgspec.field(default=None, name="class")
    type: tuple[CodeableConcept, ...] = ()
    reason_code: tuple[CodeableConcept, ...] = ()
    subject: Reference | None = None
    period: Period | None = None

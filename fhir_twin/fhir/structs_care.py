"""Typed structs: medications, goals, plans, orders, reports, consents. See structs.py."""

from __future__ import annotations

from fhir_twin.fhir.structs import (
    Annotation,
    CodeableConcept,
    Coding,
    DosageInstruction,
    Element,
    Extension,
    Period,
    Quantity,
    Range,
    Ratio,
    Reference,
    Resource,
    Timing,
)


class Ingredient(Element, frozen=True, gc=False, rename="camel"):
    item_codeable_concept: CodeableConcept | None = None
    item_reference: Reference | None = None


class Medication(Resource, frozen=True, gc=False, rename="camel", tag="Medication"):
    status: str | None = None
    code: CodeableConcept | None = None
    ingredient: tuple[Ingredient, ...] = ()


class DispenseRequest(Element, frozen=True, gc=False, rename="camel"):
    validity_period: Period | None = None


class MedicationRequest(Resource, frozen=True, gc=False, rename="camel", tag="MedicationRequest"):
    status: str | None = None
    intent: str | None = None
    do_not_perform: bool | None = None
    reported_boolean: bool | None = None
    reported_reference: Reference | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None
    authored_on: str | None = None
    requester: Reference | None = None
    reason_code: tuple[CodeableConcept, ...] = ()
    reason_reference: tuple[Reference, ...] = ()
    dosage_instruction: tuple[DosageInstruction, ...] = ()
    dispense_request: DispenseRequest | None = None
    status_reason: CodeableConcept | None = None
    note: tuple[Annotation, ...] = ()


class MedicationStatement(Resource, frozen=True, gc=False, rename="camel", tag="MedicationStatement"):
    status: str | None = None
    based_on: tuple[Reference, ...] = ()
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    date_asserted: str | None = None
    information_source: Reference | None = None
    derived_from: tuple[Reference, ...] = ()
    reason_code: tuple[CodeableConcept, ...] = ()
    reason_reference: tuple[Reference, ...] = ()
    dosage: tuple[DosageInstruction, ...] = ()
    status_reason: tuple[CodeableConcept, ...] = ()
    note: tuple[Annotation, ...] = ()


class MedicationDispense(Resource, frozen=True, gc=False, rename="camel", tag="MedicationDispense"):
    status: str | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None
    authorizing_prescription: tuple[Reference, ...] = ()
    days_supply: Quantity | None = None
    when_prepared: str | None = None
    when_handed_over: str | None = None
    dosage_instruction: tuple[DosageInstruction, ...] = ()


class AdministeredDose(Element, frozen=True, gc=False, rename="camel"):
    text: str | None = None
    route: CodeableConcept | None = None
    dose: Quantity | None = None


class MedicationAdministration(
    Resource, frozen=True, gc=False, rename="camel", tag="MedicationAdministration"
):
    status: str | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    request: Reference | None = None
    dosage: AdministeredDose | None = None


class Target(Element, frozen=True, gc=False, rename="camel"):
    measure: CodeableConcept | None = None
    detail_quantity: Quantity | None = None
    detail_range: Range | None = None
    detail_integer: int | None = None
    detail_ratio: Ratio | None = None
    due_date: str | None = None


class Goal(Resource, frozen=True, gc=False, rename="camel", tag="Goal"):
    lifecycle_status: str | None = None
    priority: CodeableConcept | None = None
    description: CodeableConcept | None = None
    subject: Reference | None = None
    start_date: str | None = None
    status_date: str | None = None
    target: tuple[Target, ...] = ()


class Procedure(Resource, frozen=True, gc=False, rename="camel", tag="Procedure"):
    status: str | None = None
    category: CodeableConcept | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    performed_date_time: str | None = None
    performed_period: Period | None = None
    performed_string: str | None = None
    outcome: CodeableConcept | None = None
    note: tuple[Annotation, ...] = ()


class Immunization(Resource, frozen=True, gc=False, rename="camel", tag="Immunization"):
    status: str | None = None
    vaccine_code: CodeableConcept | None = None
    patient: Reference | None = None
    occurrence_date_time: str | None = None
    occurrence_string: str | None = None


class DiagnosticReport(Resource, frozen=True, gc=False, rename="camel", tag="DiagnosticReport"):
    status: str | None = None
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept | None = None
    subject: Reference | None = None
    effective_date_time: str | None = None
    effective_period: Period | None = None
    issued: str | None = None
    result: tuple[Reference, ...] = ()
    conclusion: str | None = None
    conclusion_code: tuple[CodeableConcept, ...] = ()


class ServiceRequest(Resource, frozen=True, gc=False, rename="camel", tag="ServiceRequest"):
    status: str | None = None
    intent: str | None = None
    category: tuple[CodeableConcept, ...] = ()
    do_not_perform: bool | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    occurrence_date_time: str | None = None
    occurrence_period: Period | None = None
    occurrence_timing: Timing | None = None
    authored_on: str | None = None


class DocumentReference(Resource, frozen=True, gc=False, rename="camel", tag="DocumentReference"):
    status: str | None = None
    doc_status: str | None = None
    type: CodeableConcept | None = None
    category: tuple[CodeableConcept, ...] = ()
    subject: Reference | None = None
    date: str | None = None
    description: str | None = None


class CarePlan(Resource, frozen=True, gc=False, rename="camel", tag="CarePlan"):
    status: str | None = None
    intent: str | None = None
    category: tuple[CodeableConcept, ...] = ()
    title: str | None = None
    description: str | None = None
    subject: Reference | None = None
    period: Period | None = None
    created: str | None = None


class ConsentActor(Element, frozen=True, gc=False, rename="camel"):
    reference: Reference | None = None


class Provision(Element, frozen=True, gc=False, rename="camel"):
    """Consent.provision. Axes that we do not evaluate are kept as "is there one"."""

    type: str | None = None
    period: Period | None = None
    actor: tuple[ConsentActor, ...] = ()
    action: tuple[CodeableConcept, ...] = ()
    security_label: tuple[Coding, ...] = ()
    purpose: tuple[Coding, ...] = ()
    class_: tuple[Coding, ...] = ()
    code: tuple[CodeableConcept, ...] = ()
    data_period: Period | None = None
    data: tuple[dict[str, object], ...] = ()
    provision: tuple[Provision, ...] = ()
    modifier_extension: tuple[Extension, ...] = ()


class Verification(Element, frozen=True, gc=False, rename="camel"):
    verified: bool | None = None


class Consent(Resource, frozen=True, gc=False, rename="camel", tag="Consent"):
    status: str | None = None
    scope: CodeableConcept | None = None
    category: tuple[CodeableConcept, ...] = ()
    patient: Reference | None = None
    date_time: str | None = None
    policy_rule: CodeableConcept | None = None
    verification: tuple[Verification, ...] = ()
    provision: Provision | None = None

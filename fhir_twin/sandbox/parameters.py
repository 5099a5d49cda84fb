"""The search parameters of the sandbox, as data: type -> name -> (kind, where).

`where` names the elements that R4's search parameter of that name looks at, several by `|`, steps by `.`; lists
are walked through. Only what is here is in the CapabilityStatement, and all of it works.
"""

from __future__ import annotations

from typing import Final

Parameter = tuple[str, str]

COMMON: Final[dict[str, Parameter]] = {
    "_id": ("token", "id"),
    "_lastUpdated": ("date", "meta.lastUpdated"),
    "_tag": ("token", "meta.tag"),
    "_security": ("token", "meta.security"),
    "_profile": ("uri", "meta.profile"),
    "identifier": ("token", "identifier"),
}
_SUBJECT: Final[dict[str, Parameter]] = {
    "patient": ("reference", "subject"),
    "subject": ("reference", "subject"),
}
_PATIENT: Final[dict[str, Parameter]] = {"patient": ("reference", "patient")}
_STATUS: Final[dict[str, Parameter]] = {"status": ("token", "status")}
_CODE: Final[dict[str, Parameter]] = {"code": ("token", "code")}
_CATEGORY: Final[dict[str, Parameter]] = {"category": ("token", "category")}
_ENCOUNTER: Final[dict[str, Parameter]] = {"encounter": ("reference", "encounter")}
_EFFECTIVE = "effectiveDateTime|effectivePeriod|effectiveInstant|effectiveTiming"

TYPES: Final[dict[str, dict[str, Parameter]]] = {
    "AllergyIntolerance": {
        **_PATIENT, **_CODE,
        "category": ("token", "category"),
        "clinical-status": ("token", "clinicalStatus"),
        "verification-status": ("token", "verificationStatus"),
        "date": ("date", "recordedDate"),
    },
    "AuditEvent": {"date": ("date", "recorded"), "entity": ("reference", "entity.what")},
    "CarePlan": {
        **_SUBJECT, **_STATUS, **_CATEGORY, **_ENCOUNTER,
        "intent": ("token", "intent"),
        "date": ("date", "period"),
        "goal": ("reference", "goal"),
        "condition": ("reference", "addresses"),
        "activity-reference": ("reference", "activity.reference"),
        "replaces": ("reference", "replaces"),
    },
    "CareTeam": {**_SUBJECT, **_STATUS, **_CATEGORY},
    "Claim": {**_PATIENT, **_STATUS},
    "Communication": {**_SUBJECT, **_STATUS, **_CATEGORY},
    "CommunicationRequest": {**_SUBJECT, **_STATUS, **_CATEGORY},
    "Condition": {
        **_SUBJECT, **_CODE, **_CATEGORY, **_ENCOUNTER,
        "clinical-status": ("token", "clinicalStatus"),
        "verification-status": ("token", "verificationStatus"),
        "onset-date": ("date", "onsetDateTime|onsetPeriod"),
        "abatement-date": ("date", "abatementDateTime|abatementPeriod"),
        "recorded-date": ("date", "recordedDate"),
    },
    "Consent": {
        **_PATIENT, **_STATUS, **_CATEGORY,
        "date": ("date", "dateTime"),
        "scope": ("token", "scope"),
    },
    "Coverage": {"beneficiary": ("reference", "beneficiary"), "patient": ("reference", "beneficiary"), **_STATUS},
    "DetectedIssue": {
        **_PATIENT, **_CODE,
        "implicated": ("reference", "implicated"),
        "author": ("reference", "author"),
        "identified": ("date", "identifiedDateTime|identifiedPeriod"),
    },
    "Device": {**_PATIENT, **_STATUS, "type": ("token", "type"), "device-name": ("string", "deviceName.name")},
    "DiagnosticReport": {
        **_SUBJECT, **_STATUS, **_CODE, **_CATEGORY, **_ENCOUNTER,
        "date": ("date", "effectiveDateTime|effectivePeriod"),
        "issued": ("date", "issued"),
        "result": ("reference", "result"),
    },
    "DocumentReference": {
        **_SUBJECT, **_STATUS, **_CATEGORY,
        "type": ("token", "type"),
        "date": ("date", "date"),
    },
    "Encounter": {
        **_SUBJECT, **_STATUS,
        "class": ("token", "class"),
        "type": ("token", "type"),
        "date": ("date", "period"),
    },
    "ExplanationOfBenefit": {**_PATIENT, **_STATUS},
    "FamilyMemberHistory": {
        **_PATIENT, **_STATUS,
        "code": ("token", "condition.code"),
        "relationship": ("token", "relationship"),
    },
    "Goal": {
        **_SUBJECT, **_CATEGORY,
        "lifecycle-status": ("token", "lifecycleStatus"),
        "achievement-status": ("token", "achievementStatus"),
        "target-date": ("date", "target.dueDate"),
        "start-date": ("date", "startDate"),
    },
    "GuidanceResponse": {**_SUBJECT, "request": ("token", "requestIdentifier")},
    "ImagingStudy": {**_SUBJECT, **_STATUS, "started": ("date", "started")},
    "Immunization": {
        **_PATIENT, **_STATUS,
        "date": ("date", "occurrenceDateTime"),
        "vaccine-code": ("token", "vaccineCode"),
    },
    "Location": {"name": ("string", "name|alias"), **_STATUS},
    "Media": {**_SUBJECT, **_STATUS},
    "Medication": {**_CODE, **_STATUS},
    "MedicationAdministration": {
        **_SUBJECT, **_STATUS,
        "code": ("token", "medicationCodeableConcept"),
        "medication": ("reference", "medicationReference"),
        "effective-time": ("date", "effectiveDateTime|effectivePeriod"),
    },
    "MedicationDispense": {
        **_SUBJECT, **_STATUS,
        "code": ("token", "medicationCodeableConcept"),
        "medication": ("reference", "medicationReference"),
    },
    "MedicationRequest": {
        **_SUBJECT, **_STATUS, **_ENCOUNTER,
        "intent": ("token", "intent"),
        "category": ("token", "category"),
        "code": ("token", "medicationCodeableConcept"),
        "medication": ("reference", "medicationReference"),
        "authoredon": ("date", "authoredOn"),
        "requester": ("reference", "requester"),
    },
    "MedicationStatement": {
        **_SUBJECT, **_STATUS, **_CATEGORY,
        "code": ("token", "medicationCodeableConcept"),
        "medication": ("reference", "medicationReference"),
        "effective": ("date", "effectiveDateTime|effectivePeriod"),
    },
    "NutritionOrder": {**_PATIENT, **_STATUS, **_ENCOUNTER, "datetime": ("date", "dateTime")},
    "Observation": {
        **_SUBJECT, **_STATUS, **_CODE, **_CATEGORY, **_ENCOUNTER,
        "date": ("date", _EFFECTIVE),
        "combo-code": ("token", "code|component.code"),
        "component-code": ("token", "component.code"),
        "value-concept": ("token", "valueCodeableConcept"),
        "has-member": ("reference", "hasMember"),
        "derived-from": ("reference", "derivedFrom"),
    },
    "Organization": {"name": ("string", "name|alias"), "active": ("token", "active")},
    "Patient": {
        "active": ("token", "active"),
        "name": ("string", "name.text|name.family|name.given"),
        "family": ("string", "name.family"),
        "given": ("string", "name.given"),
        "gender": ("token", "gender"),
        "birthdate": ("date", "birthDate"),
        "link": ("reference", "link.other"),
    },
    "Practitioner": {"name": ("string", "name.text|name.family|name.given"), "active": ("token", "active")},
    "PractitionerRole": {
        "practitioner": ("reference", "practitioner"),
        "organization": ("reference", "organization"),
    },
    "Procedure": {
        **_SUBJECT, **_STATUS, **_CODE, **_CATEGORY, **_ENCOUNTER,
        "date": ("date", "performedDateTime|performedPeriod"),
    },
    "Provenance": {
        "target": ("reference", "target"),
        "agent": ("reference", "agent.who"),
        "entity": ("reference", "entity.what"),
        "recorded": ("date", "recorded"),
    },
    "QuestionnaireResponse": {**_SUBJECT, **_STATUS, "authored": ("date", "authored")},
    "RelatedPerson": {**_PATIENT, "active": ("token", "active")},
    "RequestGroup": {**_SUBJECT, **_STATUS, "intent": ("token", "intent"), "authored": ("date", "authoredOn")},
    "RiskAssessment": {
        **_SUBJECT, **_ENCOUNTER,
        "condition": ("reference", "condition"),
        "method": ("token", "method"),
        "performer": ("reference", "performer"),
        "date": ("date", "occurrenceDateTime|occurrencePeriod"),
    },
    "ServiceRequest": {
        **_SUBJECT, **_STATUS, **_CODE, **_CATEGORY, **_ENCOUNTER,
        "intent": ("token", "intent"),
        "authored": ("date", "authoredOn"),
        "occurrence": ("date", "occurrenceDateTime|occurrencePeriod"),
    },
    "Specimen": {**_SUBJECT, **_STATUS, "type": ("token", "type")},
    "SupplyDelivery": {**_PATIENT, **_STATUS},
    "Task": {
        **_STATUS,
        "patient": ("reference", "for"),
        "subject": ("reference", "for"),
        "intent": ("token", "intent"),
        "code": ("token", "code"),
        "focus": ("reference", "focus"),
        "owner": ("reference", "owner"),
    },
}  # fmt: skip


def parameter(type_: str, name: str) -> Parameter | None:
    """The definition of `name` for `type_`, None when the sandbox does not have it."""
    return TYPES[type_].get(name) or COMMON.get(name)


def reference_parameters(type_: str) -> tuple[str, ...]:
    """Names that _include and _revinclude may use."""
    return tuple(sorted(n for n, (kind, _) in TYPES[type_].items() if kind == "reference"))

"""The URIs that FHIR JSON carries: standard code systems, and our own tags and identifier systems.

Terminologies that other rooms need too (LOINC, SNOMED CT, RxNorm ...) live in `fhir_twin.model.codes`.
"""

from __future__ import annotations

import re

# --- our own ---------------------------------------------------------------------------------------
HOME = "https://fhir-twin.org/fhir"
TAGS = f"{HOME}/tags"
SOFTWARE_TAG = "fhir-twin"

# Every identifier that we write has the system "<base>/ids/fhir-twin-<kind>" (ID-1); the fixed middle part
# lets a reader know our output again (CP-4) whatever base it was written for.
IDENTIFIER_KINDS = (
    "care-plan",
    "content",
    "device",
    "document",
    "finding",
    "goal",
    "medication-request",
    "nutrition-order",
    "organization",
    "provenance",
    "request-group",
    "risk",
    "service-request",
    "communication-request",
    "guidance",
    "item",
    "task",
)
_OWN_IDENTIFIER = re.compile(r"(?:^|/)ids/fhir-twin-[a-z][a-z-]*$")


def identifier_system(base: str, kind: str) -> str:
    """The identifier system of what we write for the FHIR server at `base` (no trailing slash needed).

    Raises ValueError on a kind that is not in IDENTIFIER_KINDS."""
    if kind not in IDENTIFIER_KINDS:
        raise ValueError(f"unknown identifier kind {kind!r}")
    return f"{base.rstrip('/')}/ids/fhir-twin-{kind}"


def is_own_identifier_system(system: str) -> bool:
    """True for any system that `identifier_system` can give."""
    return _OWN_IDENTIFIER.search(system) is not None


# --- HL7 terminology -------------------------------------------------------------------------------
_THO = "http://terminology.hl7.org/CodeSystem"
V3_OBSERVATION_VALUE = f"{_THO}/v3-ObservationValue"
V3_CONFIDENTIALITY = f"{_THO}/v3-Confidentiality"
V3_ACT_CODE = f"{_THO}/v3-ActCode"
V3_ACT_REASON = f"{_THO}/v3-ActReason"
V3_ROLE_CODE = f"{_THO}/v3-RoleCode"
V3_INTERPRETATION = f"{_THO}/v3-ObservationInterpretation"
V2_0074 = "http://terminology.hl7.org/CodeSystem/v2-0074"
OBSERVATION_CATEGORY = f"{_THO}/observation-category"
CONDITION_CLINICAL = f"{_THO}/condition-clinical"
CONDITION_VERIFICATION = f"{_THO}/condition-ver-status"
CONDITION_CATEGORY = f"{_THO}/condition-category"
ALLERGY_CLINICAL = f"{_THO}/allergyintolerance-clinical"
ALLERGY_VERIFICATION = f"{_THO}/allergyintolerance-verification"
CONSENT_SCOPE = f"{_THO}/consentscope"
DATA_ABSENT_REASON_CODES = f"{_THO}/data-absent-reason"
GOAL_PRIORITY = f"{_THO}/goal-priority"

# --- extensions ------------------------------------------------------------------------------------
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
US_CORE_RACE = f"{_US_CORE}/us-core-race"
US_CORE_ETHNICITY = f"{_US_CORE}/us-core-ethnicity"
US_CORE_BIRTHSEX = f"{_US_CORE}/us-core-birthsex"
US_CORE_TAGS = "http://hl7.org/fhir/us/core/CodeSystem/us-core-tags"
US_CORE_CAREPLAN_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"
PHARMVAR = "http://www.pharmvar.org"

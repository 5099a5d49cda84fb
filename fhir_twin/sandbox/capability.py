"""The CapabilityStatement: made from the tables that the sandbox runs on, so it says what is really done."""

from __future__ import annotations

from datetime import datetime

from fhir_twin import __version__
from fhir_twin.sandbox.parameters import COMMON, TYPES, reference_parameters
from fhir_twin.sandbox.store import Resource

NOTICE = "fhir-twin sandbox: synthetic data for demos and tests, kept in memory; not for production"
_FHIR_TYPES = {"token": "token", "reference": "reference", "date": "date", "string": "string", "uri": "uri"}
_INTERACTIONS = ("create", "read", "vread", "update", "delete", "history-instance", "search-type")
_DEFINITION = "http://hl7.org/fhir/OperationDefinition"


def capability_statement(base: str, started: datetime) -> Resource:
    """R4, kind instance (so with `implementation`, cpb-14)."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "fhir-twin sandbox", "version": __version__},
        "implementation": {"description": NOTICE, "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": NOTICE,
                "security": {"description": "none: loopback only"},
                "resource": [_type(name) for name in sorted(TYPES)],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }


def _type(name: str) -> Resource:
    params = {**COMMON, **TYPES[name]}
    references = reference_parameters(name)
    reverse = sorted(f"{t}:{p}" for t in TYPES for p in reference_parameters(t) if _may_point(t, p, name))
    operations = [{"name": "validate", "definition": f"{_DEFINITION}/Resource-validate"}]
    if name == "Patient":
        operations.append({"name": "everything", "definition": f"{_DEFINITION}/Patient-everything"})
    found: Resource = {
        "type": name,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": True,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "local", "enforced"],
        "searchParam": [{"name": p, "type": _FHIR_TYPES[params[p][0]]} for p in sorted(params)],
        "operation": operations,
    }
    if references:
        found["searchInclude"] = [f"{name}:{p}" for p in references]
    if reverse:
        found["searchRevInclude"] = reverse
    return found


def _may_point(type_: str, param: str, target: str) -> bool:
    """Parameters named for one type point there; the general ones anywhere."""
    if param in ("patient", "subject", "beneficiary"):
        return target == "Patient"
    if param == "encounter":
        return target == "Encounter"
    if param == "medication":
        return target == "Medication"
    return type_ == "Provenance" and param == "target"

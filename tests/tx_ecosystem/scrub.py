"""What HL7's own runner takes out of an answer before it compares it (TxTesterScrubbers of org.hl7.fhir.core).

Extensions that the tests say nothing about never fail a case; of a CapabilityStatement only the elements that the
template names are looked at (our services do more than terminology).
"""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]
_BASE = "http://hl7.org/fhir/StructureDefinition"
_TEST = "http://hl7.org/fhir/test"
_MANAGED = frozenset(
    (
        *(f"{_BASE}/{name}" for name in (
            "codesystem-alternate", "codesystem-conceptOrder", "codesystem-label", "coding-sctdescid", "itemWeight",
            "rendering-style", "rendering-xhtml", "translation", "valueset-concept-definition",
            "valueset-conceptOrder", "valueset-deprecated", "valueset-label", "valueset-supplement",
            "alternate-code-use", "alternate-code-status",
        )),
        *(f"{_TEST}/{name}" for name in (
            "CodeSystem/de-multi", "CodeSystem/en-multi", "StructureDefinition/unknown-extension-1",
            "StructureDefinition/unknown-extension-3", "StructureDefinition/unknown-extension-4",
            "StructureDefinition/unknown-extension-5", "ValueSet/extensions-bad-supplement", "ValueSet/simple-all",
            "ValueSet/simple-enumerated", "ValueSet/simple-filter-isa",
        )),
    )
)  # fmt: skip


def scrubbed(answer: Json, operation: str) -> Json:
    """A copy of the answer without what is not compared. Parameters are compared as they are."""
    if answer.get("resourceType") not in ("ValueSet", "OperationOutcome"):
        return answer
    found = copy.deepcopy(answer)
    _walk(found)
    return found


def _walk(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _walk(item)
        return
    if not isinstance(value, dict):
        return
    if "extension" in value:
        kept = [e for e in value["extension"] if "://" not in e.get("url", "") or e["url"] in _MANAGED]
        value["extension"] = kept
        if not kept:
            del value["extension"]
    for key, inner in value.items():
        if key not in ("compose", "extension"):
            _walk(inner)

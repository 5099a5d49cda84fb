"""What can be asked of the terminology operations: TerminologyCapabilities and the versions of FHIR served.

https://hl7.org/fhir/R4/terminologycapabilities.html; https://hl7.org/fhir/R4/capabilitystatement-operation-versions.html
"""

from __future__ import annotations

from typing import Any

from fhir_twin import __version__
from fhir_twin.web.capability_dates import RELEASED
from terminology.fhir import operations
from terminology.store import Terminology

Json = dict[str, Any]
VERSION = "4.0"


def versions() -> Json:
    """CapabilityStatement/$versions: the FHIR versions that this service speaks."""
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "version", "valueCode": VERSION}, {"name": "default", "valueCode": VERSION}],
    }


def terminology_capabilities(shelf: Terminology, base: str) -> Json:
    """What $expand, $lookup ... can be asked of (`/metadata?mode=terminology`)."""
    systems: dict[str, dict[str, None]] = {}
    for head in shelf.resources("CodeSystem"):
        url = str(head.get("url", ""))
        if shelf.versions("CodeSystem", url):
            systems.setdefault(url, {})[str(head.get("version") or "")] = None
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{base}/fhir/metadata?mode=terminology",
        "version": __version__,
        "name": "FhirTwinTerminology",
        "title": "Terminology of fhir-twin",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "implementation": {"description": "fhir-twin: imported terminology releases", "url": f"{base}/fhir"},
        "codeSystem": [
            {"uri": uri, "version": [{"code": v} for v in versions if v] or [{"isDefault": True}], "subsumption": True}
            for uri, versions in systems.items()
        ],
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": n} for n in sorted(operations.EXPAND | {"tx-resource", "system-version",
                          "check-system-version", "force-system-version", "useSupplement"} - {"context"})],
            "textFilter": "every word begins a word of a term",
        },
        "codeSearch": "all",
        "validateCode": {"translations": True},
        "translation": {"needsMap": True},
    }  # fmt: skip

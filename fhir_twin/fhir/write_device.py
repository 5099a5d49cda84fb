"""Device: this release of the software with its model (DV-1). One per release, not per patient."""

from __future__ import annotations

from typing import Any

from fhir_twin.fhir.write_context import Context
from fhir_twin.fhir.write_elements import clean, compact

Json = dict[str, Any]

AI_DEVICE_TYPE = "http://hl7.org/fhir/uv/aitransparency/CodeSystem/AIdeviceTypeCS"


def write_device(context: Context) -> Json:
    """Never has `patient`: that would say it is affixed to one."""
    options = context.options
    item = f"{options.software_version}/{context.model_version}"
    versions = [
        {"type": {"text": "software"}, "value": clean(options.software_version)},
        {"type": {"text": "model"}, "value": clean(context.model_version) or "not stated"},
    ]
    return compact(
        {
            **context.start("Device", item),
            "status": "active",
            "manufacturer": "fhir-twin project",
            "deviceName": [{"name": "fhir-twin", "type": "user-friendly-name"}],
            "modelNumber": clean(context.model_version),
            "type": {
                "coding": [
                    {
                        "system": AI_DEVICE_TYPE,
                        "code": "Artificial-Intelligence",
                        "display": "Artificial Intelligence",
                    }
                ],
                "text": "Clinical decision support software (patient digital twin)",
            },
            "version": versions,
            "note": [
                {
                    "text": "Writes drafts and proposals only. Every one of them needs a clinician's review; "
                    "nothing it writes is an order."
                }
            ],
        }
    )

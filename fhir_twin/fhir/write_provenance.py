"""Provenance: who wrote it, from what, on whose behalf (PV-1 to PV-4). It has no identifier in R4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_twin.fhir.identity import parse_source
from fhir_twin.fhir.systems import HOME, V3_OBSERVATION_VALUE
from fhir_twin.fhir.write_context import Context, refer, security_label
from fhir_twin.fhir.write_elements import compact, line, reference
from fhir_twin.model.plan import Plan

Json = dict[str, Any]

PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"


def write_provenance(plan: Plan, context: Context, targets: Sequence[Json]) -> Json:
    """For all `targets`; reconciling keeps only those that changed, and none when nothing did (PV-4)."""
    start = context.start("Device", "provenance")
    return compact(
        {
            "resourceType": "Provenance",
            "meta": {k: v for k, v in start["meta"].items() if k != "profile"},
            "target": list(targets),
            "occurredDateTime": context.when,
            "recorded": context.when,
            "reason": [{"coding": [security_label(context.options.label)]}]
            if context.options.label
            else [{"coding": [{"system": V3_OBSERVATION_VALUE, "code": "DEVAST"}]}],
            "activity": {"coding": [{"system": OPERATION, "code": "CREATE", "display": "create"}]},
            "agent": [_agent("author", "Author", context), _agent("assembler", "Assembler", context)],
            "entity": [*_inputs(plan), *_knowledge(plan)],
        }
    )


def revised(provenance: Json, previous: Sequence[str]) -> Json:
    """The same with an earlier plan named as what this one revises (ID-5). previous: "CarePlan/12"."""
    earlier = [{"role": "revision", "what": {"reference": p}} for p in previous]
    return {**provenance, "entity": [*provenance.get("entity", []), *earlier]}


def _agent(code: str, display: str, context: Context) -> Json:
    return {
        "type": {"coding": [{"system": PARTICIPANT, "code": code, "display": display}]},
        "who": refer(context.device, "fhir-twin"),
        # US Core provenance-1: software acts on behalf of an organisation.
        "onBehalfOf": {"display": line(context.options.organization)},
    }


def _inputs(plan: Plan) -> list[Json]:
    """The version stands in the label too: HAPI cuts it from references (HP-5)."""
    entities: dict[str, Json] = {}
    for source in plan.sources:
        parsed = parse_source(source)
        label = f"{parsed.reference} version {parsed.version}" if parsed and parsed.version else ""
        entities.setdefault(source, {"role": "source", "what": reference(source, label)})
    return list(entities.values())


def _knowledge(plan: Plan) -> list[Json]:
    """The knowledge and the model are what the plan was derived from (PV-3), and the releases that coded it."""
    facts = (("knowledge", plan.knowledge_version), ("model", plan.model_version))
    coded_by = [
        {
            "role": "derivation",
            "what": {
                "identifier": {"system": f"{HOME}/ids/terminology-release", "value": line(name)},
                "display": f"coded by {line(name)}",
            },
        }
        for name in plan.terminology
    ]
    return coded_by + [
        {
            "role": "derivation",
            "what": {
                "identifier": {"system": f"{HOME}/ids/{name}-version", "value": line(version)},
                "display": f"{name} version {line(version)}",
            },
        }
        for name, version in facts
        if line(version)
    ]

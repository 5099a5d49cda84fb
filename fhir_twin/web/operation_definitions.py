"""OperationDefinitions of our operations, served at their canonical addresses (FA-2, OP-6)."""

from __future__ import annotations

from typing import Any

from fhir_twin import __version__
from fhir_twin.fhir.systems import HOME
from fhir_twin.web.capability_dates import RELEASED

Json = dict[str, Any]


def _in(name: str, kind: str, text: str, high: str = "1", low: int = 0) -> Json:
    return {"name": name, "use": "in", "min": low, "max": high, "documentation": text, "type": kind}


def _out(name: str, kind: str, text: str, high: str = "1", low: int = 1) -> Json:
    return {"name": name, "use": "out", "min": low, "max": high, "documentation": text, "type": kind}


def _parts(use: str, name: str, text: str, high: str, *parts: Json, low: int = 0) -> Json:
    return {"name": name, "use": use, "min": low, "max": high, "documentation": text, "part": list(parts)}


_AS_OF = _in("asOf", "dateTime", "What is later is not looked at. Default: now. A date alone means its end.")
_NUMBERS = (
    _out("low", "Quantity", "Lower end of the 80 % interval."),
    _out("high", "Quantity", "Upper end of the 80 % interval."),
)
_TWIN_OUT = _parts(
    "out", "biomarker", "Current usual value of a biomarker.", "*",
    _out("name", "code", "Our key of the biomarker."),
    _out("value", "Quantity", "Estimate, in the unit of the model."),
    *_NUMBERS,
    _out("basis", "code", "personal (observed) or population (prior only)."),
    _out("observations", "integer", "How many values were used."),
    _out("last", "dateTime", "When the last of them was taken.", low=0),
)  # fmt: skip
_CHOICE = _parts(
    "in", "choice", "One intervention; several are taken together. None: continue as now.", "6",
    _in("intervention", "code", "Key of an intervention: id of an ActivityDefinition of ours.", low=1),
    _in("dose", "code", "Key of a dose. Default: the starting dose."),
    _in("delayYears", "decimal", "Years until it is started, 0 to 60."),
    _in("adherence", "decimal", "Share that is taken, 0 to 1. Default: the intervention's own."),
    _in("stop", "boolean", "What is taken now is stopped."),
    _in("fromDose", "code", "The dose that is taken already: only the difference counts."),
)  # fmt: skip
_RISK = _parts(
    "out", "risk", "Absolute risk of an event.", "*",
    _out("outcome", "code", "The event."),
    _out("horizonYears", "decimal", "Within how many years."),
    _out("probability", "decimal", "0 to 1."),
    _out("low", "decimal", "Lower end of the 80 % interval."),
    _out("high", "decimal", "Upper end of the 80 % interval."),
    _out("equation", "string", "Model and version."),
)  # fmt: skip
_SCENARIO = _parts(
    "out", "scenario", "Continue as now, then the what-if.", "2",
    _out("name", "string", "In words."),
    _RISK,
    _parts("out", "change", "Change of a risk against continuing as now.", "*",
           _out("outcome", "code", "The event."), _out("horizonYears", "decimal", "Within how many years."),
           _out("difference", "decimal", "Probability difference; negative is better."),
           _out("low", "decimal", "Lower end of the 80 % interval."),
           _out("high", "decimal", "Upper end of the 80 % interval.")),
    _parts("out", "biomarker", "Median course of a biomarker that is known of this patient, yearly.", "*",
           _out("name", "code", "Our key."),
           _parts("out", "point", "One moment.", "*", _out("years", "decimal", "From asOf."),
                  _out("value", "Quantity", "Median."), *_NUMBERS)),
)  # fmt: skip
_ISSUES = _out("outcome", "OperationOutcome", "What was found wrong or missing on the way.", low=0)

# name -> (title, what it does, writes?, parameters)
OPERATIONS: dict[str, tuple[str, str, bool, tuple[Json, ...]]] = {
    "twin": (
        "The patient's twin",
        "Reads the patient's record and estimates the current usual value of each biomarker, with its uncertainty.",
        False,
        (_AS_OF, _in("biomarker", "code", "Only these. Default: all.", "*"),
         _out("asOf", "dateTime", "Moment of the estimate."), _TWIN_OUT, _ISSUES),
    ),
    "simulate": (
        "What if",
        "Simulates the twin under the choices given, against continuing as now. No advice: safety rules are not asked, "
        "but what they have against a choice is told (safety).",
        False,
        (_AS_OF, _in("horizonYears", "decimal", "1 to 30. Default: 10."), _CHOICE,
         _out("asOf", "dateTime", "Moment from which time counts."), _SCENARIO,
         _out("safety", "string", "What a safety rule has against a choice.", "*", low=0), _ISSUES),
    ),
    "plan": (
        "A draft care plan",
        "Reads, twins, simulates and plans. The draft can be read at this face afterwards; it is written to the "
        "patient's server only when persist is true and the service may write.",
        True,
        (_AS_OF, _in("persist", "boolean", "Write the draft to the patient's server. Default: false."),
         _out("return", "Bundle", "The CarePlan and everything it refers to, as a collection.")),
    ),
}  # fmt: skip


def operation_id(name: str) -> str:
    """The id of an OperationDefinition: "patient-twin"."""
    return f"patient-{name}"


def operation_definitions() -> dict[str, Json]:
    """id -> OperationDefinition."""
    return {operation_id(name): _definition(name) for name in OPERATIONS}


def _definition(name: str) -> Json:
    title, text, writes, parameters = OPERATIONS[name]
    return {
        "resourceType": "OperationDefinition",
        "id": operation_id(name),
        "url": f"{HOME}/OperationDefinition/{operation_id(name)}",
        "version": __version__,
        "name": f"Patient{name.capitalize()}",
        "title": title,
        "status": "active",
        "kind": "operation",
        "date": RELEASED,
        "publisher": "fhir-twin",
        "description": text,
        "affectsState": writes,
        "code": name,
        "resource": ["Patient"],
        "system": False,
        "type": False,
        "instance": True,
        "parameter": list(parameters),
    }

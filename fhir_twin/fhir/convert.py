"""Raw JSON -> typed struct, leniently: one wrong element does not cost the resource (RD-7).

A wrong element that changes what the resource means (its status, code, subject ...) does: then it is not read.
msgspec names the path of the wrong type, never the value.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from fhir_twin.errors import Issue
from fhir_twin.fhir import structs as s
from fhir_twin.fhir import structs_care, structs_clinical
from fhir_twin.fhir.bundle import Resource

R = TypeVar("R", bound=s.Resource)

# Without these the rest must not be believed; several of them are modifier elements of R4.
_MEANING = """
    resourceType id implicitRules modifierExtension status lifecycleStatus intent doNotPerform code subject patient
    focus verificationStatus clinicalStatus medicationCodeableConcept medicationReference component relationship
    condition vaccineCode provision scope policyRule verification valueQuantity valueCodeableConcept valueString
    valueBoolean valueInteger valueRatio valueRange
"""
ESSENTIAL = frozenset(_MEANING.split())
MOST_REPAIRS = 5
_PATH = re.compile(r"at `\$\.([A-Za-z_]+)")


def _prepare() -> None:
    """Let msgspec learn every struct while the import lock is held: two threads that both meet a struct for the first
    time end the process with a segmentation fault (seen with msgspec 0.22 in `run --bundle`, 2 workers)."""
    for module in (s, structs_clinical, structs_care):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                msgspec.json.Decoder(kind)


_prepare()


def convert(raw: Resource, kind: type[R], source: str) -> tuple[R | None, list[Issue]]:
    """(the struct, issues); None when an essential element is of the wrong type."""
    issues: list[Issue] = []
    for _ in range(MOST_REPAIRS):
        try:
            return msgspec.convert(raw, kind), issues
        except RecursionError:
            issues.append(Issue("error", "structure", f"{kind.__name__} nested too deep: not read", source))
            return None, issues
        except msgspec.ValidationError as error:
            if "got `null`" in str(error) and (cleaned := _without_nulls(raw)) != raw:
                raw = cleaned  # FHIR JSON has no null; who sends one means "not given"
                continue
            found = _PATH.search(str(error))
            element = found[1] if found else ""
            if not element or element in ESSENTIAL or element not in raw:
                where = f"{source}.{element}" if element else source
                issues.append(
                    Issue(
                        "error",
                        "structure",
                        f"{kind.__name__} has an element of a wrong type: not read",
                        where,
                    )
                )
                return None, issues
            issues.append(
                Issue("warning", "structure", "element of a wrong type: left out", f"{source}.{element}")
            )
            raw = {key: value for key, value in raw.items() if key != element}
    issues.append(
        Issue("error", "structure", f"{kind.__name__} has too many wrong elements: not read", source)
    )
    return None, issues


def _without_nulls(value: Any) -> Any:
    """A copy without null members and items. Raises nothing: what is too deep stays as it is."""
    try:
        if isinstance(value, dict):
            return {key: _without_nulls(each) for key, each in value.items() if each is not None}
        if isinstance(value, list):
            return [_without_nulls(each) for each in value if each is not None]
    except RecursionError:
        return value
    return value

"""$batch-validate-code: many questions of $validate-code in one request, each with an answer of its own.

Not an operation of R4; HL7's terminology ecosystem defines it by its tests (`batch` suite of
https://github.com/HL7/fhir-tx-ecosystem-ig). Every `validation` is a Parameters resource; parameters beside them hold
for all of them (tx-resource, displayLanguage ...) where a validation does not say its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from terminology.fhir.given import MANY
from terminology.fhir.problem import TxError, invalid, outcome

Json = dict[str, Any]
MAX_VALIDATIONS = 1_000
_SUBJECT = frozenset(("code", "system", "coding", "codeableConcept", "display", "version", "systemVersion"))


def batch(validate: Callable[[list[Any]], Json], parameters: Iterable[Any]) -> Json:
    """One `validation` per question, in their order: Parameters, or an OperationOutcome where there is no answer.
    Raises TxError (400) when there is no question at all, too many, or one is no Parameters resource."""
    given = [p for p in parameters if isinstance(p, dict)]
    questions = [p for p in given if p.get("name") == "validation"]
    shared = [p for p in given if p.get("name") != "validation"]
    if not questions:
        raise invalid("there is no validation: give each as a Parameters resource")
    if len(questions) > MAX_VALIDATIONS:
        raise invalid(f"more than {MAX_VALIDATIONS} validations")
    if any(p.get("name") in _SUBJECT for p in shared):
        raise invalid("what is to be validated stands within a validation")
    answers = [_one(validate, _own(question), shared) for question in questions]
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "validation", "resource": answer} for answer in answers],
    }


def _own(question: Json) -> list[Any]:
    resource = question.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != "Parameters":
        raise invalid("a validation must be a Parameters resource")
    found = resource.get("parameter")
    return found if isinstance(found, list) else []


def _one(validate: Callable[[list[Any]], Json], own: list[Any], shared: list[Json]) -> Json:
    said = {p.get("name") for p in own if isinstance(p, dict)}
    common = [p for p in shared if p.get("name") in MANY or p.get("name") not in said]
    try:
        return validate([*own, *common])
    except TxError as error:
        return outcome(error.issues)

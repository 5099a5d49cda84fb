"""The question of a validation, and its answer as Parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from terminology.fhir.checks import Checked
from terminology.fhir.languages import Languages
from terminology.fhir.problem import TxIssue, outcome
from terminology.fhir.scope import Scope
from terminology.fhir.status import status_issues

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be validated. form: "code", "Coding" or "CodeableConcept"; one coding for the first two."""

    form: str
    codings: Sequence[Json]
    concept: Json | None = None
    infer_system: bool = False
    active_only: bool = False
    abstract: bool = True
    lenient_display: bool = False
    membership_only: bool = False
    languages: Languages = field(default_factory=Languages)

    def path(self, place: int, part: str) -> str:
        if self.form == "code":
            return part
        base = "Coding" if self.form == "Coding" else f"CodeableConcept.coding[{place}]"
        return f"{base}.{part}" if part else base


def verdict(
    scope: Scope, question: Question, checked: Sequence[Checked], more: list[TxIssue], value_set: Json | None
) -> Json:
    issues = [*more, *(i for c in checked for i in c.issues)]
    result = any(c.inside for c in checked) and not any(i.severity == "error" for i in issues)
    issues += status_issues(scope, value_set)
    best = next((c for c in checked if c.inside), checked[0] if checked else Checked("", "", ""))
    spoken = sorted({i.text for i in issues if not i.silent})
    parts: list[Json] = [{"name": "result", "valueBoolean": result}]
    if spoken:
        parts.append({"name": "message", "valueString": "; ".join(spoken)})
    if best.display and (result or question.form != "CodeableConcept" or best.inside):
        parts.append({"name": "display", "valueString": best.display})
    if question.form != "CodeableConcept" or best.inside:
        parts += identity(best)
    elif version := next((c.found_version for c in checked if c.entry is not None), ""):
        parts.append({"name": "version", "valueString": version})  # that the codings were looked up in
    if question.concept is not None:
        parts.append({"name": "codeableConcept", "valueCodeableConcept": question.concept})
    for one in checked:
        if one.unknown:
            parts.append({"name": "x-unknown-system", "valueCanonical": one.unknown})
        if one.caused_by:
            parts.append({"name": "x-caused-by-unknown-system", "valueCanonical": one.caused_by})
    if issues:
        parts.append({"name": "issues", "resource": outcome(issues)})
    return {"resourceType": "Parameters", "parameter": parts}


def identity(best: Checked) -> list[Json]:
    parts: list[Json] = []
    if best.code:
        parts.append({"name": "code", "valueCode": best.code})
    if best.url:
        parts.append({"name": "system", "valueUri": best.url})
    if best.found_version and (best.entry is not None or best.inside_fragment):
        parts.append({"name": "version", "valueString": best.found_version})
    if best.normalized:
        parts.append({"name": "normalized-code", "valueCode": best.normalized})
    if best.entry is not None and best.entry.inactive:
        parts.append({"name": "inactive", "valueBoolean": True})
    status = best.entry.status if best.entry is not None else ""
    if best.entry is not None and (best.entry.inactive or status == "deprecated") and status != "inactive":
        parts += [{"name": "status", "valueString": status}] if status else []
    return parts

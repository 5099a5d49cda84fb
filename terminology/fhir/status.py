"""Warnings about resources that are draft, experimental, deprecated, withdrawn or retired."""

from __future__ import annotations

from typing import Any

from terminology.fhir.canonical import joined, split
from terminology.fhir.concept import standards_status
from terminology.fhir.problem import TxIssue
from terminology.fhir.scope import Scope

Json = dict[str, Any]


def state(resource: Json) -> str:
    """deprecated, withdrawn, retired, draft, experimental or ""; HL7's standards status speaks first."""
    if (found := standards_status(resource)) in ("deprecated", "withdrawn"):
        return found
    if resource.get("status") == "retired":
        return "retired"
    if resource.get("experimental") is True:
        return "experimental"
    return "draft" if resource.get("status") == "draft" else ""


def _found(scope: Scope, value_set: Json) -> list[tuple[str, str, str]]:
    """(state, type, canonical) of all that was used and is not in plain use. What is as immature as the value set
    itself is no news to who asks for it."""
    own = state(value_set)
    found = []
    name = joined(str(value_set.get("url", "")), str(value_set.get("version") or ""))
    if own in ("deprecated", "withdrawn", "retired"):
        found.append((own, "ValueSet", name))
    for type_, used in (("CodeSystem", "used-codesystem"), ("ValueSet", "used-valueset")):
        for canonical in scope.used.get(used, ()):
            url, version = split(canonical)
            resource = scope.shelf.resource(type_, url, version)
            word = state(resource) if resource else ""
            if word and not (word in ("draft", "experimental") and own == word):
                found.append((word, type_, canonical))
    return found


def warnings_of(scope: Scope, value_set: Json) -> list[Json]:
    """As expansion parameters: warning-deprecated ..."""
    return [{"name": f"warning-{word}", "valueUri": name} for word, _, name in _found(scope, value_set)]


def status_issues(scope: Scope, value_set: Json | None) -> list[TxIssue]:
    """As issues of a validation; they are no part of its message."""
    return [
        TxIssue(
            "information", "business-rule", "status-check", f"Reference to {word} {type_} {name}", silent=True
        )
        for word, type_, name in _found(scope, value_set or {})
    ]

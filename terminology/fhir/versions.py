"""Versions of a code system in a validation: the include's, the coding's, and the rules of the question.

A coding may say a version that the value set does not mean; which one is wrong is for a person to say: both are named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from terminology.fhir.canonical import fits, joined
from terminology.fhir.checks import Checked
from terminology.fhir.members import Members
from terminology.fhir.problem import TxError, TxIssue
from terminology.fhir.scope import UnknownSystem
from terminology.fhir.selection import dicts

Json = dict[str, Any]
_DEPTH = 10


def included(members: Members, value_set: Json, url: str, version: str, depth: int = 0) -> Json | None:
    """The include of a code system (of that version, where several are included); also through imported value sets."""
    found = [i for i in dicts((value_set.get("compose") or {}).get("include")) if i.get("system") == url]
    exact = next((i for i in found if version and fits(version, str(i.get("version") or "-"))), None)
    if found or depth >= _DEPTH:
        return exact or (found[0] if found else None)
    for include in dicts((value_set.get("compose") or {}).get("include")):
        for canonical in include.get("valueSet") or ():
            try:
                imported = members.scope.value_set(str(canonical))
            except TxError:
                continue
            if (inner := included(members, imported, url, version, depth + 1)) is not None:
                return inner
    return None


def check_versions(members: Members, include: Json, checked: Checked, path: Callable[[str], str]) -> None:
    """Notes in `checked` what does not agree. `path` makes a FHIRPath of a part of the coding."""
    scope, url, given = members.scope, checked.url, checked.version
    written = str(include.get("version") or "")
    effective = scope.effective(url, written)
    found = scope.resolved(url, effective)
    if found is None:
        if effective:
            _unknown(members, checked, effective, path)
            checked.unsure = True
            if given and given != effective:
                checked.issues.append(_mismatch(url, f"version '{effective}'", given, path))
        return
    if given and not fits(found.version, given):
        if not any(fits(v, given) for v in scope.shelf.versions("CodeSystem", url)):
            _unknown(members, checked, given, path)
            if not effective:
                text = f"version '{found.version}' for the versionless include"
                checked.issues.append(_mismatch(url, text, given, path, "warning"))
        if effective:
            text = f"version '{found.version}'"
            if written and effective != written:
                text = f"version '{effective}' resulting from the version '{written}'"
            checked.issues.append(_mismatch(url, text, given, path))
        elif not checked.caused_by:
            checked.issues.append(_mismatch(url, f"version '{found.version}'", given, path))
    required = scope.check_versions.get(url, "")
    if not fits(found.version, required):
        checked.issues.append(scope.check_issue(url, found.version, required, path("version")))


def _unknown(members: Members, checked: Checked, version: str, path: Callable[[str], str]) -> None:
    known = members.scope.shelf.versions("CodeSystem", checked.url)
    error = UnknownSystem(checked.url, version, known, members.scope.end)
    checked.caused_by = joined(checked.url, version)
    checked.issues.append(TxIssue("error", "not-found", "not-found", error.issues[0].text, path("system")))


def _mismatch(
    url: str, which: str, given: str, path: Callable[[str], str], severity: str = "error"
) -> TxIssue:
    text = f"The code system '{url}' {which} in the ValueSet include is different to the one in the value ('{given}')"
    return TxIssue(severity, "invalid", "vs-invalid", text, path("version"), silent=severity == "warning")

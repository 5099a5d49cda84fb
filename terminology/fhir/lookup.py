"""CodeSystem/$lookup and $subsumes. https://hl7.org/fhir/R4/codesystem-operation-lookup.html"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from terminology.fhir.concept import CodeSystem, Entry, value_of
from terminology.fhir.languages import OWN_USE, Languages, display
from terminology.fhir.problem import TxError, TxIssue
from terminology.fhir.scope import Scope

Json = dict[str, Any]
_NOT_LISTED = ("designation", "lang", "display", "code", "system", "name", "version")


def lookup(
    scope: Scope, url: str, code: str, version: str, languages: Languages, properties: Sequence[str]
) -> Json:
    """All about a code as Parameters. `properties` limits what is told ("*" or nothing: all). Raises TxError (404)."""
    scope.end = "the code cannot be looked up"
    system = scope.system(url, version)
    entry = system.find(code)
    if entry is None:
        named = f"{url}" + (f" version {system.version}" if system.version else "")
        text = f"Unable to find code {code} in {named}"
        raise TxError(TxIssue("error", "not-found", "invalid-code", text), status=404)
    wanted = {p.rpartition(".")[2] if p.startswith("lang") else p for p in properties}
    everything = not wanted or "*" in wanted
    parts: list[Json] = [
        {"name": "name", "valueString": str(system.head.get("name") or system.head.get("title") or url)}
    ]
    if system.version:
        parts.append({"name": "version", "valueString": system.version})
    parts.append({"name": "display", "valueString": display(entry, system.language, languages) or entry.code})
    parts += [
        {"name": "code", "valueCode": entry.code},
        {"name": "system", "valueUri": url},
        {"name": "abstract", "valueBoolean": entry.abstract},
    ]
    if entry.definition and (everything or "definition" in wanted):
        parts.append({"name": "definition", "valueString": entry.definition})
    if everything or "designation" in wanted:
        parts += list(_designations(entry, system))
    for name, value, more in _properties(entry, system):
        if everything or name in wanted:
            body = [{"name": "code", "valueCode": name}, {"name": "value", **value}]
            body += [{"name": "description", "valueString": more}] if more else []
            parts.append({"name": "property", "part": body})
    return {"resourceType": "Parameters", "parameter": parts}


def _designations(entry: Entry, system: CodeSystem) -> Iterator[Json]:
    own = {"language": system.language} if system.language else {}
    first = {**own, "use": OWN_USE, "value": entry.display}
    for element in ([first] if entry.display else []) + list(entry.designations):
        body: list[Json] = []
        if element.get("language"):
            body.append({"name": "language", "valueCode": element["language"]})
        if element.get("use"):
            body.append({"name": "use", "valueCoding": element["use"]})
        yield {
            "name": "designation",
            "part": [*body, {"name": "value", "valueString": str(element["value"])}],
        }


def _properties(entry: Entry, system: CodeSystem) -> Iterator[tuple[str, Json, str]]:
    """(code, value[x], description)."""
    yield "inactive", {"valueBoolean": entry.inactive}, ""
    for element in entry.properties:
        name = str(element.get("code"))
        if name in ("inactive", "parent", "child") or value_of(element) is None:
            continue
        value = {k: v for k, v in element.items() if k.startswith("value")}
        if value.get("valueBoolean") in ("true", "false"):
            value = {"valueBoolean": value["valueBoolean"] == "true"}
        yield name, value, ""
    for name, codes in (("parent", entry.parents), ("child", entry.children)):
        for code in codes:
            other = system.find(code)
            yield name, {"valueCode": code}, other.display if other else ""


def subsumes(scope: Scope, url: str, code_a: str, code_b: str, version: str) -> Json:
    """How A stands to B. Raises TxError for an unknown system (404) or code (422)."""
    scope.end = "the codes cannot be compared"
    system = scope.system(url, version)
    entries = [system.find(code) for code in (code_a, code_b)]
    for code, entry in zip((code_a, code_b), entries, strict=True):
        if entry is None:
            text = f"Unknown code '{code}' in the CodeSystem '{url}'"
            raise TxError(TxIssue("error", "not-found", "invalid-code", text), status=404)
    a, b = (entry.code for entry in entries if entry)
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "outcome", "valueCode": system.relation(a, b)}],
    }

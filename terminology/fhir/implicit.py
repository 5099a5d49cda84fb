"""Value sets that exist without being written down: SNOMED CT's `?fhir_vs...`, LOINC's answer lists, whole systems.

https://hl7.org/fhir/R4/snomedct.html#implicit and https://hl7.org/fhir/R4/loinc.html#4.3.2.2. `?fhir_vs` and
`?fhir_vs=isa/CODE` are understood for every code system, since every one can be asked so.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from terminology.fhir.shelf import Shelf
from terminology.importers.rows import LOINC, SNOMED

Json = dict[str, Any]


def implicit_value_set(shelf: Shelf, url: str) -> Json | None:
    """None when the url is no implicit value set, or its code system is not there."""
    base, mark, query = url.partition("?")
    if mark and query.split("=")[0] == "fhir_vs":
        system, version = _edition(shelf, base)
        if not shelf.versions("CodeSystem", system):
            return None
        include = _include(system, query.partition("=")[2])
        if include is None:
            return None
        return _value_set(url, {**include, **({"version": version} if version else {})})
    return _of_loinc(shelf, url)


def _edition(shelf: Shelf, base: str) -> tuple[str, str]:
    """SNOMED CT urls may name an edition and a version: http://snomed.info/sct/MODULE/version/DATE."""
    if not base.startswith((f"{SNOMED}/", "http://snomed.info/xsct/")):
        return base, ""
    if "/version/" in base:
        return SNOMED, base
    editions = [v for v in shelf.versions("CodeSystem", SNOMED) if v.startswith(f"{base}/")]
    return SNOMED, max(editions, default=base)


def _include(system: str, wanted: str) -> Json | None:
    wanted = unquote(wanted)
    name, _, rest = wanted.partition("/")
    if not wanted:
        return {"system": system}
    if name == "isa" and rest:
        return {"system": system, "filter": [{"property": "concept", "op": "is-a", "value": rest}]}
    if system != SNOMED:
        return None
    if wanted == "refset":  # all refsets there are: the concepts that something is a member of
        return {"system": system, "filter": [{"property": "is-refset", "op": "=", "value": "true"}]}
    if name == "refset" and rest:
        return {"system": system, "filter": [{"property": "concept", "op": "in", "value": rest}]}
    if name == "ecl" and rest:
        return {"system": system, "filter": [{"property": "constraint", "op": "=", "value": rest}]}
    return None


def _of_loinc(shelf: Shelf, url: str) -> Json | None:
    base, code = f"{LOINC}/vs", url.removeprefix(f"{LOINC}/vs").strip("/")
    if not url.startswith(base) or not shelf.versions("CodeSystem", LOINC):
        return None
    if not code:
        return _value_set(url, {"system": LOINC})
    if code.startswith("LL"):
        return _value_set(url, {"system": LOINC, "filter": [{"property": "LIST", "op": "=", "value": code}]})
    if code.startswith("LP"):
        return _value_set(
            url, {"system": LOINC, "filter": [{"property": "ancestor", "op": "=", "value": code}]}
        )
    return None


def _value_set(url: str, include: Json) -> Json:
    return {
        "resourceType": "ValueSet", "url": url, "name": "ImplicitValueSet", "status": "active",
        "title": "Implicit value set", "compose": {"include": [include]},
    }  # fmt: skip

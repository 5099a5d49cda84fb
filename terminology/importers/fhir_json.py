"""FHIR R4 CodeSystem, ValueSet and ConceptMap: a JSON file, a Bundle, a folder, a zip, or an npm-style package.

Packages: https://hl7.org/fhir/packages.html (a .tgz with package/package.json). Resources are kept whole; what they
mean is worked out by terminology.fhir when a question is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from terminology.fhir.shape import mended
from terminology.importers.files import Files
from terminology.importers.rows import BadRelease, Import, Release, Report, ResourceRow, Row

MAX_CHARACTERS = 200_000_000
TYPES = ("CodeSystem", "ValueSet", "ConceptMap")
_NO_RESOURCES = ("package.json", ".index.json", ".index.db", "ig-r4.json")


def read(path: Path) -> Import:
    """Raises BadRelease when there is no terminology resource at all."""
    files = Files(path)
    found: list[dict[str, Any]] = []
    manifest: dict[str, Any] = {}
    for resource in _parsed(files, Report(), manifest):
        if resource.get("resourceType") in TYPES:
            found.append(
                {k: resource.get(k) for k in ("resourceType", "url", "version", "name", "copyright")}
            )
    if not found:
        raise BadRelease(f"{path.name}: no CodeSystem, ValueSet or ConceptMap in it")
    report = Report()
    return Import(_release(path, files, found, manifest), _rows(files, report), report)


def _release(path: Path, files: Files, found: list[dict[str, Any]], manifest: dict[str, Any]) -> Release:
    """A package is named by its manifest; else the one CodeSystem (or the first resource) gives its name."""
    if manifest:
        name, version = str(manifest.get("name", path.stem)), str(manifest.get("version", "unknown"))
        url = str(manifest.get("canonical") or f"urn:fhir:package:{name}")
        return Release(url, version, name, files.checksum(), str(manifest.get("license", "")))
    systems = [r for r in found if r["resourceType"] == "CodeSystem"]
    first = systems[0] if len(systems) == 1 else found[0]
    url = first["url"] if len(systems) <= 1 or len(found) == 1 else f"urn:fhir:files:{path.stem}"
    return Release(
        str(url or f"urn:fhir:files:{path.stem}"), str(first.get("version") or "unknown"),
        str(first.get("name") or path.stem), files.checksum(), str(first.get("copyright") or ""),
    )  # fmt: skip


def _rows(files: Files, report: Report) -> Iterator[Row]:
    seen: set[tuple[str, str, str]] = set()
    for resource in _parsed(files, report, {}):
        kind = resource.get("resourceType")
        if kind not in TYPES:
            continue
        report.rows += 1
        url = resource.get("url")
        if not isinstance(url, str) or not url:
            report.defect(str(kind), "a resource without url")
            continue
        key = (str(kind), url, str(resource.get("version", "")))
        if key in seen:
            report.defect(str(kind), "a url and version that came before; the first was kept")
            continue
        seen.add(key)
        _look_through(resource, report)
        yield ResourceRow(mended(resource, partial(report.defect, str(kind))))


def _look_through(resource: dict[str, Any], report: Report) -> None:
    """Say what is defective inside; the readers of terminology.fhir pass over it."""
    for concept in _concepts(resource.get("concept")):
        report.rows += 1
        if not isinstance(concept, dict) or not isinstance(concept.get("code"), str):
            report.defect("CodeSystem.concept", "a concept without code")
    if resource["resourceType"] != "ConceptMap":
        return
    for group in _dicts(resource.get("group")):
        for element in _dicts(group.get("element")):
            for match in _dicts(element.get("target")):
                report.rows += 1
                if not element.get("code") or not (match.get("equivalence") or match.get("relationship")):
                    report.defect("ConceptMap.group.element", "an element without code or equivalence")


def _concepts(concepts: Any) -> Iterator[Any]:
    stack = list(reversed(concepts)) if isinstance(concepts, list) else []
    while stack:
        concept = stack.pop()
        yield concept
        if isinstance(concept, dict) and isinstance(concept.get("concept"), list):
            stack.extend(reversed(concept["concept"]))


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (v for v in value if isinstance(v, dict)) if isinstance(value, list) else iter(())


def _parsed(files: Files, report: Report, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every resource, those of a Bundle one by one. `manifest` is filled from a package's package.json."""
    for name, text in files.each(".json", MAX_CHARACTERS):
        last = name.rsplit("/", 1)[-1]
        if text is None:
            report.defect(name, "too large")
            continue
        if last in _NO_RESOURCES and last != "package.json":
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            report.defect(name, "no valid JSON")
            continue
        if last == "package.json" and isinstance(value, dict) and "resourceType" not in value:
            manifest.update(value)
        elif isinstance(value, dict) and value.get("resourceType") == "Bundle":
            yield from (r for e in _dicts(value.get("entry")) if isinstance(r := e.get("resource"), dict))
        elif isinstance(value, dict):
            yield value

"""FHIR R4 CodeSystem and ConceptMap resources as JSON: a file, a folder or a zip archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from terminology.importers.files import Files
from terminology.importers.rows import BadRelease, ConceptRow, Import, MapRow, Release, Report, Row

MAX_BYTES = 200_000_000


def read(path: Path) -> Import:
    """All CodeSystems of one url, and all ConceptMaps. Raises BadRelease when there is neither, or several systems."""
    files = Files(path)
    report = Report()
    found = [r for r in _resources(files, report) if r.get("resourceType") in ("CodeSystem", "ConceptMap")]
    systems = {r.get("url", ""): r for r in found if r["resourceType"] == "CodeSystem"}
    if not found or len(systems) > 1:
        raise BadRelease(
            f"{path.name}: {len(systems)} CodeSystems in {len(found)} resources; one is expected"
        )
    first = next(iter(systems.values()), found[0])
    release = Release(
        str(first.get("url", "")), str(first.get("version", "unknown")), str(first.get("name", path.stem)),
        files.checksum(), str(first.get("copyright", "")),
    )  # fmt: skip
    return Import(release, _rows(found, report), report)


def _resources(files: Files, report: Report) -> Iterator[dict[str, Any]]:
    for name in files.matching(suffix=".json"):
        with files.open(name) as stream:
            text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            report.defect(name, "too large")
            continue
        try:
            resource = json.loads(text)
        except (ValueError, RecursionError):
            report.defect(name, "no valid JSON")
            continue
        if isinstance(resource, dict):
            entries = resource.get("entry") if resource.get("resourceType") == "Bundle" else None
            yield from (
                (e["resource"] for e in entries if "resource" in e)
                if isinstance(entries, list)
                else (resource,)
            )


def _rows(found: list[dict[str, Any]], report: Report) -> Iterator[Row]:
    for resource in found:
        if resource["resourceType"] == "CodeSystem":
            yield from _concepts(resource.get("concept", []), "", report)
        else:
            yield from _mappings(resource, report)


def _concepts(concepts: list[Any], parent: str, report: Report) -> Iterator[ConceptRow]:
    for concept in concepts:
        report.rows += 1
        if not isinstance(concept, dict) or not isinstance(concept.get("code"), str):
            report.defect("CodeSystem.concept", "a concept without code")
            continue
        properties = [(str(p.get("code", "")), str(_value(p))) for p in concept.get("property", ())]
        parents = [value for name, value in properties if name in ("parent", "subsumedBy")] + [parent]
        inactive = ("inactive", "True") in properties or ("status", "retired") in properties
        yield ConceptRow(
            concept["code"],
            str(concept.get("display") or concept["code"]),
            not inactive,
            parents=tuple(dict.fromkeys(p for p in parents if p)),
            terms=tuple(
                (str(d.get("use", {}).get("code", "designation")), str(d["value"]))
                for d in concept.get("designation", ())
                if d.get("value")
            ),
            properties=tuple(properties),
        )
        yield from _concepts(concept.get("concept", []), concept["code"], report)


def _value(item: dict[str, Any]) -> Any:
    value = next((v for k, v in item.items() if k.startswith("value")), "")
    return value.get("code", "") if isinstance(value, dict) else value


def _mappings(resource: dict[str, Any], report: Report) -> Iterator[MapRow]:
    url = str(resource.get("url", ""))
    for group in resource.get("group", ()):
        source, target = str(group.get("source", "")), str(group.get("target", ""))
        for element in group.get("element", ()):
            for place, match in enumerate(element.get("target", ()), 1):
                report.rows += 1
                if not element.get("code") or not match.get("equivalence"):
                    report.defect(url, "an element without code or equivalence")
                    continue
                yield MapRow(
                    url, source, str(element["code"]), target, str(match.get("code", "")), str(match["equivalence"]),
                    1, place, "", str(match.get("comment", "")),
                )  # fmt: skip

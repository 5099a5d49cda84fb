"""A small shelf and the operations on it, for the tests of terminology.fhir."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from terminology.fhir import operations
from terminology.fhir.operations import Asker
from terminology.store import Terminology

Json = dict[str, Any]
CS = "http://example.org/cs"
VS = "http://example.org/vs"
AT = "2026-01-01T00:00:00Z"


def empty() -> Terminology:
    return Terminology([])


def code_system(version: str = "1.0.0", **more: Any) -> Json:
    return {
        "resourceType": "CodeSystem", "url": CS, "version": version, "name": "Tiny", "status": "active",
        "content": "complete", "caseSensitive": True, "language": "en",
        "property": [
            {"code": "organ", "type": "code"},
            {"code": "hidden", "uri": "http://hl7.org/fhir/concept-properties#notSelectable", "type": "boolean"},
        ],
        "concept": [
            {"code": "d", "display": "Disease", "property": [{"code": "hidden", "valueBoolean": True}], "concept": [
                {"code": "h", "display": "Heart disease", "definition": "of the heart",
                 "property": [{"code": "organ", "valueCode": "heart"}],
                 "designation": [{"language": "de", "value": "Herzkrankheit"}],
                 "concept": [{"code": "hf", "display": "Heart failure",
                              "property": [{"code": "organ", "valueCode": "heart"}]}]},
                {"code": "k", "display": "Kidney disease", "property": [{"code": "organ", "valueCode": "kidney"}]},
                {"code": "old", "display": "Dropsy", "property": [{"code": "status", "valueCode": "retired"}]},
            ]},
        ],
        **more,
    }  # fmt: skip


def value_set(*include: Json, exclude: list[Json] | None = None, url: str = VS, **more: Any) -> Json:
    compose: Json = {"include": list(include)}
    if exclude:
        compose["exclude"] = exclude
    return {
        "resourceType": "ValueSet",
        "url": url,
        "version": "1",
        "status": "active",
        "compose": compose,
        **more,
    }


def ask(
    operation: str, *resources: Json, language: str = "", shelf: Terminology | None = None, **given: Any
) -> Json:
    """An operation with its parameters; names with underscores for hyphens, lists for repetition."""
    parameters = [
        _parameter(name.replace("_", "-"), value) for name, many in given.items() for value in _list(many)
    ]
    parameters += [{"name": "tx-resource", "resource": r} for r in resources]
    call = getattr(operations, operation)
    return call(Asker(shelf or empty(), AT, language), parameters)  # type: ignore[no-any-return]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parameter(name: str, value: Any) -> Json:
    if isinstance(value, bool):
        return {"name": name, "valueBoolean": value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    if isinstance(value, dict):
        kind = (
            "resource"
            if "resourceType" in value
            else "valueCodeableConcept"
            if "coding" in value
            else "valueCoding"
        )
        return {"name": name, kind: value}
    return {"name": name, "valueString": value}


def values(parameters: Json, name: str) -> list[Any]:
    found = [p for p in parameters["parameter"] if p["name"] == name]
    return [
        next((v for k, v in p.items() if k.startswith("value")), p.get("part") or p.get("resource"))
        for p in found
    ]


def codes(expanded: Json) -> list[str]:
    found: list[str] = []
    stack = list(expanded["expansion"].get("contains", ()))[::-1]
    while stack:
        row = stack.pop()
        found.append(row["code"])
        stack += row.get("contains", ())[::-1]
    return found


def kinds(parameters: Json) -> list[str]:
    """tx-issue-types of the issues."""
    [outcome] = values(parameters, "issues") or [{"issue": []}]
    return sorted(i["details"]["coding"][0]["code"] for i in outcome["issue"])


def rf2_release(folder: Path) -> Path:
    """A tiny valid RF2 Snapshot: ids with right check digits, a refset, attributes, an inactive concept, a map."""
    base, refset = folder / "Snapshot" / "Terminology", folder / "Snapshot" / "Refset"
    for place in (base, refset):
        place.mkdir(parents=True)
    when = "20260101"
    concept = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n"
    concept += "".join(f"{c}\t{when}\t{a}\t900000000000207008\td\n" for c, a in _CONCEPTS)
    (base / f"sct2_Concept_Snapshot_INT_{when}.txt").write_text(concept)
    head = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
    rows = [(c, "900000000000013009", t) for c, t in _TERMS] + [
        (c, "900000000000003001", f"{t} (x)") for c, t in _TERMS
    ]
    (base / f"sct2_Description_Snapshot-en_INT_{when}.txt").write_text(
        head + "".join(f"{i}\t{when}\t1\tm\t{c}\ten\t{k}\t{t}\tc\n" for i, (c, k, t) in enumerate(rows))
    )
    head = (
        "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\tchar\tmod\n"
    )
    (base / f"sct2_Relationship_Snapshot_INT_{when}.txt").write_text(
        head
        + "".join(f"{i}\t{when}\t1\tm\t{a}\t{b}\t0\t{t}\tc\tm\n" for i, (a, t, b) in enumerate(_RELATIONS))
    )
    head = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId"
    head += "\tmapGroup\tmapPriority\tmapRule\tmapAdvice"
    (refset / f"der2_iisssccRefset_ExtendedMapSnapshot_INT_{when}.txt").write_text(
        f"{head}\tmapTarget\tcorrelationId\tmapCategoryId\n"
        + "".join(
            f"u{i}\t{when}\t1\tm\t6011000124106\t{'	'.join(row)}\tc\t447639009\n"
            for i, row in enumerate(_MAPS)
        )
    )
    head = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId"
    (refset / f"der2_cRefset_AssociationSnapshot_INT_{when}.txt").write_text(
        f"{head}\ttargetComponentId\nu\t{when}\t1\tm\t900000000000526001\t155295004\t38341003\n"
    )
    (refset / f"der2_Refset_SimpleSnapshot_INT_{when}.txt").write_text(
        f"{head}\nu\t{when}\t1\tm\t733073007\t38341003\n"
    )
    return folder


# Real identifiers (check digits right); names shortened.
_CONCEPTS = [("138875005", 1), ("64572001", 1), ("38341003", 1), ("59621000", 1), ("73410007", 1), ("116680003", 1),
             ("363698007", 1), ("113257007", 1), ("155295004", 0), ("8619003", 1), ("733073007", 1)]  # fmt: skip
_TERMS = [("138875005", "SNOMED CT Concept"), ("64572001", "Disease"), ("38341003", "Hypertensive disorder"),
          ("59621000", "Essential hypertension"), ("73410007", "Benign secondary hypertension"), ("116680003", "Is a"),
          ("363698007", "Finding site"), ("113257007", "Cardiovascular system"), ("155295004", "Hypertensive disease"),
          ("8619003", "Infertile"), ("733073007", "A reference set")]  # fmt: skip
_RELATIONS = [("64572001", "116680003", "138875005"), ("38341003", "116680003", "64572001"),
              ("59621000", "116680003", "38341003"), ("73410007", "116680003", "38341003"),
              ("8619003", "116680003", "64572001"), ("113257007", "116680003", "138875005"),
              ("733073007", "116680003", "138875005"), ("363698007", "116680003", "138875005"),
              ("38341003", "363698007", "113257007"), ("59621000", "363698007", "113257007")]  # fmt: skip
_MAPS = [("59621000", "1", "1", "TRUE", "ALWAYS I10", "I10"),
         ("8619003", "1", "1", "IFA 248152002 | Female (finding) |", "IF FEMALE CHOOSE N97.9", "N97.9"),
         ("8619003", "1", "2", "IFA 248153007 | Male (finding) |", "IF MALE CHOOSE N46.9", "N46.9"),
         ("8619003", "1", "3", "OTHERWISE TRUE", "CANNOT BE CLASSIFIED", "")]  # fmt: skip

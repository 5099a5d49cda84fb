"""SNOMED CT RF2, Snapshot or Full, folder or zip. https://confluence.ihtsdotools.org/display/DOCRELFMT

Concepts, descriptions with the language refset, is-a relationships, historical associations of inactive concepts, and
the extended map to ICD-10-CM (refset 6011000124106) or ICD-10 (447562003) with group, priority, rule and advice.
Of a Full release the newest state of every row counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from terminology.importers.files import Files, table
from terminology.importers.rows import (
    ICD10CM,
    SNOMED,
    BadRelease,
    ConceptRow,
    Import,
    MapRow,
    Release,
    Report,
    Row,
)

_FSN, _SYNONYM, _IS_A = "900000000000003001", "900000000000013009", "116680003"
_PREFERRED = "900000000000548007"
_ENGLISH = ("900000000000509007", "900000000000508004")  # US, GB language refsets
_MAPS = {"6011000124106": ICD10CM, "447562003": "http://hl7.org/fhir/sid/icd-10"}
_ASSOCIATIONS = {
    "900000000000526001": "replaced-by", "900000000000527005": "same-as",
    "900000000000523009": "possibly-equivalent-to",
    "900000000000528000": "was-a", "900000000000530003": "alternative",
}  # fmt: skip
_EQUIVALENCE = {"447637006": "equivalent", "447639009": "relatedto"}
_DATE = re.compile(r"_(\d{8})(?:T\d{6}Z)?\.(?:txt|zip)$")


def read(path: Path) -> Import:
    """Raises BadRelease when the concept, description or relationship file is missing."""
    files = Files(path)
    kind = "Snapshot" if files.matching("sct2_Concept_Snapshot") else "Full"
    needed = {n: files.matching(f"sct2_{n}_{kind}", suffix=".txt") for n in ("Concept", "Relationship")}
    needed["Description"] = files.matching("sct2_Description_", kind, suffix=".txt")
    if missing := [n for n, found in needed.items() if not found]:
        raise BadRelease(f"{path.name}: no RF2 {missing[0]} file; is this a SNOMED CT release?")
    date = _DATE.search(needed["Concept"][0])
    version = date[1] if date else "unknown"
    release = Release(
        SNOMED, version, f"SNOMED CT {version} ({kind})", files.checksum(), "SNOMED CT licence of the user"
    )
    report = Report()
    return Import(release, _rows(files, kind, needed, report), report)


def _rows(files: Files, kind: str, needed: dict[str, list[str]], report: Report) -> Iterator[Row]:
    preferred = _preferred(files, kind, report)
    terms: dict[str, list[tuple[str, str, bool]]] = {}
    for row in _newest(files, needed["Description"], report):
        if row["active"] == "1" and row["typeId"] in (_FSN, _SYNONYM):
            name = "fsn" if row["typeId"] == _FSN else "synonym"
            terms.setdefault(row["conceptId"], []).append((name, row["term"], row["id"] in preferred))
    parents: dict[str, list[str]] = {}
    for row in _newest(files, needed["Relationship"], report):
        if row["active"] == "1" and row["typeId"] == _IS_A:
            parents.setdefault(row["sourceId"], []).append(row["destinationId"])
    gone = _associations(files, kind, report)
    for row in _newest(files, needed["Concept"], report):
        code = row["id"]
        if not check_digit(code):
            report.defect("sct2_Concept", f"{code!r} has a wrong check digit")
            continue
        named = terms.pop(code, [])
        if not named:
            report.defect("sct2_Description", f"{code} has no description")
        yield ConceptRow(
            code,
            _display(named) or code,
            row["active"] == "1",
            parents=tuple(dict.fromkeys(parents.pop(code, ()))),
            terms=tuple((name, text) for name, text, _ in named),
            properties=(("moduleId", row["moduleId"]), *gone.get(code, ())),
        )
    yield from _maps(files, kind, report)


def _display(named: list[tuple[str, str, bool]]) -> str:
    ranked = sorted(named, key=lambda t: (t[0] != "synonym" or not t[2], t[0] != "synonym", t[1]))
    return ranked[0][1] if ranked else ""


def _preferred(files: Files, kind: str, report: Report) -> frozenset[str]:
    found: set[str] = set()
    for row in _newest(files, files.matching("der2_cRefset_Language", kind, suffix=".txt"), report):
        if row["active"] == "1" and row["refsetId"] in _ENGLISH and row["acceptabilityId"] == _PREFERRED:
            found.add(row["referencedComponentId"])
    return frozenset(found)


def _associations(files: Files, kind: str, report: Report) -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for row in _newest(files, files.matching("Association", kind, suffix=".txt"), report):
        if row["active"] == "1" and row["refsetId"] in _ASSOCIATIONS:
            code = row["referencedComponentId"]
            entry = (_ASSOCIATIONS[row["refsetId"]], row["targetComponentId"])
            found[code] = (*found.get(code, ()), entry)
    return found


def _maps(files: Files, kind: str, report: Report) -> Iterator[MapRow]:
    for row in _newest(files, files.matching("ExtendedMap", kind, suffix=".txt"), report):
        target = _MAPS.get(row["refsetId"])
        if row["active"] != "1" or target is None:
            continue
        yield MapRow(
            f"http://snomed.info/sct?fhir_cm={row['refsetId']}", SNOMED, row["referencedComponentId"], target,
            row["mapTarget"], _equivalence(row),
            int(row["mapGroup"] or 1), int(row["mapPriority"] or 1), row["mapRule"], row["mapAdvice"],
        )  # fmt: skip


def _equivalence(row: dict[str, str]) -> str:
    return _EQUIVALENCE.get(row.get("mapCategoryId", ""), "relatedto") if row["mapTarget"] else "unmatched"


def _newest(files: Files, names: list[str], report: Report) -> Iterator[dict[str, str]]:
    """Rows as they are (Snapshot), or of a Full release the newest of every id."""
    for name in names:
        with files.open(name) as stream:
            rows = table(stream, name, report)
            if "Snapshot" in name:
                yield from rows
                continue
            newest: dict[str, dict[str, str]] = {}
            for row in rows:
                known = newest.get(row["id"])
                if known is None or known["effectiveTime"] <= row["effectiveTime"]:
                    newest[row["id"]] = row
            yield from newest.values()


# Verhoeff's dihedral check, as SNOMED CT uses it for identifiers.
_D = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
      "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
_P = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def check_digit(code: str) -> bool:
    """Whether an SCTID's check digit fits (Verhoeff) and its partition is a concept's or a description's."""
    if not code.isdigit() or not 6 <= len(code) <= 18:
        return False
    value = 0
    for place, letter in enumerate(reversed(code)):
        value = int(_D[value][int(_P[place % 8][int(letter)])])
    return value == 0

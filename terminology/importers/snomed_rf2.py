"""SNOMED CT RF2, Snapshot or Full, folder or zip. https://confluence.ihtsdotools.org/display/DOCRELFMT

Concepts, descriptions with the language refset, text definitions, is-a and attribute relationships, historical
associations of inactive concepts, simple refset members, and the extended map to ICD-10-CM (refset 6011000124106) or
ICD-10 (447562003) with group, priority, rule and advice. Of a Full release the newest state of every row counts.
Everything streams: only ids are held in memory, never texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from terminology.importers.files import Files, fields_of
from terminology.importers.rows import (
    ICD10,
    ICD10CM,
    SNOMED,
    BadRelease,
    ConceptRow,
    Import,
    MapRow,
    ParentRow,
    PropertyRow,
    Release,
    Report,
    Row,
    TermRow,
)

_FSN, _SYNONYM, _DEFINITION = "900000000000003001", "900000000000013009", "900000000000550004"
_KINDS = {_FSN: "fsn", _SYNONYM: "synonym", _DEFINITION: "definition"}
_DEFINED = "900000000000073002"
_IS_A, _PREFERRED = "116680003", "900000000000548007"
_US, _GB = "900000000000509007", "900000000000508004"  # language refsets
_MAPS = {"6011000124106": ICD10CM, "447562003": ICD10}
ASSOCIATIONS = {
    "900000000000526001": "replaced-by", "900000000000527005": "same-as",
    "900000000000523009": "possibly-equivalent-to",
    "900000000000528000": "was-a", "900000000000530003": "alternative",
    "1186924009": "partially-equivalent-to", "1186921001": "possibly-replaced-by",
}  # fmt: skip
# R4 has no word for "depends on age, sex or another code"; the rule and the advice say it (OP-1).
_EQUIVALENCE = {"447637006": "equivalent"}
_DATE = re.compile(r"_(\d{8})(?:T\d{6}Z)?\.(?:txt|zip)$")
_MODULE = re.compile(r"_(INT|[A-Z]{2}\d{7})_")


def read(path: Path) -> Import:
    """Raises BadRelease when the concept, description or relationship file is missing."""
    files = Files(path)
    kind = "Snapshot" if files.matching("sct2_Concept", "Snapshot", suffix=".txt") else "Full"
    needed = {
        n: files.matching(f"sct2_{n}", f"{kind}", suffix=".txt")
        for n in ("Concept", "Relationship", "Description")
    }
    if missing := [n for n, found in needed.items() if not found]:
        raise BadRelease(f"{path.name}: no RF2 {missing[0]} file; is this a SNOMED CT release?")
    date = _DATE.search(needed["Concept"][0])
    version = date[1] if date else "unknown"
    report = Report()
    release = Release(
        SNOMED,
        _version(files, needed["Concept"], version),
        f"SNOMED CT {version} ({kind})",
        files.checksum(),
        "SNOMED CT licence of the user",
    )
    return Import(release, _rows(files, kind, needed, report), report)


def _version(files: Files, names: list[str], date: str) -> str:
    """The edition's URI (https://hl7.org/fhir/R4/snomedct.html#4.3.1.0.3), by the module that most rows belong to."""
    counts: dict[str, int] = {}
    with files.open(names[0]) as stream:
        for number, line in enumerate(stream):
            parts = line.split("\t")
            if number and len(parts) > 3 and parts[3].isdigit():
                counts[parts[3]] = counts.get(parts[3], 0) + 1
            if number > 200_000:
                break
    if not counts or date == "unknown":
        return date
    core = "900000000000207008"
    national = [m for m in counts if m not in (core, "900000000000012004")]
    module = core
    if _MODULE.search(names[0]) is None or "_INT_" not in names[0]:
        module = max(national, key=counts.__getitem__, default=core)
    trial = "xsct" if names[0].rsplit("/", 1)[-1].startswith("xsct2") else "sct"  # an edition for tests only
    return f"http://snomed.info/{trial}/{module}/version/{date}"


def _rows(files: Files, kind: str, needed: dict[str, list[str]], report: Report) -> Iterator[Row]:
    for row in _newest(files, needed["Concept"], 5, report):
        if check_digit(row[0]):
            defined = "true" if row[4] == _DEFINED else "false"
            known = (("moduleId", row[3]), ("sufficientlyDefined", defined))
            yield ConceptRow(row[0], "", row[2] == "1", properties=known)
        else:
            report.defect("sct2_Concept", f"{row[0][:20]!r} has a wrong check digit")
    shown = _preferred(files, kind, report)
    texts = [*needed["Description"], *files.matching("sct2_TextDefinition", kind, suffix=".txt")]
    for row in _newest(files, texts, 9, report):
        name = _KINDS.get(row[6])
        if row[2] == "1" and name:
            yield TermRow(row[4], name, row[7], row[5], name == "synonym" and row[0] in shown)
    del shown
    for row in _newest(files, needed["Relationship"], 10, report):
        if row[2] == "1" and row[7] == _IS_A:
            yield ParentRow(row[4], row[5])
        elif row[2] == "1":
            yield PropertyRow(row[4], row[7], row[5])
    yield from _members(files, kind, report)
    yield from _maps(files, kind, report)


def _preferred(files: Files, kind: str, report: Report) -> frozenset[str]:
    """Descriptions preferred in US English; where a release has no US refset, in the first it has (GB, national)."""
    by_refset: dict[str, set[str]] = {}
    for row in _newest(files, files.matching("Refset_Language", kind, suffix=".txt"), 7, report):
        if row[2] == "1" and row[6] == _PREFERRED:
            by_refset.setdefault(row[4], set()).add(row[5])
    for wanted in (_US, _GB, *sorted(by_refset)):
        if wanted in by_refset:
            return frozenset(by_refset[wanted])
    return frozenset()


def _members(files: Files, kind: str, report: Report) -> Iterator[Row]:
    """Historical associations (refsets with a target), and simple refsets as a property of their members."""
    names = files.matching("der2_cRefset_", "Association", kind, suffix=".txt")
    for row in _newest(files, names, 7, report):
        if row[2] == "1" and row[4] in ASSOCIATIONS:
            yield PropertyRow(row[5], ASSOCIATIONS[row[4]], row[6])
    for row in _newest(files, files.matching("der2_Refset_", "Simple", kind, suffix=".txt"), 6, report):
        if row[2] == "1":
            yield PropertyRow(row[5], "member-of", row[4])


def _maps(files: Files, kind: str, report: Report) -> Iterator[MapRow]:
    for row in _newest(files, files.matching("ExtendedMap", kind, suffix=".txt"), 13, report):
        target = _MAPS.get(row[4])
        if row[2] != "1" or target is None:
            continue
        if not row[6].isdigit() or not row[7].isdigit():
            report.defect("ExtendedMap", "a map row whose group or priority is no number")
            continue
        equivalence = _EQUIVALENCE.get(row[12], "relatedto") if row[10] else "unmatched"
        yield MapRow(
            f"http://snomed.info/sct?fhir_cm={row[4]}", SNOMED, row[5], target, row[10], equivalence,
            int(row[6]), int(row[7]), row[8], row[9],
        )  # fmt: skip


def _newest(files: Files, names: list[str], fields: int, report: Report) -> Iterator[list[str]]:
    """Rows as they are (Snapshot); of a Full release the newest of every id, found in a first pass over ids only."""
    for name in names:
        if "Full" not in name.rsplit("/", 1)[-1]:
            yield from fields_of(files, name, fields, report)
            continue
        last: dict[str, tuple[str, int]] = {}
        for number, row in enumerate(fields_of(files, name, fields, Report())):
            known = last.get(row[0])
            if known is None or known[0] <= row[1]:
                last[row[0]] = (row[1], number)
        keep = {number for _, number in last.values()}
        del last
        rows = enumerate(fields_of(files, name, fields, report))
        yield from (row for number, row in rows if number in keep)


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
# One table for a digit at a place in a state: 8 places x 10 digits x 10 states.
_STEP = tuple(
    tuple(tuple(int(_D[state][int(_P[place][digit])]) for state in range(10)) for digit in range(10))
    for place in range(8)
)


def check_digit(code: str) -> bool:
    """Whether an SCTID's check digit fits (Verhoeff)."""
    if not (code.isascii() and code.isdigit()) or not 6 <= len(code) <= 18:
        return False
    state = 0
    for place, letter in enumerate(reversed(code)):
        state = _STEP[place & 7][ord(letter) - 48][state]
    return state == 0

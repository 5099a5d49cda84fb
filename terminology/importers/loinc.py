"""LOINC: LoincTable/Loinc.csv of a user's licensed release. https://loinc.org/kb/loinc-file-structure"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from terminology.importers.files import Files, table
from terminology.importers.rows import LOINC, BadRelease, ConceptRow, Import, Release, Report

_PROPERTIES = (
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "EXAMPLE_UCUM_UNITS",
)
_NEEDED = ("LOINC_NUM", "LONG_COMMON_NAME", "STATUS")


def read(path: Path) -> Import:
    """Raises BadRelease when there is no Loinc.csv or a needed column is missing."""
    files = Files(path)
    names = [n for n in files.names if n.rsplit("/", 1)[-1].lower() == "loinc.csv"]
    if not names and len(files.names) == 1 and files.names[0].lower().endswith(".csv"):
        names = files.names
    if not names:
        raise BadRelease(f"{path.name}: no Loinc.csv in it")
    with files.open(names[0]) as stream:
        header = stream.readline()
    if missing := [c for c in _NEEDED if c not in header]:
        raise BadRelease(f"{names[0]}: not the LOINC table, column {missing[0]} is missing")
    report = Report()
    version = _version(files, names[0])
    release = Release(LOINC, version, f"LOINC {version}", files.checksum(), "LOINC licence of the user")
    return Import(release, _rows(files, names[0], report), report)


def _version(files: Files, name: str) -> str:
    """The newest VersionLastChanged is the release's own number."""
    newest: tuple[int, ...] = (0,)
    with files.open(name) as stream:
        for row in table(stream, name, Report(), ","):
            text = row.get("VersionLastChanged", "")
            if text.replace(".", "").isdigit():
                newest = max(newest, tuple(int(p) for p in text.split(".") if p))
    return ".".join(map(str, newest))


def _rows(files: Files, name: str, report: Report) -> Iterator[ConceptRow]:
    with files.open(name) as stream:
        for row in table(stream, name, report, ","):
            code = row["LOINC_NUM"].strip()
            if not check_digit(code):
                report.defect(name, f"{code!r} has a wrong check digit")
                continue
            terms = [("short", row.get("SHORTNAME", "")), ("consumer", row.get("CONSUMER_NAME", ""))]
            terms += [("related", t.strip()) for t in row.get("RELATEDNAMES2", "").split(";")[:40]]
            yield ConceptRow(
                code,
                row["LONG_COMMON_NAME"] or row.get("SHORTNAME", "") or code,
                row["STATUS"] in ("ACTIVE", "TRIAL"),
                terms=tuple((k, t) for k, t in terms if t),
                properties=(
                    *tuple((p, row[p]) for p in _PROPERTIES if row.get(p)),
                    ("STATUS", row["STATUS"]),
                ),
            )


def check_digit(code: str) -> bool:
    """Whether the digit behind the hyphen fits (Luhn, modulus 10)."""
    number, _, digit = code.partition("-")
    if not number.isdigit() or len(digit) != 1 or not digit.isdigit():
        return False
    total = 0
    for place, letter in enumerate(reversed(number)):
        value = int(letter) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return (10 - total % 10) % 10 == int(digit)

"""General Equivalence Mappings of CMS (2018_I9gem.txt, 2018_I10gem.txt; public domain): ICD-9-CM <-> ICD-10-CM.

Three columns: source and target without decimal points, and five flags: approximate, no map, combination, scenario,
choice list (CMS, "Diagnosis Code Set General Equivalence Mappings, documentation and user's guide"). A combination
needs all codes of one scenario together: `group` is the scenario, `priority` the choice list, and the advice says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from terminology.importers.files import Files
from terminology.importers.rows import ICD9CM, ICD10CM, BadRelease, Import, MapRow, Release, Report

MAPS = {"i9gem": (ICD9CM, ICD10CM), "i10gem": (ICD10CM, ICD9CM)}


def read(path: Path) -> Import:
    """Raises BadRelease when there is no I9gem or I10gem file."""
    files = Files(path)
    names = [n for n in files.names if n.lower().endswith(".txt") and _kind(n)]
    if not names:
        raise BadRelease(f"{path.name}: no ..._I9gem.txt or ..._I10gem.txt in it")
    year = next((p for p in names[0].rsplit("/", 1)[-1].split("_") if p.isdigit()), "unknown")
    url = "https://www.cms.gov/medicare/coding-billing/icd-10-codes#gem"
    release = Release(
        url, year, f"CMS General Equivalence Mappings {year}", files.checksum(), "public domain (CMS)"
    )
    report = Report()
    return Import(release, _rows(files, names, url, report), report)


def _kind(name: str) -> str:
    last = name.rsplit("/", 1)[-1].lower()
    return next((k for k in MAPS if k in last), "")


def _rows(files: Files, names: list[str], url: str, report: Report) -> Iterator[MapRow]:
    for name in names:
        kind = _kind(name)
        source, target = MAPS[kind]
        with files.open(name) as stream:
            for number, line in enumerate(stream, 1):
                report.rows += 1
                parts = line.split()
                if len(parts) != 3 or len(parts[2]) != 5 or not parts[2].isdigit():
                    report.defect(f"{name}:{number}", "not source, target and five flags")
                    continue
                near, far = dotted(parts[0], source), dotted(parts[1], target)
                yield _row(f"{url}-{kind}", (source, near), (target, far), parts[2])


def _row(url: str, source: tuple[str, str], target: tuple[str, str], flags: str) -> MapRow:
    approximate, unmapped, combination, scenario, choice = tuple(flags)
    if unmapped == "1":
        return MapRow(url, *source, target[0], "", "unmatched", advice="no map in the GEMs")
    advice = "approximate" if approximate == "1" else "identical or equivalent"
    if combination == "1":
        advice += (
            f"; one of the codes of combination {scenario}, choice {choice}: all choices together are meant"
        )
    equivalence = "inexact" if approximate == "1" else "equivalent"
    return MapRow(url, *source, *target, equivalence, max(1, int(scenario)), max(1, int(choice)), "", advice)


def dotted(code: str, system: str) -> str:
    """The decimal point where it belongs: behind three characters, in ICD-9-CM E codes behind four."""
    code = code.strip().upper()
    head = 4 if system == ICD9CM and code.startswith("E") else 3
    return f"{code[:head]}.{code[head:]}" if "." not in code and len(code) > head else code

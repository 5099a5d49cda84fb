"""RxNorm: RXNCONSO.RRF and RXNREL.RRF of a user's release. Pipe-separated, no header, a trailing pipe.

https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html (sections 11 and 12)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from terminology.importers.files import Files
from terminology.importers.rows import RXNORM, BadRelease, ConceptRow, Import, Release, Report

_CONSO, _REL = 18, 16  # fields, without the empty one behind the trailing pipe
_BEST = (
    "IN", "PIN", "MIN", "SCD", "SBD", "GPCK", "BPCK", "BN", "SCDC", "SCDF", "SBDC", "SBDF", "SCDG", "SBDG", "DF", "DFG",
    "PSN", "SY", "TMSY", "ET",
)  # fmt: skip
_RELATIONS = (
    "has_ingredient",
    "has_tradename",
    "tradename_of",
    "has_dose_form",
    "consists_of",
    "isa",
    "has_form",
)


def read(path: Path) -> Import:
    """Raises BadRelease when RXNCONSO.RRF is missing or has not RxNorm's columns."""
    files = Files(path)
    conso = files.matching("RXNCONSO", suffix=".RRF")
    if not conso:
        raise BadRelease(f"{path.name}: no RXNCONSO.RRF in it")
    with files.open(conso[0]) as stream:
        if stream.readline().rstrip("\r\n").count("|") != _CONSO:
            raise BadRelease(f"{conso[0]}: not RXNCONSO (18 fields and a trailing pipe)")
    version = next(
        (p for p in path.stem.replace("-", "_").split("_") if p.isdigit() and len(p) == 8), "unknown"
    )
    release = Release(RXNORM, version, f"RxNorm {version}", files.checksum(), "UMLS licence of the user")
    report = Report()
    return Import(
        release, _rows(files, conso[0], files.matching("RXNREL", suffix=".RRF")[:1], report), report
    )


def _rows(files: Files, conso: str, rel: list[str], report: Report) -> Iterator[ConceptRow]:
    relations: dict[str, list[tuple[str, str]]] = {}
    for name in rel:
        for fields in _lines(files, name, _REL, report):
            if fields[10] == "RXNORM" and fields[7] in _RELATIONS and fields[4] and fields[0]:
                relations.setdefault(fields[4], []).append((fields[7], fields[0]))
    atoms: dict[str, list[tuple[str, str, str]]] = {}
    for fields in _lines(files, conso, _CONSO, report):
        if fields[11] == "RXNORM" and fields[1] == "ENG":
            atoms.setdefault(fields[0], []).append((fields[12], fields[14], fields[16]))
    for code, named in atoms.items():
        yield _concept(code, named, relations.get(code, []))


def _concept(code: str, named: list[tuple[str, str, str]], relations: list[tuple[str, str]]) -> ConceptRow:
    rank = {tty: i for i, tty in enumerate(_BEST)}
    named.sort(key=lambda a: (a[2] not in ("N", ""), rank.get(a[0], 99), a[1]))
    kind, display, _ = named[0]
    return ConceptRow(
        code,
        display,
        any(suppress in ("N", "") for _, _, suppress in named),
        parents=tuple(dict.fromkeys(target for name, target in relations if name == "isa")),
        terms=tuple((tty, text) for tty, text, _ in named),
        properties=(("TTY", kind), *dict.fromkeys((n, t) for n, t in relations if n != "isa")),
    )


def _lines(files: Files, name: str, fields: int, report: Report) -> Iterator[list[str]]:
    with files.open(name) as stream:
        for number, line in enumerate(stream, 1):
            report.rows += 1
            parts = line.rstrip("\r\n").split("|")
            if len(parts) == fields + 1:
                yield parts
            else:
                report.defect(f"{name}:{number}", f"{len(parts) - 1} fields, {fields} expected")

"""ICD-10-CM: the public tabular XML of CDC/NCHS (public domain), and the alphabetic index XML when a user has it.

The tabular list is a tree chapter > section > diag > diag ... Instructional notes hang on any node and hold for
everything below; 7th characters are defined on a node and hold below until redefined.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from terminology.importers.rows import ICD10CM, BadRelease, ConceptRow, Import, Release, Report
from terminology.text.patterns import CODE_NOTE

MAX_BYTES = 64_000_000
_NOTES = {
    "includes": "includes",
    "inclusionTerm": "inclusion",
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "useAdditionalCode": "use-additional",
    "codeFirst": "code-first",
    "codeAlso": "code-also",
    "notes": "note",
}
_TERM_NOTES = ("inclusionTerm", "includes")


def installed_tabular() -> Path:
    """The tabular XML inside the installed package simple_icd_10_cm (which is not imported: that takes seconds)."""
    spec = importlib.util.find_spec("simple_icd_10_cm")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    found = sorted(folder.glob("*tabular*.xml")) if folder else []
    if not found:
        raise BadRelease("the package simple_icd_10_cm with its ICD-10-CM tabular XML is not installed")
    return found[-1]


def read(path: Path) -> Import:
    """Rows of the tabular XML. Raises BadRelease for a file that is no such XML, too large, or has a DOCTYPE."""
    root, checksum = parse_xml(path)
    if root.tag != "ICD10CM.tabular":
        raise BadRelease(f"{path.name}: not the ICD-10-CM tabular list (root element {root.tag})")
    version = (root.findtext("version") or "").strip()
    release = Release(ICD10CM, version, path.stem, checksum, "public domain (CDC/NCHS, CMS)")
    report = Report()
    return Import(release, _rows(root, report), report)


def parse_xml(path: Path) -> tuple[etree._Element, str]:
    """Parse safely: no DOCTYPE, no entities, no network, a size cap. Returns (root, sha256)."""
    if path.stat().st_size > MAX_BYTES:
        raise BadRelease(f"{path.name}: larger than {MAX_BYTES} bytes")
    raw = path.read_bytes()
    if b"<!DOCTYPE" in raw[:4096]:
        raise BadRelease(f"{path.name}: DOCTYPE is not allowed")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise BadRelease(f"{path.name}: damaged XML at line {error.lineno}") from error
    return root, hashlib.sha256(raw).hexdigest()


def _rows(root: etree._Element, report: Report) -> Iterator[ConceptRow]:
    for chapter in root.iterfind("chapter"):
        yield from _walk(chapter, "", (), report)


def _walk(
    node: etree._Element, parent: str, seventh: tuple[tuple[str, str], ...], report: Report
) -> Iterator[ConceptRow]:
    code, display = (node.findtext("name") or "").strip(), (node.findtext("desc") or "").strip()
    if node.tag == "section":
        code = (node.get("id") or code).strip()
        code = code if "-" in code else f"{code}-{code}"  # a section of one category has the category's name
    if not code or not display:
        report.defect(f"line {node.sourceline}", "a node without name or description")
        return
    seventh = _seventh(node) or seventh
    children = [child for child in node if child.tag in ("section", "diag")]
    report.rows += 1
    yield ConceptRow(
        code,
        display,
        parents=(parent,) if parent else (),
        terms=tuple(_terms(node)),
        properties=tuple(_properties(node, seventh, leaf=not children)),
    )
    for child in children:
        yield from _walk(child, code, seventh, report)


def _terms(node: etree._Element) -> Iterator[tuple[str, str]]:
    for name in _TERM_NOTES:
        for note in node.iterfind(f"{name}/note"):
            if text := _clean(note):
                yield _NOTES[name], text


def _properties(
    node: etree._Element, seventh: tuple[tuple[str, str], ...], *, leaf: bool
) -> Iterator[tuple[str, str]]:
    yield "kind", str(node.tag)
    if node.tag == "diag" and leaf:
        yield (
            "billable",
            "false" if seventh and len((node.findtext("name") or "").replace(".", "")) < 7 else "true",
        )
        yield "leaf", "true"
        for letter, meaning in seventh:
            yield "seventh-character", f"{letter} {meaning}"
    for name, kind in _NOTES.items():
        if name not in _TERM_NOTES:
            for note in node.iterfind(f"{name}/note"):
                if text := _clean(note):
                    yield kind, text


def _seventh(node: etree._Element) -> tuple[tuple[str, str], ...]:
    return tuple(
        (e.get("char") or "", _clean(e)) for e in node.iterfind("sevenChrDef/extension") if e.get("char")
    )


def _clean(node: etree._Element) -> str:
    return " ".join("".join(str(part) for part in node.itertext()).split())


def phrase_in_note(note: str) -> tuple[str, str] | None:
    """ "gestational diabetes (O24.4-)" -> ("gestational diabetes", "O24.4"): a synonym hidden in a note, else None."""
    found = CODE_NOTE.match(note)
    return (found[1].strip(), found[2]) if found else None

"""The ICD-10-CM alphabetic index (icd10cm-index-YYYY.xml of CDC/NCHS, public domain; Index to Diseases and Injuries).

letter > mainTerm > term > term ...: each level adds words to those above. `nemod` are nonessential modifiers, which
may stand in a diagnosis or not. The index has no codes of its own: its phrases are terms of ICD-10-CM codes, for the
text coder; a code that ends with a hyphen names a heading.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from terminology.importers.icd10cm import parse_xml
from terminology.importers.rows import ICD10CM, BadRelease, ConceptRow, Import, Release, Report

SYSTEM = f"{ICD10CM}#index"
_MAX_WORDS = 14


def read(path: Path) -> Import:
    """Raises BadRelease for a file that is no such index, too large, damaged, or has a DOCTYPE."""
    root, checksum = parse_xml(path)
    if root.tag != "ICD10CM.index":
        raise BadRelease(f"{path.name}: not the ICD-10-CM alphabetic index (root element {root.tag})")
    version = (root.findtext("version") or "").strip() or "unknown"
    report = Report()
    release = Release(SYSTEM, version, path.stem, checksum, "public domain (CDC/NCHS, CMS)")
    return Import(release, _rows(root, report), report)


def _rows(root: etree._Element, report: Report) -> Iterator[ConceptRow]:
    phrases: dict[str, dict[str, None]] = {}
    for main in root.iterfind("letter/mainTerm"):
        for code, phrase in _walk(main, ((),), report):
            phrases.setdefault(code, {})[phrase] = None
    for code, found in phrases.items():
        first, *others = found
        yield ConceptRow(code, first, terms=tuple(("index", text) for text in others))


def _walk(
    node: etree._Element, above: tuple[tuple[str, ...], ...], report: Report
) -> Iterator[tuple[str, str]]:
    """(code, phrase) of a node and all below. `above`: the readings of the words so far, each a tuple of parts."""
    report.rows += 1
    title = node.find("title")
    if title is None:
        report.defect(f"line {node.sourceline}", "an entry without title")
        return
    readings = tuple((*words, own) for words in above for own in _readings(title))[:6]
    for element in node.iterfind("code"):
        code = (element.text or "").strip().rstrip("-").rstrip(".")
        if not _is_code(code):
            report.defect(f"line {element.sourceline}", "a code that is none of ICD-10-CM's form")
            continue
        for words in readings:
            phrase = " ".join(p for p in words if p)
            if phrase and len(phrase.split()) <= _MAX_WORDS:
                yield code, phrase
    for child in node.iterfind("term"):
        yield from _walk(child, readings, report)


def _readings(title: etree._Element) -> tuple[str, ...]:
    """The words of a title, one reading for each of its comma-separated forms ("Diabetes, diabetic")."""
    text = " ".join(" ".join([title.text or "", *(child.tail or "" for child in title)]).split())
    forms = [form.strip() for form in text.split(",") if form.strip()]
    if len(forms) <= 1 or any(" " in form for form in forms[1:]):
        return (" ".join(text.replace(",", " ").split()),)
    return tuple(forms[:3])


def _is_code(code: str) -> bool:
    head, _, rest = code.partition(".")
    good = len(head) == 3 and head[0].isalpha() and head[1].isdigit() and head[2].isalnum()
    return good and head.isascii() and (not rest or (rest.isalnum() and len(rest) <= 4))

"""CDA bytes -> an lxml tree, hardened (security 5.3, rows 29 to 33), and the few questions asked of it.

No document type, no entities, no includes, no network; bounded size and depth; the declared encoding must fit the
bytes. Processing instructions (a stylesheet) are dropped: they never reach what is stored.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from lxml import etree

from fhir_twin.errors import InvalidInput, TooCostly

V3 = "urn:hl7-org:v3"
SDTC = "urn:hl7-org:sdtc"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
NS = {"h": V3, "sdtc": SDTC}
MAX_BYTES = 32 * 1024 * 1024
MAX_ELEMENTS = 500_000
MAX_NARRATIVE = 20_000  # characters of one piece of narrative that an entry points to
Node = etree._Element
_DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]{0,300}\?>")
_FORBIDDEN = re.compile(r"<!DOCTYPE|<!ENTITY|http://www\.w3\.org/2001/XInclude", re.IGNORECASE)
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "iso8859-1",
              "latin1": "iso8859-1", "iso-8859-15": "iso8859-15", "windows-1252": "cp1252", "utf-16": "utf-16",
              "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}  # fmt: skip
_BLANK = re.compile(r"[ \t\r\n\xa0]+")


def open_document(data: bytes) -> Node:
    """The ClinicalDocument element. Raises InvalidInput (rule, never content) and TooCostly."""
    if len(data) > MAX_BYTES:
        raise TooCostly("the document is larger than this service reads")
    text = _DECLARATION.sub("", _decoded(data), count=1)
    if "\x00" in text:
        raise InvalidInput("the document holds NUL characters")
    if _FORBIDDEN.search(text):
        raise InvalidInput("a document with DOCTYPE, entities or includes is not allowed")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise InvalidInput("the document is not well-formed XML") from None
    if etree.QName(root) != etree.QName(V3, "ClinicalDocument"):
        raise InvalidInput("the document is no CDA ClinicalDocument")
    for count, _ in enumerate(root.iter(), 1):
        if count > MAX_ELEMENTS:
            raise TooCostly("the document has more elements than this service reads")
    return root


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        codec = "utf-16"
    else:
        found = _DECLARED.match(data.removeprefix(codecs.BOM_UTF8))
        name = found[1].decode("ascii").lower() if found else "utf-8"
        codec = _ENCODINGS.get(name, "")
        if data[:8].count(0) >= 3:
            raise InvalidInput("the document is UTF-16 without its byte order mark")
        if not codec or codec.startswith("utf-16"):
            raise InvalidInput("the document's declared encoding is not one that is read here")
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InvalidInput("the document's bytes do not fit its declared encoding") from None


def find(node: Node, *path: str) -> Node | None:
    """The first descendant by local names in the v3 namespace."""
    found: Node | None = node
    for name in path:
        found = found.find(f"{{{V3}}}{name}") if found is not None else None
    return found


def each(node: Node | None, *path: str) -> list[Node]:
    """All nodes at a path of local names."""
    nodes = [node] if node is not None else []
    for name in path:
        nodes = [child for n in nodes for child in n.findall(f"{{{V3}}}{name}")]
    return nodes


def attribute(node: Node | None, name: str) -> str:
    """The attribute's text without blanks around it; "" when it is not there."""
    return str(node.get(name) or "").strip() if node is not None else ""


def templates(node: Node) -> set[str]:
    """templateId roots; the version date is not looked at (CD-1)."""
    return {attribute(t, "root") for t in each(node, "templateId")}


def words(node: Node | None, limit: int = MAX_BYTES) -> str:
    """All text inside, blanks collapsed; no more is looked at than `limit` characters need."""
    if node is None:
        return ""
    parts, length = [], 0
    for text in node.itertext():
        parts.append(str(text)[:limit])
        length += len(text)
        if length >= limit:
            break
    return _BLANK.sub(" ", "".join(parts))[:limit].strip()


def narrative_index(root: Node) -> dict[str, str]:
    """ID in a section's text -> its words, for originalText/reference (CD-6). The first of two equal IDs counts."""
    found: dict[str, str] = {}
    for text in root.iter(f"{{{V3}}}text"):
        if etree.QName(text.getparent()).localname != "section":
            continue
        for node in text.iter():
            name = node.get("ID") if isinstance(node.tag, str) else None
            if name and name not in found and len(found) < 100_000:
                found[name] = words(node, MAX_NARRATIVE)
    return found


def sections(root: Node) -> Iterator[Node]:
    """Sections of the structured body, nested ones too."""
    body = find(root, "component", "structuredBody")
    if body is not None:
        yield from body.iter(f"{{{V3}}}section")

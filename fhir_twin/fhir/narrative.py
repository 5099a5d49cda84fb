"""Narratives: a builder that can only make safe XHTML, and the checker for anybody's (R4 narrative rules).

The builder escapes every text; tags come only from this file. `as_of` marks what changes from run to run
although nothing was learnt (dates): the content digest leaves it out (ID-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lxml import etree

from fhir_twin.fhir.write_elements import MAX_TEXT, harmless

XHTML = "http://www.w3.org/1999/xhtml"
VOLATILE_CLASS = "as-of"

# R4 narrative: HTML 4.0 chapters 7-11 (except 9.4) and 15, <a>, <img>, internal style attributes; no more.
_TAG_NAMES = """
    div p br hr b i em strong small big tt sub sup span h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table caption
    colgroup col thead tbody tfoot tr th td pre code samp kbd var q blockquote cite dfn abbr acronym address
    ins del bdo a img
"""
_ATTRIBUTE_NAMES = """
    title style class id lang dir accesskey tabindex span width align valign char charoff abbr axis headers
    scope rowspan colspan border cellpadding cellspacing frame rules summary xml:lang
"""
_TAGS = frozenset(_TAG_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_MORE = {
    "a": {"href", "name"},
    "img": {"src", "alt", "height", "longdesc"},
    "q": {"cite"},
    "blockquote": {"cite"},
}
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def text(value: str) -> str:
    """Any text as XHTML."""
    return escape(harmless(value)[:MAX_TEXT], quote=True)


def heading(value: str, level: int = 3) -> str:
    return f"<h{level}>{text(value)}</h{level}>"


def paragraph(*parts: str) -> str:
    """A paragraph of already safe parts (`text`, `strong`, `as_of`)."""
    inner = "".join(parts)
    return f"<p>{inner}</p>" if inner else ""


def strong(value: str) -> str:
    return f"<b>{text(value)}</b>"


def as_of(value: str) -> str:
    """A text that does not count when two narratives are compared."""
    return f'<span class="{VOLATILE_CLASS}">{text(value)}</span>'


def bullets(items: Iterable[str], *, ordered: bool = False) -> str:
    """A list of already safe items; "" when there are none."""
    rows = "".join(f"<li>{item}</li>" for item in items if item)
    tag = "ol" if ordered else "ul"
    return f"<{tag}>{rows}</{tag}>" if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts (escaped here); "" when there are no rows."""
    body = "".join("<tr>" + "".join(f"<td>{text(c)}</td>" for c in row) + "</tr>" for row in rows)
    top = "".join(f"<th>{text(c)}</th>" for c in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>" if body else ""


def narrative(*blocks: str, status: str = "generated") -> dict[str, str]:
    """A Narrative of already safe blocks. Never empty: FHIR demands some text (txt-2)."""
    inner = "".join(blocks) or "<p>(no text)</p>"
    return {"status": status, "div": f'<div xmlns="{XHTML}">{inner}</div>'}


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )


def parse_div(div: str) -> etree._Element | None:
    """The div as a tree, None when it is not well-formed or brings a document type."""
    if "<!DOCTYPE" in div or "<!ENTITY" in div or "<?" in div:
        return None
    try:
        return etree.fromstring(div.encode("utf-8"), _parser())
    except (etree.XMLSyntaxError, UnicodeEncodeError):
        return None


def narrative_faults(div: str) -> list[str]:
    """What is wrong with a narrative div, as rule names (no text of it); [] when it is fit to be shown."""
    root = parse_div(div)
    if root is None:
        return ["narrative is not well-formed XHTML"]
    if root.tag != f"{{{XHTML}}}div":
        return ["narrative must be a div in the XHTML namespace"]
    faults: dict[str, None] = {}
    for element in root.iter("*"):  # elements only: a comment is allowed
        for fault in _element_faults(element):
            faults[fault] = None
    if not _words(root) and root.find(f".//{{{XHTML}}}img") is None:
        faults["narrative has no text (txt-2)"] = None
    return list(faults)


def _element_faults(element: etree._Element) -> Iterable[str]:
    name = etree.QName(element)
    if name.namespace != XHTML or name.localname not in _TAGS:
        yield "narrative holds an element that FHIR does not allow (txt-1)"
        return
    allowed = _ATTRIBUTES | _MORE.get(name.localname, set())
    for key, value in element.attrib.items():
        plain = "xml:lang" if key == _XML_LANG else str(key)
        if plain not in allowed:
            yield "narrative holds an attribute that FHIR does not allow (txt-1)"
        if plain in ("href", "src", "cite", "longdesc") and not _safe_link(str(value), name.localname):
            yield "narrative links to something that is not safe"
        if plain == "style" and _active_style(str(value)):
            yield "narrative style reaches outside"


def _safe_link(value: str, tag: str) -> bool:
    link = "".join(value.split()).lower()
    if tag == "img":
        return link.startswith(("#", "data:image/png;", "data:image/jpeg;", "data:image/gif;"))
    return link.startswith(("#", "https://", "http://", "mailto:")) or ":" not in link.split("/", 1)[0]


def _active_style(value: str) -> bool:
    style = "".join(value.split()).lower().replace("\\", "")
    return any(
        word in style
        for word in ("url(", "expression(", "@import", "javascript:", "behavior:", "-moz-binding")
    )


def plain_text(div: str, *, volatile: bool = True) -> str | None:
    """The words of a div with single blanks; without the `as_of` parts when volatile is False. None when it does
    not parse. Two servers that write the same narrative in different ways give the same words."""
    root = parse_div(div)
    if root is None:
        return None
    if not volatile:
        for span in list(root.iter(f"{{{XHTML}}}span")):
            if span.get("class") == VOLATILE_CLASS:
                span.text = ""
                for child in list(span):
                    span.remove(child)
    return _words(root)


def _words(root: etree._Element) -> str:
    """Words of neighbouring elements do not run together, whatever white space a server put between tags."""
    return " ".join(" ".join(str(part) for part in root.itertext()).split())

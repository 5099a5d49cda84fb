"""A narrative as a PDF of pages to print: for servers and people that take no CarePlan (E8).

reportlab (BSD) sets the text. The same narrative gives the same bytes (no time stamp, no random id), so that a second
write finds nothing to change. Letters that its font lacks become "?".
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

_NS = "{http://www.w3.org/1999/xhtml}"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def narrative_pdf(div: str, title: str) -> bytes:
    """div: the XHTML of `text.div` as we write it. title: of the document. A4."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    out = io.BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 18 * mm)
    page = SimpleDocTemplate(
        out, pagesize=A4, title=title, author="fhir-twin", invariant=1, lang="en", **margins
    )
    root = etree.fromstring(div.encode(), _PARSER)
    page.build(list(_blocks(root, _styles(), page.width)), onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _styles() -> dict[str, Any]:
    import reportlab
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    fonts = Path(reportlab.__file__).parent / "fonts"
    for name, file in (
        ("Vera", "Vera.ttf"),
        ("VeraBd", "VeraBd.ttf"),
        ("VeraIt", "VeraIt.ttf"),
        ("VeraBI", "VeraBI.ttf"),
    ):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(fonts / file)))
    pdfmetrics.registerFontFamily("Vera", normal="Vera", bold="VeraBd", italic="VeraIt", boldItalic="VeraBI")
    body = ParagraphStyle("body", fontName="Vera", fontSize=8.5, leading=11.5, spaceAfter=3)
    return {
        "p": body,
        "li": body,
        "td": ParagraphStyle("cell", parent=body, fontSize=7.5, leading=9.5, spaceAfter=0),
        "h3": ParagraphStyle("h3", parent=body, fontName="VeraBd", fontSize=14, leading=18, spaceAfter=6),
        "h4": ParagraphStyle(
            "h4", parent=body, fontName="VeraBd", fontSize=10.5, leading=14, spaceBefore=7, keepWithNext=1
        ),
    }


def _blocks(node: Any, styles: dict[str, Any], width: float) -> Iterator[Any]:
    from reportlab.platypus import Paragraph

    for child in node:
        name = _name(child)
        if name in ("h3", "h4", "p"):
            yield Paragraph(_inline(child), styles[name])
        elif name in ("ul", "ol"):
            yield _list(child, styles, width)
        elif name == "table":
            yield from _table(child, styles, width)
        else:
            yield from _blocks(child, styles, width)


def _list(node: Any, styles: dict[str, Any], width: float) -> Any:
    from reportlab.platypus import ListFlowable, ListItem, Paragraph

    items = []
    for item in node:
        inner: list[Any] = [Paragraph(_inline(item), styles["li"])]
        inner += [_list(c, styles, width - 14) for c in item if _name(c) in ("ul", "ol")]
        items.append(ListItem(inner))
    ordered = _name(node) == "ol"
    return ListFlowable(items, bulletType="1" if ordered else "bullet", leftIndent=14, bulletFontSize=8,
                        bulletFontName="Vera", start=None if ordered else "\u2022")  # fmt: skip


def _table(node: Any, styles: dict[str, Any], width: float) -> Iterator[Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Paragraph, Spacer, Table

    rows = [
        [Paragraph(_inline(c, bold=_name(c) == "th"), styles["td"]) for c in row if _name(c) in ("td", "th")]
        for row in node.iter(f"{_NS}tr")
    ]
    columns = max((len(r) for r in rows), default=0)
    if not columns:
        return
    filled = [r + [""] * (columns - len(r)) for r in rows]
    grid = [("GRID", (0, 0), (-1, -1), 0.4, HexColor("#888888")), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    yield Table(filled, colWidths=[width / columns] * columns, repeatRows=1, style=grid)
    yield Spacer(1, 6)


def _inline(node: Any, *, bold: bool = False) -> str:
    """Text with its bold parts, without the lists in it (they are blocks of their own)."""
    parts = [escape(node.text or "")]
    for child in node:
        if _name(child) not in ("ul", "ol", "table"):
            inner = _inline(child)
            parts.append(f"<b>{inner}</b>" if _name(child) in ("b", "strong") else inner)
        parts.append(escape(child.tail or ""))
    text = _printable("".join(parts))
    return f"<b>{text}</b>" if bold else text


def _printable(text: str) -> str:
    from reportlab.pdfbase import pdfmetrics

    known = pdfmetrics.getFont("Vera").face.charToGlyph
    return "".join(c if ord(c) in known or c in "\n\t" else "?" for c in text)


def _name(node: Any) -> str:
    return str(node.tag).removeprefix(_NS) if isinstance(node.tag, str) else ""


def _foot(canvas: Any, page: Any) -> None:
    canvas.setFont("Vera", 7)
    canvas.drawCentredString(
        page.pagesize[0] / 2, 24, f"DRAFT, needs clinician approval \u2013 page {page.page}"
    )

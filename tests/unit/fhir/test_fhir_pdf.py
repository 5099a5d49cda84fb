"""The plan as a document: PDF and page, for servers that take no CarePlan (E8)."""

from __future__ import annotations

import base64

import pytest

from fhir_twin.fhir.write_document import in_one_form
from fhir_twin.fhir.write_pdf import narrative_pdf

DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><h3>Care plan &amp; proposal</h3><p>a &lt;b&gt; <b>bold</b> tail</p>'
    "<ol><li>one<ul><li>inner 1</li><li>inner 2</li></ul></li><li>two</li></ol>"
    "<table><thead><tr><th>x</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>"
)


def test_the_same_narrative_gives_the_same_pdf() -> None:
    first = narrative_pdf(DIV, "Plan")
    assert first.startswith(b"%PDF-")
    assert first == narrative_pdf(DIV, "Plan")
    assert first != narrative_pdf(DIV.replace("two", "three"), "Plan")


@pytest.mark.parametrize(
    "text", ["", "\u4e2d\u6587 \u0645\u0631\u062d\u0628\u0627", "x" * 5000, "\u202ereversed"]
)
def test_any_text_can_be_set(text: str) -> None:
    assert narrative_pdf(DIV.replace("two", text), text[:50]).startswith(b"%PDF-")


def test_a_vendor_that_takes_one_form_gets_the_pdf() -> None:
    data = base64.b64encode(b"x").decode()
    content = [{"attachment": {"contentType": c, "data": data}} for c in ("application/pdf", "b")]
    document = {"resourceType": "DocumentReference", "content": content}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": document}]}
    one = in_one_form(bundle)
    assert one is not None
    assert [c["attachment"]["contentType"] for c in one["entry"][0]["resource"]["content"]] == [
        "application/pdf"
    ]
    assert in_one_form(one) is None

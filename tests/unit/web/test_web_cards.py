"""Card texts within their limits, whatever the record holds (CR-1, CR-2, security.md 5.3 row 45)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_twin.web.cds_card import LONGEST, escaped, line
from fhir_twin.web.smart_style import read_style


@given(st.text(max_size=600))
def test_a_summary_is_one_short_line(text: str) -> None:
    made = line(text)
    assert len(made) <= LONGEST < 140
    assert "\n" not in made
    assert made == "" or made.isprintable()
    assert made == line(made)


@given(st.text(alphabet="<>[]()!*_`#|~&\\-+abc:/w.@ \n", max_size=200))
def test_markdown_of_a_record_is_text(text: str) -> None:
    made = escaped(text)
    assert "<" not in made
    assert ">" not in made
    assert "\n" not in made
    assert "://" not in made
    for mark in "[]()!*_`#|~":
        assert mark not in made.replace("\\" + mark, "").replace("&#47;", "").replace("&#46;", "").replace(
            "&#64;", ""
        )


def test_a_style_is_colours_and_lengths_only() -> None:
    """SL-12: untrusted CSS input."""
    body = (
        b'{"color_text":"#345","color_error":"red;}body{background:url(x)","dim_font_size":"13px","x":"#fff"}'
    )
    assert read_style(body) == {"color_text": "#345", "dim_font_size": "13px"}
    for nothing in (b"", b"[]", b"7", b'{"color_text":7}', b"\xff"):
        assert read_style(nothing) == {}

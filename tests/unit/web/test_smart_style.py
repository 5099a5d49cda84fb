"""smart_style_url: only plain colours and lengths, and only what can be read on our page (SL-12, A16; WCAG 1.4.3)."""

from __future__ import annotations

import json

import pytest

from fhir_twin.web.smart_contrast import contrast, darkened
from fhir_twin.web.smart_style import read_style

# The example of the SMART App Launch specification, which launchers send as it stands.
EXAMPLE = {
    "color_background": "#edeae3", "color_error": "#9e2d2d", "color_highlight": "#69b5ce", "color_modal_backdrop": "",
    "color_success": "#498e49", "color_text": "#303030", "dim_border_radius": "6px", "dim_font_size": "13px",
    "dim_spacing_size": "20px", "font_family_body": "Georgia, Times, 'Times New Roman', serif",
}  # fmt: skip
DARK = {
    "color_background": "#0B1220",
    "color_text": "#F5F6F8",
    "color_highlight": "#8FC1EE",
    "color_error": "#F29088",
}


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#fff", "#000000", 21.0), ("#777777", "#ffffff", 4.48), ("#0000ff", "#ffffff", 8.59)],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    """Published values of the usual checkers."""
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert contrast(other, one) == contrast(one, other)


@pytest.mark.parametrize("style", [EXAMPLE, DARK, {"color_text": "#fff"}, {"color_highlight": "#fff"}, {}])
def test_whatever_an_ehr_sends_can_be_read(style: dict[str, str]) -> None:
    found = read_style(json.dumps(style).encode())
    background = found.get("color_background", "#f3f6f8")
    for name in ("color_text", "color_highlight", "color_error", "color_success"):
        for ground in ("#ffffff", background):
            assert name not in found or contrast(found[name], ground) >= 4.5, (name, ground)
    assert contrast("#51606f", background) >= 4.5


def test_what_is_legible_stays_and_a_dark_theme_is_left_out_whole() -> None:
    light = read_style(json.dumps(EXAMPLE).encode())
    assert (light["color_background"], light["color_text"]) == ("#edeae3", "#303030")
    assert light["color_highlight"] != "#69b5ce"
    assert light["dim_font_size"] == "13px"
    dark = read_style(json.dumps(DARK).encode())
    assert "color_background" not in dark
    assert "color_text" not in dark
    assert darkened("#0a5ea8", ("#ffffff", 4.5)) == "#0a5ea8"


@pytest.mark.parametrize(
    ("size", "kept"),
    [("13px", True), ("999px", False), ("1px", False), ("1.1rem", True), ("9rem", False), ("12pt", True)],
)
def test_sizes_leave_the_page_usable(size: str, kept: bool) -> None:
    assert ("dim_font_size" in read_style(json.dumps({"dim_font_size": size}).encode())) is kept


@pytest.mark.parametrize(
    "value",
    [b"", b"[]", b"{", b'{"color_text": 7}', b'{"color_text": "red"}', b'{"color_text": "#12345"}',
     b'{"color_text": "#000;} body{display:none"}', b'{"dim_font_size": "calc(1px)"}'],
)  # fmt: skip
def test_nothing_else_gets_into_our_css(value: bytes) -> None:
    """Somebody else's text on its way into a style sheet."""
    assert read_style(value) == {}

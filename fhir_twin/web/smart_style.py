"""The EHR's colours and sizes (smart_style_url), checked: it is somebody else's text on its way into our CSS."""

from __future__ import annotations

import re

import orjson

from fhir_twin.web.smart_contrast import legible

_COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_SIZE = re.compile(r"\d{1,3}(?:\.\d{1,2})?(?:px|rem|em|pt)\Z")
COLORS = (
    "color_background",
    "color_error",
    "color_highlight",
    "color_modal_backdrop",
    "color_success",
    "color_text",
)
SIZES = ("dim_border_radius", "dim_font_size", "dim_spacing_size")


def read_style(body: bytes) -> dict[str, str]:
    """The known names with a plain colour or length that can be read on our page; everything else is left out."""
    try:
        value = orjson.loads(body[:20_000])
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    found: dict[str, str] = {}
    for names, pattern in ((COLORS, _COLOR), (SIZES, _SIZE)):
        for name in names:
            text = value.get(name)
            if isinstance(text, str) and pattern.match(text.strip()):
                found[name] = text.strip()
    return legible(found)

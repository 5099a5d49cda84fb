"""The EHR's colours on our page: kept where they can be read, darkened until they can, else left out.

Our cards are white and our text stands on them, so that a light highlight (the SMART specification's own example has
one) or the text of a dark theme would not be legible. Ratios are those of WCAG 2.2, 1.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping

WHITE = "#ffffff"
SOFT_INK = "#51606f"  # of secondary words, which stand on the page's background too
READABLE = 4.5
ON_TINTS = 5.5  # against white, so that it is 4.5 on our light tints as well
STEP = 0.92
# Sizes that leave the page usable, by unit: (least, most).
_SIZES = {"px": (10.0, 24.0), "pt": (8.0, 18.0), "rem": (0.7, 1.6), "em": (0.7, 1.6)}


def legible(style: Mapping[str, str]) -> dict[str, str]:
    """style: names of SMART's style sheet -> plain colours and lengths (smart_style.read_style).

    What can be used, changed where it has to be. A background that is too dark for our text takes its text colour with
    it: both are of a theme that our white cards do not follow."""
    found = dict(style)
    background = found.get("color_background", WHITE)
    if contrast(background, SOFT_INK) < READABLE:
        found.pop("color_background", None)
        found.pop("color_text", None)
        background = WHITE
    if (
        "color_text" in found
        and min(contrast(found["color_text"], b) for b in (WHITE, background)) < READABLE
    ):
        del found["color_text"]
    for name in ("color_highlight", "color_error", "color_success"):
        if name in found:
            found[name] = darkened(found[name], (WHITE, ON_TINTS), (background, READABLE))
    if not _usable(found.get("dim_font_size", "15px")):
        del found["dim_font_size"]
    return found


def darkened(color: str, *wanted: tuple[str, float]) -> str:
    """The colour, mixed with black until it has each ratio against its background. wanted: (background, ratio)."""
    red, green, blue = _channels(color)
    while any(contrast(_hex(red, green, blue), ground) < ratio for ground, ratio in wanted):
        if max(red, green, blue) < 1:
            break
        red, green, blue = red * STEP, green * STEP, blue * STEP
    return _hex(red, green, blue)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [c / 255 for c in _channels(color)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(color: str) -> tuple[float, float, float]:
    digits = color.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(d * 2 for d in digits)
    return float(int(digits[0:2], 16)), float(int(digits[2:4], 16)), float(int(digits[4:6], 16))


def _hex(red: float, green: float, blue: float) -> str:
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"


def _usable(size: str) -> bool:
    unit = size.lstrip("0123456789.")
    least, most = _SIZES.get(unit, (0.0, 0.0))
    return least <= float(size.removesuffix(unit)) <= most

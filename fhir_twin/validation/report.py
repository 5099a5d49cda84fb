"""The checks as one readable HTML file (plots inside, no script) and as JSON. Plots by matplotlib (extra: reports)."""

from __future__ import annotations

import base64
from html import escape

from fhir_twin.plotting import as_png, pyplot
from fhir_twin.validation.checks import Check, Figure

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;"
    "border-bottom:1px solid #d0d7de;vertical-align:top}img{max-width:100%}.bad{color:#8a2c0d}"
)
MARKERS = "osD^vPX"


def to_html(checks: tuple[Check, ...], title: str, facts: tuple[tuple[str, str], ...]) -> str:
    """facts: what was checked (versions, numbers), shown at the top. Raises NotSupported without matplotlib."""
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    passed = sum(c.passed for c in checks)
    lines = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in facts)
    start = f"<h1>{escape(title)}</h1><p>{passed} of {len(checks)} checks passed.</p><ul>{lines}</ul>"
    return head + start + "".join(_section(c) for c in checks) + "</html>\n"


def _section(check: Check) -> str:
    verdict = "passed" if check.passed else "<strong class='bad'>NOT passed</strong>"
    figures = "".join(
        f"<p><img alt='{escape(f.title)}; the numbers are in the table' src='data:image/png;base64,"
        f"{base64.b64encode(draw(f)).decode()}'></p>"
        for f in check.figures
    )
    bar = f"<p><b>Bar:</b> {escape(check.bar)}: {verdict}.</p>"
    return f"<h2>{escape(check.title)}</h2><p>{escape(check.text)}</p>{bar}{figures}{_table(check.rows)}"


def _table(rows: tuple[tuple[str, ...], ...]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def draw(figure: Figure) -> bytes:
    """The figure as PNG."""
    plt = pyplot()
    fig, axes = plt.subplots(figsize=(7.5, 4.6), dpi=110)
    for i, s in enumerate(figure.series):
        if s.low:
            errors = [
                [y - a for y, a in zip(s.y, s.low, strict=True)],
                [b - y for y, b in zip(s.y, s.high, strict=True)],
            ]
            axes.errorbar(s.x, s.y, yerr=errors, fmt=MARKERS[i % len(MARKERS)], capsize=4, label=s.label)
        else:
            line = "-" if s.style == "line" else ""
            axes.plot(s.x, s.y, marker=MARKERS[i % len(MARKERS)], linestyle=line, label=s.label)
    if figure.diagonal:
        ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
        axes.plot(ends, ends, color="#888", linewidth=1, linestyle="--")
    if figure.level is not None:
        axes.axhline(figure.level, color="#888", linewidth=1, linestyle="--")
    if figure.ticks:
        axes.set_xticks(range(len(figure.ticks)), figure.ticks, rotation=15, ha="right")
    axes.set(title=figure.title, xlabel=figure.x_label, ylabel=figure.y_label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return as_png(plt, fig)

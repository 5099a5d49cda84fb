"""A report as one readable HTML file: words, tables, pictures inside; no script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import isnan

from fhir_twin.population.statistics import Interval

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.25rem .5rem;"
    "border-bottom:1px solid #d0d7de;vertical-align:top;font-variant-numeric:tabular-nums}"
    ".wide{overflow-x:auto}img{max-width:100%;height:auto}.flag{color:#8a2c0d;font-weight:600}"
    "@media print{body{margin:0;max-width:none}}"
)


@dataclass(frozen=True, slots=True)
class Section:
    """rows: a table, the first row its head. figures: (what it shows, PNG). flag: shown in bold at the top."""

    title: str
    text: str = ""
    rows: Sequence[Sequence[str]] = ()
    figures: Sequence[tuple[str, bytes]] = ()
    flag: str = ""
    after: str = field(default="")


def to_html(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The whole file. facts: what was looked at, when, with which knowledge."""
    lines = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in facts)
    body = "".join(_section(s) for s in sections)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{escape(title)}</h1><ul>{lines}</ul>{body}</html>\n"
    )


def _section(section: Section) -> str:
    flag = f"<p class='flag'>{escape(section.flag)}</p>" if section.flag else ""
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    figures = "".join(
        f"<p><img alt='{escape(alt, quote=True)}; the numbers are in the table' "
        f"src='data:image/png;base64,{base64.b64encode(png).decode()}'></p>"
        for alt, png in section.figures
    )
    after = f"<p>{escape(section.after)}</p>" if section.after else ""
    return f"<h2>{escape(section.title)}</h2>{flag}{text}{figures}{_table(section.rows)}{after}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows[1:])
    return f"<div class='wide' tabindex='0'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def told(interval: Interval, form: str = ".2f", scale: float = 1.0) -> str:
    """ "0.80 (0.75 to 0.85)", or a dash when it cannot be told."""
    if isnan(interval.value):
        return "–"
    v, low, high = (format(scale * x, form) for x in (interval.value, interval.low, interval.high))
    return f"{v} ({low} to {high})"

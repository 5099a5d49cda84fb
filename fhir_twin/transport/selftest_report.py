"""The self-test as JUnit XML and as a page to hand on. Neither holds patient data: the checks do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from xml.etree import ElementTree as Tree

from fhir_twin.transport.selftest import Check, State
from fhir_twin.transport.selftest_features import Feature

_ORDER: tuple[State, ...] = ("fail", "warn", "not offered", "pass")
_WORDS = {"fail": "fail", "warn": "work with a loss", "not offered": "not offered", "pass": "pass"}


def junit(checks: Sequence[Check], server: str) -> bytes:
    """fail = failure; "not offered" = skipped; a loss stands in system-out."""
    counts = Counter(c.state for c in checks)
    suite = Tree.Element(
        "testsuite",
        name=f"fhir-twin check {server}",
        tests=str(len(checks)),
        failures=str(counts["fail"]),
        skipped=str(counts["not offered"]),
        errors="0",
    )
    for check in checks:
        case = Tree.SubElement(
            suite, "testcase", classname=group_of(check), name=f"{check.id} {check.name}".strip()
        )
        text = f"{check.seen}\n{check.advice}".strip()
        if check.state == "fail":
            Tree.SubElement(case, "failure", message=check.seen).text = check.advice
        elif check.state == "not offered":
            Tree.SubElement(case, "skipped", message=text)
        else:
            Tree.SubElement(case, "system-out").text = text
    tree: bytes = Tree.tostring(suite, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tree


def group_of(check: Check) -> str:
    """The part of the check list."""
    names = {
        "A": "SMART",
        "B": "Backend Services",
        "C": "Bulk Data",
        "D": "CDS Hooks",
        "E": "Writing",
        "G": "Subscriptions",
    }
    return names.get(check.id[:1], "Reading")


def page(checks: Sequence[Check], found: Sequence[Feature], server: str, when: str) -> bytes:
    """One HTML page without scripts; colour is never the only sign."""
    counts = Counter(c.state for c in checks)
    summary = ", ".join(f"{counts[s]} {_WORDS[s]}" for s in _ORDER if counts[s])
    worst = [c for c in checks if c.state == "fail"]
    body = [
        f"<h1>Connection check</h1><p class='where'>{escape(server)}<br>{escape(when)}</p>",
        f"<p><strong>{len(checks)} checks: {summary}.</strong></p>",
        "<h2>What will work</h2>",
        _features(found),
    ]
    if worst:
        body += [
            "<h2>What to do first</h2><ul>",
            *(
                f"<li><strong>{escape(c.name)}</strong>: {escape(c.seen)}. {escape(c.advice)}</li>"
                for c in worst
            ),
            "</ul>",
        ]
    body.append("<h2>All checks</h2>")
    body += _groups(checks)
    return _PAGE.format(title=escape(server), body="\n".join(body)).encode("utf-8")


def _mark(state: str) -> str:
    return f"<td class='s {state.replace(' ', '-')}'>{state}</td>"


def _table(name: str, heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th scope='col'>{h}</th>" for h in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><caption class='hidden'>{name}</caption><tr>{head}</tr>{body}</table>"


def _features(found: Sequence[Feature]) -> str:
    rows = [f"<td>{escape(f.name)}</td>{_mark(f.works)}<td>{escape(f.why)}</td>" for f in found]
    return _table("Features", ("Feature", "Works", "Why"), rows)


def _groups(checks: Sequence[Check]) -> list[str]:
    parts = []
    for name in dict.fromkeys(group_of(c) for c in checks):
        rows = [
            f"<td>{escape(c.id)}</td><td>{escape(c.name)}</td>{_mark(c.state)}"
            f"<td>{escape(c.seen)}</td><td>{escape(c.advice)}</td>"
            for c in checks
            if group_of(c) == name
        ]
        parts.append(f"<h3>{name}</h3>{_table(name, ('Id', 'Check', 'Result', 'Seen', 'What to do'), rows)}")
    return parts


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Connection check: {title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 64rem;
 margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; margin-bottom: .2rem; }} h2 {{ font-size: 1.2rem; margin-top: 2rem; }}
h3 {{ font-size: 1rem; }}
.where {{ color: #4d5661; margin-top: 0; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }} .hidden {{ position: absolute; left: -9999px; }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d8dee4; }}
th {{ color: #4d5661; font-weight: 600; font-size: .85rem; }}
.s {{ font-weight: 600; white-space: nowrap; }}
.pass, .yes {{ color: #116329; }} .warn, .partly {{ color: #7d4e00; }} .fail, .no {{ color: #a40e26; }}
.not-offered, .not-checked {{ color: #4d5661; }}
@media (max-width: 40rem) {{ table, tr, td {{ display: block; }} th {{ display: none; }}
 td {{ border: 0; padding: .1rem 0; }}
 tr {{ border-bottom: 1px solid #d8dee4; padding: .5rem 0; }} }}
@media print {{ body {{ margin: 0; }} }}
</style></head><body>
{body}
</body></html>
"""

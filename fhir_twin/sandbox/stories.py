"""The sample patients of the sandbox: a compact table per person (patients/*.toml) -> an R4 transaction Bundle.

Same table, same Bundle. All people are invented. The legend of the tables is patients/README.md."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fhir_twin.sandbox.story_care import CARE
from fhir_twin.sandbox.story_resources import Line, Person, Resource, pressure, result
from fhir_twin.sandbox.story_visits import visits

FOLDER = Path(__file__).parent / "patients"
# The day on which all the stories end as written.
TOLD_ON = date(2026, 10, 1)
# Where the entries' fullUrls live; a server gives them its own base.
BASE = "https://fhir-twin.org/sandbox"
BUILDERS: dict[str, Callable[[Line, Person], list[Resource]]] = {"bp": pressure, "results": result, **CARE}


def stories() -> list[tuple[str, str, str]]:
    """(patient id, title, story in words) of every sample patient, in the order of the files."""
    return [(told["id"], told["title"], " ".join(told["story"].split())) for told in _tables()]


def load_bundles(today: date | None = None) -> list[dict[str, Any]]:
    """One transaction Bundle per sample patient, each entry a PUT with a fixed id.

    today: the day on which the stories end; None = as written, 2026-10-01. All dates move with it."""
    shift = (today - TOLD_ON) if today is not None else timedelta(0)
    return [_bundle(told, shift) for told in _tables()]


def _tables() -> list[dict[str, Any]]:
    return [tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml"))]


def _bundle(told: dict[str, Any], shift: timedelta) -> dict[str, Any]:
    person = Person(told["id"], shift)
    lines = [
        Line(table, number, fields) for table in BUILDERS for number, fields in _lines(told.get(table, ""))
    ]
    resources = [person.patient(told["patient"]), *person.smoking(told["patient"])]
    resources += visits(lines, person)
    for line in lines:
        resources += BUILDERS[line.table](line, person)
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(each) for each in resources]}


def _lines(table: str) -> list[tuple[int, tuple[str, ...]]]:
    """(number from 1, fields) of every line that says something; # begins a comment."""
    rows = [row.strip() for row in table.splitlines()]
    told = [row for row in rows if row and not row.startswith("#")]
    return [(number, tuple(f.strip() for f in row.split("|"))) for number, row in enumerate(told, 1)]


def _entry(resource: Resource) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": f"{BASE}/{url}", "resource": resource, "request": {"method": "PUT", "url": url}}

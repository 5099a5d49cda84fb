"""The page's head: who it is, how old the data are, and how complete they are, type by type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fhir_twin.errors import Issue
from fhir_twin.model.chart import Chart, Completeness
from fhir_twin.pipeline import Run
from fhir_twin.web.views.words import ago, day

Level = Literal["ok", "unsure", "bad"]
STATES: dict[str, tuple[Level, str]] = {
    "complete": ("ok", "complete"),
    "short": ("bad", "incomplete"),
    "unknown": ("unsure", "completeness not known"),
    "not-permitted": ("bad", "not permitted"),
    "not-offered": ("unsure", "not offered by the server"),
    "failed": ("bad", "could not be read"),
    "not-asked": ("unsure", "not asked for"),
}
TYPE_WORDS = {
    "Observation": "Measurements and results",
    "Condition": "Problems and diagnoses",
    "MedicationRequest": "Medication orders",
    "MedicationStatement": "Medication statements",
    "AllergyIntolerance": "Allergies",
    "Procedure": "Procedures",
    "Encounter": "Visits",
    "DiagnosticReport": "Reports",
    "Immunization": "Vaccinations",
    "FamilyMemberHistory": "Family history",
    "Goal": "Goals",
    "CarePlan": "Care plans",
    "Consent": "Consents",
    "ServiceRequest": "Service orders",
    "DocumentReference": "Documents",
    "NutritionOrder": "Diet orders",
    "CommunicationRequest": "Messages to the patient",
}


@dataclass(frozen=True, slots=True, repr=False)
class TypeRow:
    """One resource type: how much of it was read."""

    type: str
    name: str
    read: int
    expected: str
    level: Level
    state: str
    note: str


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """withheld: types that the granted scopes do not cover. worst: of all rows. empty: nothing at all was read."""

    name: str
    facts: tuple[str, ...]
    identifiers: tuple[str, ...]
    as_of: str
    newest: str
    rows: tuple[TypeRow, ...]
    worst: Level
    summary: str
    withheld: tuple[str, ...]
    warnings: tuple[Issue, ...]
    notes: tuple[Issue, ...]
    empty: bool
    deceased: bool


def header(run: Run, issues: tuple[Issue, ...], withheld: tuple[str, ...] = ()) -> Header:
    """issues: all of them, from reading on."""
    chart = run.chart
    rows = tuple(_row(c, c.type in withheld) for c in chart.completeness)
    missing = [t for t in withheld if all(r.type != t for r in rows)]
    rows += tuple(
        TypeRow(
            t, TYPE_WORDS.get(t, t), 0, "", "bad", "not permitted", "withheld by the scopes of this session"
        )
        for t in missing
    )
    worst: Level = "ok" if rows and all(r.level == "ok" for r in rows) else "unsure"
    worst = "bad" if any(r.level == "bad" for r in rows) else worst
    loud = tuple(i for i in issues if i.severity != "information")
    newest = _newest(chart)
    return Header(
        name=chart.patient.name or "No name in the record",
        facts=_facts(chart),
        identifiers=tuple(value for _, value in chart.patient.identifiers[:3]),
        as_of=f"{day(chart.as_of)}, {chart.as_of:%H:%M} UTC",
        newest=f"newest {ago(newest, chart.as_of)}" if newest else "no dated value",
        rows=tuple(sorted(rows, key=lambda r: ({"bad": 0, "unsure": 1, "ok": 2}[r.level], -r.read))),
        worst=worst,
        summary=_summary(rows),
        withheld=withheld,
        warnings=loud,
        notes=tuple(i for i in issues if i.severity == "information"),
        empty=not (chart.measurements or chart.problems or chart.medications),
        deceased=chart.patient.deceased,
    )


def _row(found: Completeness, withheld: bool) -> TypeRow:
    level, state = STATES.get(found.state, ("unsure", found.state))
    expected = "" if found.expected is None else f" of {found.expected}"
    note = "withheld by the scopes of this session" if withheld and level == "bad" else found.note
    return TypeRow(
        found.type, TYPE_WORDS.get(found.type, found.type), found.read, expected, level, state, note
    )


def _summary(rows: tuple[TypeRow, ...]) -> str:
    if not rows:
        return "Completeness not known"
    bad = [r for r in rows if r.level == "bad"]
    if bad:
        names = ", ".join(r.name.lower() for r in bad[:3])
        return f"Record incomplete: {names}{' and more' if len(bad) > 3 else ''}"
    unsure = sum(r.level == "unsure" for r in rows)
    if unsure:
        return f"{len(rows) - unsure} of {len(rows)} types complete, {unsure} not known"
    return f"Record complete ({len(rows)} types checked)"


def _facts(chart: Chart) -> tuple[str, ...]:
    patient = chart.patient
    age = chart.age_at(chart.as_of)
    facts: list[str] = [patient.sex if patient.sex != "unknown" else "sex not known"]
    facts.append(f"{int(age)} years" if age is not None else "age not known")
    if patient.birth_date is not None:
        shown = {"year": f"{patient.birth_date:%Y}", "month": f"{patient.birth_date:%b %Y}"}
        facts.append(f"born {shown.get(patient.birth_precision, day(patient.birth_date))}")
    if patient.deceased:
        facts.append("deceased" + (f" {day(patient.deceased_on)}" if patient.deceased_on else ""))
    return tuple(facts)


def _newest(chart: Chart) -> datetime | None:
    return max((m.time for m in chart.measurements if m.time is not None), default=None)

"""Pharmacy messages taken apart: one group per order, its numbers, its status, its route."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe

ROUTES = "http://terminology.hl7.org/CodeSystem/v2-0162"


@dataclass(slots=True, repr=False)
class Prescription:
    """One ORC group of a pharmacy message."""

    orc: Segment | None = None
    rxo: Segment | None = None
    rxe: Segment | None = None
    rxd: Segment | None = None
    rxa: list[Segment] = field(default_factory=list)
    rxr: list[Segment] = field(default_factory=list)
    rxc: list[Segment] = field(default_factory=list)
    tq1: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)


def group_prescriptions(segments: list[Segment]) -> list[Prescription]:
    """ORC begins a group. RXE comes with its own timing, route and components: those of RXO are then set aside."""
    groups: list[Prescription] = []
    for s in segments:
        again = groups and {"RXO": groups[-1].rxo, "RXE": groups[-1].rxe, "RXD": groups[-1].rxd}.get(s.name)
        starts = s.name in ("RXO", "RXE", "RXD", "RXA") and (not groups or again is not None)
        if s.name == "ORC" or starts:
            groups.append(Prescription(orc=s if s.name == "ORC" else groups[-1].orc if groups else None))
        if not groups:
            continue
        group = groups[-1]
        if s.name == "RXO":
            group.rxo = s
        elif s.name == "RXE":
            group.rxe = s
            if group.rxo is not None:
                group.rxr, group.rxc = [], []
        elif s.name == "RXD":
            group.rxd = s
        elif s.name == "TQ1" and group.rxe is not None and group.rxo is not None and not _after(group):
            group.tq1 = [s]
        elif s.name in ("RXA", "RXR", "RXC", "TQ1"):
            getattr(group, s.name.lower()).append(s)
        elif s.name == "NTE":
            group.notes.append(s)
    return [g for g in groups if g.rxo or g.rxe or g.rxd or g.rxa]


def _after(group: Prescription) -> bool:
    """Some timing already stands behind RXE."""
    return any(group.rxe is not None and t.index > group.rxe.index for t in group.tq1)


def order_numbers(scribe: Scribe, rx: Prescription) -> list[Json]:
    """Placer, filler and prescription numbers."""
    found = [scribe.entity(rx.orc.first(n)) for n in (2, 3)] if rx.orc is not None else []
    for segment, n in ((rx.rxe, 15), (rx.rxd, 7)):
        if segment is not None and segment.v(n):
            found.append({"system": scribe.local("prescriptions"), "value": segment.v(n)})
    return [e for e in found if e]


def identity_of(numbers: list[Json], key: str, drug: Json, start: str) -> tuple[str, ...]:
    """What the order is known by: its first number, else the patient, the drug and the start."""
    if numbers:
        return (numbers[0]["system"], numbers[0]["value"])
    return (key, str(drug.get("coding", [{}])[0].get("code") or drug.get("text", "")), start)


def order_status(scribe: Scribe, rx: Prescription) -> str:
    """ORC-5 says how the order stands, ORC-1 what shall become of it; a stop in either is believed."""
    if rx.orc is None:
        return "unknown"
    table = scribe.site.tables
    stated = table.get("order-status", rx.orc.v(5).upper())
    wanted = table.get("order-control", rx.orc.v(1).upper())
    if wanted in ("cancelled", "stopped", "on-hold"):
        return wanted
    if not stated and not wanted:
        scribe.note(
            "warning", "code-invalid", "neither ORC-1 nor ORC-5 says how the order stands", rx.orc, "1"
        )
    return stated or wanted or "unknown"


def route_of(scribe: Scribe, rx: Prescription) -> Json | None:
    """RXR-1."""
    if not rx.rxr or not rx.rxr[0].first(1):
        return None
    concept = scribe.concept(rx.rxr[0].first(1), guess=ROUTES)
    code = rx.rxr[0].v(1).upper()
    if "text" not in concept and (words := scribe.site.tables.get("route", code)):
        concept["text"] = words
    return concept

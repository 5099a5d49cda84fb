"""mappings/interventions and mappings/outcomes -> Interventions and Outcomes. Nothing unverified gets through.

A wrong file is refused with ValueError naming file and key (knowledge.py turns it into KnowledgeError). An
effect or event ratio that rests on evidence nobody has checked is dropped, and its place noted in `unverified`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, get_args

from fhir_twin.model.codes import CVX, RXNORM, SNOMED, Coding
from fhir_twin.model.intervention import (
    Combination,
    CostBand,
    Dose,
    Effect,
    EquationInput,
    EventEffect,
    Evidence,
    Harm,
    Intervention,
    InterventionKind,
    Interventions,
)
from fhir_twin.rules import parse
from mappings import Source

FOLDER = "interventions"
OUTCOMES = ("mi", "stroke", "heart-failure", "ascvd", "cvd", "kidney-failure", "diabetes", "death")
TEXTS = (
    *("key", "title", "family", "starter", "indication_text", "adherence_text", "burden_text"),
    *("guideline", "strength", "certainty", "patient_text", "route"),
)
NUMBERS = ("onset_years", "adherence", "burden", "injection", "order")
LISTS = ("classes", "ingredients", "addresses", "monitoring", "offer")
OTHER = (
    *("kind", "cost", "indication", "snomed", "snomed_display", "cvx", "cvx_display"),
    *("dose", "effect", "event", "harm", "evidence", "current", "done"),
)


def load_interventions(source: Source) -> Interventions:
    """Read every file of mappings/interventions. Raises ValueError naming file and key."""
    tables = dict(source.toml(FOLDER))
    shared = (tables.pop("combinations.toml", {}), tables.pop("inputs.toml", {}))
    items = tuple(_intervention(name, table) for name, table in tables.items())
    seen: set[str] = set()
    for item in items:
        if item.key in seen:
            raise ValueError(f"{FOLDER}: intervention {item.key!r} is defined twice")
        seen.add(item.key)
    combinations = tuple(_combination(seen, t) for t in shared[0].get("combination", []))
    where = f"{FOLDER}/inputs.toml"
    inputs = tuple(
        _build(EquationInput, where, t, required=("key", "question", "loinc"))
        for t in shared[1].get("input", [])
    )
    return Interventions(items, combinations, inputs)


def _combination(known: set[str], table: dict[str, Any]) -> Combination:
    where = f"{FOLDER}/combinations.toml"
    if set(table) - {"members", "name", "when", "unless"} or not {"members", "name"} <= set(table):
        raise ValueError(f"{where}: a combination has members, name, when, unless")
    members, unless = tuple(table["members"]), tuple(table.get("unless", ()))
    if {*members, *unless} - known or len(set(members)) != len(members) or len(members) < 2:
        raise ValueError(f"{where}: unknown or repeated member in {table['name']!r}")
    return Combination(
        members, table["name"], parse(table["when"], where) if "when" in table else None, unless
    )


def evidence_of(where: str, tables: list[dict[str, Any]]) -> tuple[Evidence, ...]:
    """[[evidence]] tables; each needs key, text, claim, value and verified."""
    return tuple(
        _build(Evidence, where, table, required=("key", "claim", "value", "verified")) for table in tables
    )


def _intervention(name: str, table: dict[str, Any]) -> Intervention:
    where = f"{FOLDER}/{name}"
    unknown = sorted(set(table) - {*TEXTS, *NUMBERS, *LISTS, *OTHER})
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}")
    if table.get("kind") not in get_args(InterventionKind) or table.get("cost", "low") not in get_args(
        CostBand
    ):
        raise ValueError(f"{where}: kind or cost is not one of the known words")
    evidence = evidence_of(where, table.get("evidence", []))
    verified = {e.key for e in evidence if e.verified}
    known = {e.key for e in evidence}
    dropped: list[str] = []
    effects = _kept(Effect, where, table.get("effect", []), known, verified, dropped)
    events = _kept(EventEffect, where, table.get("event", []), known, verified, dropped)
    doses = tuple(_dose(where, d) for d in table.get("dose", []))
    item = Intervention(
        **_fields(table),
        kind=table["kind"],
        cost=table.get("cost", "low"),
        codes=_codes(table, doses),
        doses=doses,
        current=_current(where, table.get("current", [])),
        indication=parse(table["indication"], where) if "indication" in table else None,
        effects=effects,
        events=events,
        harms=tuple(_build(Harm, where, t, required=("key", "text")) for t in table.get("harm", [])),
        evidence=evidence,
        unverified=tuple(dropped),
        done=tuple((str(what), int(days)) for what, days in table.get("done", ())),
    )
    _check(where, item, known)
    return item


def _fields(table: dict[str, Any]) -> dict[str, Any]:
    plain = {k: table[k] for k in (*TEXTS, *NUMBERS) if k in table}
    return {**plain, **{k: tuple(table.get(k, ())) for k in LISTS}}


def _current(
    where: str, tables: list[dict[str, Any]]
) -> tuple[tuple[str, tuple[tuple[float, str], ...]], ...]:
    """What drugs taken already count as; steps in rising order."""
    found = []
    for table in tables:
        steps = tuple((float(s["up_to"]), str(s["dose"])) for s in table["steps"])
        if list(steps) != sorted(steps):
            raise ValueError(f"{where}: steps of {table['ingredient']} must rise")
        found.append((str(table["ingredient"]), steps))
    return tuple(found)


def _check(where: str, item: Intervention, known: set[str]) -> None:
    keys = [d.key for d in item.doses]
    named = {item.starter, *item.offer, *(dose for _, steps in item.current for _, dose in steps)}
    if named - set(keys):
        raise ValueError(f"{where}: {', '.join(sorted(named - set(keys)))} is not a dose of the ladder")
    if not 0.0 < item.adherence <= 1.0 or item.onset_years < 0.0:
        raise ValueError(f"{where}: adherence must be in (0, 1], onset_years not negative")
    for event in item.events:
        if event.outcome not in OUTCOMES:
            raise ValueError(f"{where}: unknown outcome {event.outcome!r}")
        if event.via and (event.low, event.high) != (1.0, 1.0):
            raise ValueError(
                f"{where}: {event.outcome} names a biomarker path and a class ratio; only one may count"
            )
        if not event.via and not event.low < event.ratio < event.high:
            raise ValueError(f"{where}: {event.outcome} needs ratio with its interval low < ratio < high")
    for i, first in enumerate(item.events):
        for second in item.events[i + 1 :]:
            if (
                first.outcome == second.outcome
                and first.dose == second.dose
                and not _exclusive(first, second)
            ):
                raise ValueError(f"{where}: {first.outcome} has two effects; it would count twice")
    for dose in {*(e.dose for e in item.effects), *(e.dose for e in item.events)} - {"", *keys}:
        raise ValueError(f"{where}: dose {dose!r} is not in the ladder")
    plain, read = not (item.effects or item.events or item.unverified), any(e.verified for e in item.evidence)
    if plain and (item.kind == "medication" or not read):
        raise ValueError(f"{where}: without an effect it needs a source that was read, and is no drug")
    if item.done and not item.by_guideline:
        raise ValueError(f"{where}: `done` belongs to advice without an effect")
    for harm in item.harms:
        if set(harm.evidence) - known:
            raise ValueError(f"{where}: harm {harm.key} cites an unknown evidence key")


def _exclusive(a: EventEffect, b: EventEffect) -> bool:
    """They can never both apply: what one needs, the other excludes."""
    needs = ({*a.groups_all, *a.groups_any}, {*b.groups_all, *b.groups_any})
    return bool(needs[0] & set(b.groups_none)) or bool(needs[1] & set(a.groups_none))


def _kept(
    kind: type[Any],
    where: str,
    tables: list[dict[str, Any]],
    known: set[str],
    verified: set[str],
    dropped: list[str],
) -> tuple[Any, ...]:
    """Effects whose every source is verified; the others are noted in `dropped`."""
    kept = []
    for table in tables:
        row = dict(table)
        if "when" in row:
            row["when"] = tuple((w["biomarker"], w.get("low"), w.get("high")) for w in row["when"])
        item = _build(kind, where, row, required=("evidence",))
        label = table.get("biomarker", table.get("outcome", "?"))
        if not item.evidence or set(item.evidence) - known:
            raise ValueError(f"{where}: {label} cites no evidence or an unknown one")
        if set(item.evidence) <= verified:
            kept.append(item)
        else:
            dropped.append(f"{label}: {', '.join(sorted(set(item.evidence) - verified))}")
    return tuple(kept)


def _dose(where: str, table: dict[str, Any]) -> Dose:
    row = dict(table)
    rxcui, ingredient = str(row.pop("rxcui", "")), row.get("ingredient", "")
    if bool(rxcui) != bool(ingredient):
        raise ValueError(f"{where}: dose {row.get('key')!r} needs both ingredient and rxcui, or neither")
    if rxcui:
        row["code"] = Coding(RXNORM, rxcui, ingredient)
    if "amount" in row:
        row["amount"] = Decimal(row["amount"])
    built: Dose = _build(Dose, where, row, required=("key", "label"))
    return built


def _codes(table: Mapping[str, Any], doses: tuple[Dose, ...]) -> tuple[Coding, ...]:
    if "snomed" in table:
        return (Coding(SNOMED, table["snomed"], table.get("snomed_display", "")),)
    if "cvx" in table:
        return (Coding(CVX, table["cvx"], table["cvx_display"]),)
    return tuple(dict.fromkeys(d.code for d in doses if d.code is not None))


def _build(kind: type[Any], where: str, table: Mapping[str, Any], required: tuple[str, ...]) -> Any:
    """A dataclass from a TOML table: lists become tuples, unknown and missing keys are refused."""
    names = {f.name for f in fields(kind)}
    if set(table) - names:
        raise ValueError(
            f"{where}: unknown key {', '.join(sorted(set(table) - names))} in {kind.__name__.lower()}"
        )
    if set(required) - set(table):
        raise ValueError(
            f"{where}: {kind.__name__.lower()} lacks {', '.join(sorted(set(required) - set(table)))}"
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})

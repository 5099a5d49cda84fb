"""OBR, OBX, NTE, SPM -> DiagnosticReport and Observation (V2-7, V2-8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_twin.fhir.systems import DATA_ABSENT_REASON_CODES, OBSERVATION_CATEGORY, V2_0074, V3_INTERPRETATION
from fhir_twin.intake.hl7v2 import Rep, Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, as_code, kept
from fhir_twin.intake.hl7v2_value import LONG_TEXT, read_attachment, read_value
from fhir_twin.intake.numbers import reference_range
from fhir_twin.intake.site import made_id
from fhir_twin.model.codes import LOINC


@dataclass(slots=True, repr=False)
class Order:
    """One ORC/OBR group. obx: each OBX with the NTE that follow it."""

    orc: Segment | None = None
    obr: Segment | None = None
    obx: list[tuple[Segment, list[Segment]]] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)
    spm: Segment | None = None


def group_orders(segments: list[Segment]) -> list[Order]:
    """ORC and OBR begin an order; an OBX before any OBR (ADT) makes one without."""
    orders: list[Order] = []
    for s in segments:
        if s.name == "ORC" or (
            s.name == "OBR" and (not orders or orders[-1].obr is not None or orders[-1].obx)
        ):
            orders.append(Order(orc=s if s.name == "ORC" else None))
        if s.name == "OBR":
            orders[-1].obr = s
        elif s.name == "OBX":
            if not orders:
                orders.append(Order())
            orders[-1].obx.append((s, []))
        elif s.name == "NTE" and orders:
            (orders[-1].obx[-1][1] if orders[-1].obx else orders[-1].notes).append(s)
        elif s.name == "SPM" and orders and orders[-1].spm is None:
            orders[-1].spm = s
    return orders


def read_order(scribe: Scribe, order: Order, person: str, key: str, encounter: str) -> list[Json]:
    """The observations of an order, then its report (when there is an OBR)."""
    report_at = _order_key(scribe, order)
    category = _category(scribe, order.obr)
    made: list[Json] = []
    attachments: list[Json] = []
    seen: dict[str, int] = {}
    for obx, notes in _joined(order.obx):
        if obx[0].v(2).upper() in ("ED", "RP"):
            attachments += read_attachment(scribe, obx[0])
            continue
        for observation in _observations(scribe, order, obx, notes, category, (key, *report_at)):
            observation["subject"] = {"reference": f"Patient/{person}"}
            if encounter:
                observation["encounter"] = {"reference": f"Encounter/{encounter}"}
            times = seen.get(
                observation["id"], 0
            )  # the same test twice in one order without OBX-4: both are kept
            seen[observation["id"]] = times + 1
            if times:
                observation["id"] = made_id("Observation", observation["id"], str(times))
            made.append(observation)
    if order.obr is not None:
        made.append(_report(scribe, order, person, encounter, made, attachments, report_at, key))
    elif attachments:
        scribe.note(
            "information", "incomplete", "an attachment without an order was not kept", order.obx[0][0], "5"
        )
    return made


def _joined(rows: list[tuple[Segment, list[Segment]]]) -> list[tuple[list[Segment], list[Segment]]]:
    """Consecutive lines of text (TX, FT) under one code are one text, as reports are sent line by line."""
    joined: list[tuple[list[Segment], list[Segment]]] = []
    for obx, notes in rows:
        last = joined[-1][0][-1] if joined else None
        lines = last is not None and obx.v(2).upper() in LONG_TEXT and last.v(2).upper() in LONG_TEXT
        if last is not None and lines and obx.raw(3) == last.raw(3) and obx.v(11) == last.v(11):
            joined[-1][0].append(obx)
            joined[-1][1].extend(notes)
        else:
            joined.append(([obx], list(notes)))
    return joined


def _order_key(scribe: Scribe, order: Order) -> tuple[str, ...]:
    """Filler number, else placer number, with authority; () without either."""
    for segment in (order.obr, order.orc):
        for n in (3, 2) if segment is not None else ():
            entity = scribe.entity(segment.first(n)) if segment is not None else {}
            if entity:
                return (entity["system"], entity["value"])
    return ()


def _category(scribe: Scribe, obr: Segment | None) -> str:
    if obr is None:
        return ""
    return scribe.site.tables.get("observation-category", obr.v(24).upper())


def _observations(
    scribe: Scribe,
    order: Order,
    lines: list[Segment],
    notes: list[Segment],
    category: str,
    key: tuple[str, ...],
) -> list[Json]:
    obx = lines[0]
    code = scribe.concept(obx.first(3))
    if not code:
        scribe.note("warning", "required", "a result without OBX-3 was left out", obx, "3")
        return []
    effective = _effective(scribe, order, obx)
    shared = _shared(scribe, order, obx, notes, code, category)
    if specimen := _specimen(scribe, order):
        shared["specimen"] = specimen[0]
    values = [read_value(scribe, obx, rep) for rep in obx.reps(5)]
    values = [v for v in values if v]
    if obx.v(2).upper() in LONG_TEXT:
        words = [rep.all() for line in lines for rep in (line.reps(5) or [Rep("", obx.reader)])]
        text = "\n".join(words).strip()
        values = [{"valueString": text}] if text else []
    if not values:
        reason = {"X": "unknown", "N": "not-asked"}.get(obx.v(11).upper(), "unknown")
        values = [{"dataAbsentReason": {"coding": [{"system": DATA_ABSENT_REASON_CODES, "code": reason}]}}]
    made = []
    for number, value in enumerate(values):
        ident, given = _identity(scribe, obx, code, effective, key, number)
        made.append(
            kept(
                resourceType="Observation",
                id=ident,
                identifier=given,
                **shared,
                effectiveDateTime=effective,
                **value,
            )
        )
        if "valueQuantity" in value and (ranges := _ranges(obx, value["valueQuantity"])):
            made[-1]["referenceRange"] = ranges
    return made


def _identity(
    scribe: Scribe, obx: Segment, code: Json, effective: str, key: tuple[str, ...], number: int
) -> tuple[str, list[Json]]:
    """V2-8: OBX-21, else the order's number with code and sub-id: a correction finds what it corrects."""
    entity = scribe.entity(obx.first(21))
    named = code.get("coding", [{}])[0]
    what = (str(named.get("system", "")), str(named.get("code") or code.get("text", "")), obx.v(4))
    more = (str(number),) if number else ()
    if entity:
        return made_id("Observation", entity["system"], entity["value"], *what, *more), [entity]
    if len(key) > 1:
        return made_id("Observation", *key, *what, *more), []
    return made_id("Observation", *key, *what, effective, *more), []


def _shared(
    scribe: Scribe, order: Order, obx: Segment, notes: list[Segment], code: Json, category: str
) -> Json:
    table = scribe.site.tables
    if any(table.get("vital-signs", c) for c in scribe.codes_of(code, LOINC)):
        category = "vital-signs"
    flags = [i for rep in obx.reps(8) if (i := _interpretation(rep))]
    remarks = [text for nte in notes if (text := "\n".join(rep.all() for rep in nte.reps(3)).strip())]
    return kept(
        status=_status(scribe, order, obx),
        category=[{"coding": [{"system": OBSERVATION_CATEGORY, "code": category}]}] if category else None,
        code=code,
        interpretation=flags,
        note=[{"text": text} for text in remarks],
        performer=[p for rep in obx.reps(16)[:5] if (p := scribe.person(rep))],
        method=scribe.concept(obx.first(17)) if obx.first(17) else None,
        device={"display": device} if (device := f"{obx.v(18)} {obx.v(18, 2)}".strip()) else None,
    )


def _status(scribe: Scribe, order: Order, obx: Segment) -> str:
    """OBX-11; where a sender leaves it empty, the status of the whole order."""
    code = obx.v(11).upper()
    if not code and order.obr is not None:
        code = order.obr.v(25).upper()
    found = scribe.site.tables.get("observation-status", code)
    if not found:
        scribe.note(
            "warning", "code-invalid", "OBX-11 says no known status; the result counts as unknown", obx, "11"
        )
        return "unknown"
    return found


def _interpretation(rep: Rep) -> Json:
    code = as_code(rep.c(1))
    return kept(coding=[kept(system=V3_INTERPRETATION, code=code, display=rep.c(2))]) if code else {}


def _ranges(obx: Segment, value: Json) -> list[Json]:
    text = obx.first(7).all()
    unit: Json = {k: v for k, v in value.items() if k in ("unit", "system", "code")}
    return [reference_range(text, unit)] if text else []


def _effective(scribe: Scribe, order: Order, obx: Segment) -> str:
    when = scribe.moment(obx.v(14), obx, "14")
    if not when and order.spm is not None:
        when = scribe.moment(order.spm.v(17), order.spm, "17")
    if not when and order.obr is not None:
        when = scribe.moment(order.obr.v(7), order.obr, "7")
    return when


def _report(
    scribe: Scribe, order: Order, person: str, encounter: str, made: list[Json], attachments: list[Json],
    report_at: tuple[str, ...], key: str,
) -> Json:  # fmt: skip
    obr = order.obr
    assert obr is not None
    code = scribe.concept(obr.first(4)) or {"text": "report without a code"}
    status = scribe.site.tables.get("report-status", obr.v(25).upper()) or "unknown"
    start, end = scribe.moment(obr.v(7), obr, "7"), scribe.moment(obr.v(8), obr, "8")
    identity = report_at or (key, str(code), start)
    numbers = [
        {
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": kind}]},
            **entity,
        }
        for n, kind in ((2, "PLAC"), (3, "FILL"))
        if (entity := scribe.entity(obr.first(n)))
    ]
    section = as_code(obr.v(24).upper())
    remarks = "\n".join("\n".join(rep.all() for rep in nte.reps(3)) for nte in order.notes).strip()
    return kept(
        resourceType="DiagnosticReport",
        id=made_id("DiagnosticReport", *identity, str(code.get("coding", [{}])[0].get("code", ""))),
        identifier=numbers,
        status=status,
        category=[{"coding": [{"system": V2_0074, "code": section}]}] if section else None,
        code=code,
        subject={"reference": f"Patient/{person}"},
        encounter={"reference": f"Encounter/{encounter}"} if encounter else None,
        effectiveDateTime=start if not end else "",
        effectivePeriod=kept(start=start, end=end) if end else None,
        issued=_instant(scribe, obr),
        specimen=_specimen(scribe, order),
        result=[{"reference": f"Observation/{o['id']}"} for o in made],
        conclusion=remarks,
        presentedForm=attachments,
    )


def _instant(scribe: Scribe, obr: Segment) -> str:
    when = scribe.moment(obr.v(22), obr, "22")
    return when if len(when) > 10 else ""


def _specimen(scribe: Scribe, order: Order) -> list[Json]:
    """SPM-4, else OBR-15, as words: what was sampled decides how a result is read (urine or blood)."""
    rep = order.spm.first(4) if order.spm is not None else Rep("", scribe.message.reader)
    words = rep.c(2) or rep.c(1)
    if not words and order.obr is not None:
        source = order.obr.first(15)
        words = source.s(1, 2) or source.s(1, 1)
    return [{"display": words}] if words else []

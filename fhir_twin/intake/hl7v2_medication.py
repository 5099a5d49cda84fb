"""RXO, RXE, RXC, TQ1 -> MedicationRequest, with what was dispensed and given under it."""

from __future__ import annotations

from decimal import Decimal

from fhir_twin.intake.hl7v2 import Rep, Segment
from fhir_twin.intake.hl7v2_rx import Prescription, identity_of, order_numbers, order_status, route_of
from fhir_twin.intake.hl7v2_supply import read_administration, read_dispense
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.numbers import quantity, read_number
from fhir_twin.intake.site import made_id

GTS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"


def read_prescription(scribe: Scribe, rx: Prescription, person: str, key: str, encounter: str) -> list[Json]:
    """The order (when there is one), its dispense, its administrations."""
    made: list[Json] = []
    numbers = order_numbers(scribe, rx)
    about = {"subject": {"reference": f"Patient/{person}"}}
    visit = {"reference": f"Encounter/{encounter}"} if encounter else None
    order = _order(scribe, rx, numbers, key, about, visit)
    if order:
        made.append(order)
    link = {"reference": f"MedicationRequest/{order['id']}"} if order else None
    if rx.rxd is not None and (dispense := read_dispense(scribe, rx, rx.rxd, numbers, key, about, link)):
        made.append(dispense)
    for rxa in rx.rxa:
        if given := read_administration(scribe, rx, rxa, numbers, key, about, link, visit):
            made.append(given)
    return made


def _order(
    scribe: Scribe, rx: Prescription, numbers: list[Json], key: str, about: Json, visit: Json | None
) -> Json | None:
    source = rx.rxe or rx.rxo
    if source is None:
        return None
    drug = scribe.concept(source.first(2 if source is rx.rxe else 1))
    drug = drug or _components(rx)
    if not drug:
        scribe.note("warning", "required", "an order without a drug was left out", source, "2")
        return None
    start = _start(scribe, rx)
    reason = source.first(27 if source is rx.rxe else 20)
    return kept(
        resourceType="MedicationRequest",
        id=made_id("MedicationRequest", *identity_of(numbers, key, drug, start)),
        identifier=numbers,
        status=order_status(scribe, rx),
        intent="order",
        medicationCodeableConcept=drug,
        **about,
        encounter=visit,
        authoredOn=scribe.moment(rx.orc.v(9), rx.orc, "9") if rx.orc is not None else "",
        requester=scribe.person(rx.orc.first(12)) or None if rx.orc is not None else None,
        reasonCode=[scribe.concept(reason)] if reason else None,
        note=[{"text": t} for nte in rx.notes if (t := "\n".join(r.all() for r in nte.reps(3)))],
        dosageInstruction=_dosages(scribe, rx, source),
        dispenseRequest=_supply(scribe, rx, source),
    )


def _components(rx: Prescription) -> Json:
    """A compound without a code of its own: its components in words."""
    words = [c.first(2).c(2) or c.first(2).c(1) for c in rx.rxc]
    return {"text": " + ".join(w for w in words if w)} if any(words) else {}


def _start(scribe: Scribe, rx: Prescription) -> str:
    for tq1 in rx.tq1:
        if when := scribe.moment(tq1.v(7), tq1, "7"):
            return when
    if rx.rxe is not None and (when := scribe.moment(rx.rxe.v(1, 4), rx.rxe, "1")):
        return when
    return scribe.moment(rx.orc.v(15) or rx.orc.v(7, 4), rx.orc, "15") if rx.orc is not None else ""


def _dosages(scribe: Scribe, rx: Prescription, source: Segment) -> list[Json]:
    words = [r.c(2) or r.c(1) for r in source.reps(7)]
    more = [t for tq1 in rx.tq1 for n in (10, 11) if (t := tq1.first(n).all())]
    patterns = [p for tq1 in rx.tq1 for p in tq1.reps(3)]
    named = [p.c(1) for p in patterns] or [p for p in (_quantity_timing(rx).c(2),) if p]
    text = "; ".join(dict.fromkeys(w for w in (*words, *more) if w))
    timing, needed = _timing(scribe, rx, named)
    return [
        kept(
            text=text or "; ".join(named),
            timing=timing,
            asNeededBoolean=True if needed else None,
            route=route_of(scribe, rx),
            site=scribe.concept(rx.rxr[0].first(2)) if rx.rxr and rx.rxr[0].first(2) else None,
            doseAndRate=[d] if (d := _dose(scribe, source, rx)) else None,
        )
    ]


def _quantity_timing(rx: Prescription) -> Rep:
    """The old TQ field: RXE-1, or ORC-7."""
    for segment, n in ((rx.rxe, 1), (rx.orc, 7)):
        if segment is not None and segment.first(n):
            return segment.first(n)
    source = rx.rxe or rx.rxo or rx.orc
    assert source is not None
    return Rep("", source.reader)


def _timing(scribe: Scribe, rx: Prescription, named: list[str]) -> tuple[Json, bool]:
    """(Timing, as needed). Several patterns or an unknown one leave the words only."""
    needed = any("PRN" in n.upper() for n in named)
    plain = [n.upper().replace("PRN", "").strip() for n in named]
    plain = [p for p in plain if p]
    found = scribe.site.tables.pattern(plain[0]) if len(plain) == 1 else None
    ends = [scribe.moment(t.v(8), t, "8") for t in rx.tq1] or [
        scribe.moment(_quantity_timing(rx).c(5), rx.orc or scribe.message.msh, "7")
    ]
    bounds = kept(start=_start(scribe, rx), end=next((e for e in ends if e), ""))
    if bounds.get("start") and bounds.get("end", "9") < bounds["start"]:
        bounds = {}
    repeat = kept(boundsPeriod=bounds)
    code: Json = {}
    if found is not None:
        repeat |= {"frequency": found["frequency"], "period": found["period"], "periodUnit": found["unit"]}
        code = kept(
            coding=[{"system": GTS, "code": found["code"]}] if found.get("code") else None, text=named[0]
        )
    elif named:
        code = {"text": ", ".join(named)}
    return kept(repeat=repeat, code=code), needed


def _dose(scribe: Scribe, source: Segment, rx: Prescription) -> Json:
    """RXE-3/4/5 or RXO-2/3/4; else the quantity of TQ1-2 or the old TQ field."""
    low_at, high_at, unit_at = (3, 4, 5) if source is rx.rxe else (2, 3, 4)
    low, high = read_number(source.v(low_at)), read_number(source.v(high_at))
    unit = scribe.unit(source.first(unit_at))
    given = _amounts(low, high, unit)
    if given:
        return given
    amount = next((t.first(2) for t in rx.tq1 if t.first(2)), _quantity_timing(rx))
    found = read_number(amount.c(1))
    words = amount.s(2, 2) or amount.s(2, 1) or amount.s(1, 2)
    return {"doseQuantity": quantity("", found[1], words)} if found and found[1] > 0 and words else {}


def _amounts(low: tuple[str, Decimal] | None, high: tuple[str, Decimal] | None, unit: Json) -> Json:
    if low is None or low[0] or low[1] <= 0:
        return {}
    words = (unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))
    if high is not None and not high[0] and high[1] > low[1]:
        return {"doseRange": {"low": quantity("", low[1], *words), "high": quantity("", high[1], *words)}}
    return {"doseQuantity": quantity("", low[1], *words)}


def _supply(scribe: Scribe, rx: Prescription, source: Segment) -> Json:
    amount_at, unit_at, refills_at = (10, 11, 12) if source is rx.rxe else (11, 12, 13)
    amount = read_number(source.v(amount_at))
    refills = source.v(refills_at)
    return kept(
        quantity=quantity("", amount[1], scribe.unit(source.first(unit_at)).get("unit", ""))
        if amount
        else None,
        numberOfRepeatsAllowed=int(refills) if refills.isdigit() and len(refills) < 4 else None,
    )

"""RXO, RXE, RXR, RXC, TQ1, RXD, RXA -> MedicationRequest, MedicationDispense, MedicationAdministration."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from fhir_twin.intake.hl7v2 import Rep, Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.numbers import quantity, read_number
from fhir_twin.intake.site import made_id

GTS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
ROUTES = "http://terminology.hl7.org/CodeSystem/v2-0162"


@dataclass(slots=True, repr=False)
class Prescription:
    """One ORC group of a pharmacy message. first/then: timing and route before and after RXE."""

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


def read_prescription(scribe: Scribe, rx: Prescription, person: str, key: str, encounter: str) -> list[Json]:
    """The order (when there is one), its dispense, its administrations."""
    made: list[Json] = []
    numbers = _numbers(scribe, rx)
    about = {"subject": {"reference": f"Patient/{person}"}}
    visit = {"reference": f"Encounter/{encounter}"} if encounter else None
    order = _order(scribe, rx, numbers, key, about, visit)
    if order:
        made.append(order)
    link = {"reference": f"MedicationRequest/{order['id']}"} if order else None
    if rx.rxd is not None and (dispense := _dispense(scribe, rx, rx.rxd, numbers, key, about, link)):
        made.append(dispense)
    for rxa in rx.rxa:
        if given := _administration(scribe, rx, rxa, numbers, key, about, link, visit):
            made.append(given)
    return made


def _numbers(scribe: Scribe, rx: Prescription) -> list[Json]:
    found = [scribe.entity(rx.orc.first(n)) for n in (2, 3)] if rx.orc is not None else []
    for segment, n in ((rx.rxe, 15), (rx.rxd, 7)):
        if segment is not None and segment.v(n):
            found.append({"system": scribe.local("prescriptions"), "value": segment.v(n)})
    return [e for e in found if e]


def _identity(numbers: list[Json], key: str, drug: Json, start: str) -> tuple[str, ...]:
    if numbers:
        return (numbers[0]["system"], numbers[0]["value"])
    return (key, str(drug.get("coding", [{}])[0].get("code") or drug.get("text", "")), start)


def _order(
    scribe: Scribe, rx: Prescription, numbers: list[Json], key: str, about: Json, visit: Json | None
) -> Json | None:
    source = rx.rxe or rx.rxo
    if source is None:
        return None
    drug = scribe.concept(source.first(2 if source is rx.rxe else 1))
    drug = drug or _components(scribe, rx)
    if not drug:
        scribe.note("warning", "required", "an order without a drug was left out", source, "2")
        return None
    start = _start(scribe, rx)
    reason = source.first(27 if source is rx.rxe else 20)
    return kept(
        resourceType="MedicationRequest",
        id=made_id("MedicationRequest", *_identity(numbers, key, drug, start)),
        identifier=numbers,
        status=_status(scribe, rx),
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


def _components(scribe: Scribe, rx: Prescription) -> Json:
    """A compound without a code of its own: its components in words."""
    words = [c.first(2).c(2) or c.first(2).c(1) for c in rx.rxc]
    return {"text": " + ".join(w for w in words if w)} if any(words) else {}


def _status(scribe: Scribe, rx: Prescription) -> str:
    """ORC-5 says how the order stands, ORC-1 what shall become of it; a stop in either is believed."""
    if rx.orc is None:
        return "unknown"
    table = scribe.site.tables
    stated = table.get("order-status", rx.orc.v(5).upper())
    wanted = table.get("order-control", rx.orc.v(1).upper())
    if wanted in ("cancelled", "stopped", "on-hold"):
        return wanted
    if not stated and not wanted:
        scribe.note("warning", "code-invalid", "neither ORC-1 nor ORC-5 says how the order stands", rx.orc, "1")
    return stated or wanted or "unknown"


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
            route=_route(scribe, rx),
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
    ends = [scribe.moment(t.v(8), t, "8") for t in rx.tq1] or [scribe.moment(_quantity_timing(rx).c(5), rx.orc or scribe.message.msh, "7")]
    bounds = kept(start=_start(scribe, rx), end=next((e for e in ends if e), ""))
    if bounds.get("start") and bounds.get("end", "9") < bounds["start"]:
        bounds = {}
    repeat = kept(boundsPeriod=bounds)
    code: Json = {}
    if found is not None:
        repeat |= {"frequency": found["frequency"], "period": found["period"], "periodUnit": found["unit"]}
        code = kept(coding=[{"system": GTS, "code": found["code"]}] if found.get("code") else None, text=named[0])
    elif named:
        code = {"text": ", ".join(named)}
    return kept(repeat=repeat, code=code), needed


def _route(scribe: Scribe, rx: Prescription) -> Json | None:
    if not rx.rxr or not rx.rxr[0].first(1):
        return None
    concept = scribe.concept(rx.rxr[0].first(1), guess=ROUTES)
    code = rx.rxr[0].v(1).upper()
    if "text" not in concept and (words := scribe.site.tables.get("route", code)):
        concept["text"] = words
    return concept


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
        quantity=quantity("", amount[1], scribe.unit(source.first(unit_at)).get("unit", "")) if amount else None,
        numberOfRepeatsAllowed=int(refills) if refills.isdigit() and len(refills) < 4 else None,
    )


def _dispense(
    scribe: Scribe, rx: Prescription, rxd: Segment, numbers: list[Json], key: str, about: Json, link: Json | None
) -> Json | None:
    drug = scribe.concept(rxd.first(2))
    when = scribe.moment(rxd.v(3), rxd, "3")
    if not drug:
        scribe.note("warning", "required", "a dispense without a drug was left out", rxd, "2")
        return None
    amount = read_number(rxd.v(4))
    return kept(
        resourceType="MedicationDispense",
        id=made_id("MedicationDispense", *_identity(numbers, key, drug, when), rxd.v(1), when),
        identifier=numbers,
        status="cancelled" if _status(scribe, rx) == "cancelled" else "completed",
        medicationCodeableConcept=drug,
        **about,
        authorizingPrescription=[link] if link else None,
        quantity=quantity("", amount[1], scribe.unit(rxd.first(5)).get("unit", "")) if amount else None,
        whenHandedOver=when,
    )


def _administration(
    scribe: Scribe, rx: Prescription, rxa: Segment, numbers: list[Json], key: str, about: Json, link: Json | None,
    visit: Json | None,
) -> Json | None:  # fmt: skip
    drug = scribe.concept(rxa.first(5))
    start = scribe.moment(rxa.v(3), rxa, "3")
    if not drug or not start:
        scribe.note("warning", "required", "an administration without drug or time was left out", rxa, "5")
        return None
    done = scribe.site.tables.get("immunization-status", rxa.v(20).upper()) or "completed"
    amount = read_number(rxa.v(6))
    unit = scribe.unit(rxa.first(7))
    dose = kept(
        route=_route(scribe, rx),
        dose=quantity("", amount[1], unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))
        if amount and amount[1] not in (Decimal(0), Decimal(999))
        else None,
    )
    return kept(
        resourceType="MedicationAdministration",
        id=made_id("MedicationAdministration", *_identity(numbers, key, drug, start), rxa.v(2), start),
        identifier=numbers,
        status="entered-in-error" if rxa.v(21).upper() == "D" else done,
        medicationCodeableConcept=drug,
        **about,
        context=visit,
        effectiveDateTime=start,
        request=link,
        dosage=dose if "dose" in dose else None,
    )

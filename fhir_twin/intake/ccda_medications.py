"""Medication and immunization activities (CD-4)."""

from __future__ import annotations

from fhir_twin.intake.ccda_problems import TEMPLATES, notes
from fhir_twin.intake.ccda_types import Clerk, is_negated, related
from fhir_twin.intake.ccda_xml import XSI_TYPE, Node, attribute, each, find, words
from fhir_twin.intake.hl7v2_types import Json, kept
from fhir_twin.intake.numbers import read_number

INDICATION, INSTRUCTION, SIG = (f"{TEMPLATES}{n}" for n in (19, 20, 147))
SUPPLY, REFUSAL = f"{TEMPLATES}17", f"{TEMPLATES}53"
_UNITS = {"s": "s", "min": "min", "h": "h", "d": "d", "wk": "wk", "mo": "mo", "a": "a"}
# Event codes of EIVL_TS are the codes of Timing.repeat.when (v3-TimingEvent).
_EVENTS = frozenset(
    ["HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV"]
)


def read_medication(clerk: Clerk, node: Node) -> Json | None:
    """INT is an order; EVN is what the patient takes, took or did not take."""
    drug = _drug(clerk, node)
    if not drug:
        clerk.note(
            "information", "incomplete", "a medication entry without a drug was not kept", "medications"
        )
        return None
    start, end, _ = _bounds(clerk, node)
    dosage = _dosage(clerk, node, start, end)
    mood = attribute(node, "moodCode").upper()
    status = attribute(find(node, "statusCode"), "code")
    shared = kept(
        identifier=clerk.identifiers(node),
        medicationCodeableConcept=drug,
        subject=clerk.subject,
        reasonCode=[r for n in related(node, INDICATION) if (r := clerk.concept(find(n, "value")))],
        note=notes(clerk, node),
    )
    what = str(drug.get("coding", [{}])[0].get("code") or drug.get("text", ""))
    tables = clerk.site.tables
    if mood in ("INT", "RQO", "PRP"):
        return kept(
            resourceType="MedicationRequest",
            id=clerk.resource_id("MedicationRequest", node, what, start),
            status="cancelled"
            if is_negated(node)
            else tables.get("cda-medication-status", status) or "unknown",
            intent="order" if mood == "RQO" else "plan" if mood == "INT" else "proposal",
            authoredOn=clerk.author_time(node),
            dosageInstruction=[dosage] if dosage else None,
            dispenseRequest=_supply(clerk, node, start, end),
            **shared,
        )
    return kept(
        resourceType="MedicationStatement",
        id=clerk.resource_id("MedicationStatement", node, what, start),
        status="not-taken" if is_negated(node) else tables.get("cda-statement-status", status) or "unknown",
        effectivePeriod=kept(start=start, end=end),
        dateAsserted=clerk.author_time(node),
        dosage=[dosage] if dosage else None,
        **shared,
    )


def _drug(clerk: Clerk, node: Node) -> Json:
    material = find(node, "consumable", "manufacturedProduct", "manufacturedMaterial")
    if material is None:
        return {}
    concept = clerk.concept(find(material, "code"))
    name = words(find(material, "name"))
    if name and "text" not in concept:
        concept["text"] = name
    return concept


def _bounds(clerk: Clerk, node: Node) -> tuple[str, str, bool]:
    """The IVL_TS among the effective times; a single time (a dose once) is start and end."""
    for time in each(node, "effectiveTime"):
        kind = attribute(time, XSI_TYPE).rpartition(":")[2]
        if kind in ("PIVL_TS", "EIVL_TS", "SXPR_TS") or attribute(time, "operator") == "A":
            continue
        start, end, ended = clerk.span(time)
        if attribute(time, "value"):
            return start, start, True
        return start, end, ended
    return "", "", False


def _dosage(clerk: Clerk, node: Node, start: str, end: str) -> Json:
    texts = [clerk.text(find(n, "text")) for n in (*related(node, SIG), *related(node, INSTRUCTION))]
    text = "; ".join(dict.fromkeys(t for t in texts if t)) or clerk.text(find(node, "text"))
    amount = clerk.amount(find(node, "doseQuantity"), ucum=False)
    if not amount:
        amount = (
            clerk.amount(find(node, "doseQuantity", "low"), ucum=False)
            if find(node, "doseQuantity", "high") is None
            else {}
        )
    low, high = (clerk.amount(find(node, "doseQuantity", name), ucum=False) for name in ("low", "high"))
    dose: Json = {"doseQuantity": amount} if amount else {}
    if low and high and low["value"] <= high["value"]:
        dose = {"doseRange": {"low": low, "high": high}}
    rate = clerk.amount(find(node, "rateQuantity"), ucum=False)
    if rate:
        dose["rateQuantity"] = rate
    needed = bool(each(node, "precondition"))
    form = clerk.concept(find(node, "administrationUnitCode"))
    if amount and "unit" not in amount and form.get("text"):
        amount["unit"] = form["text"]
    return kept(
        text=text,
        timing=_timing(node, start, end),
        asNeededBoolean=True if needed else None,
        route=clerk.concept(find(node, "routeCode")),
        doseAndRate=[dose] if dose else None,
    )


def _timing(node: Node, start: str, end: str) -> Json:
    """effectiveTime with operator A: PIVL (every 6 h) or EIVL (at bedtime)."""
    repeat: Json = kept(
        boundsPeriod=kept(start=start, end=end if not start or end >= start or not end else "")
    )
    for time in each(node, "effectiveTime"):
        kind = attribute(time, XSI_TYPE).rpartition(":")[2]
        if kind == "PIVL_TS":
            repeat |= _period(find(time, "period"))
        elif kind == "EIVL_TS":
            event = attribute(find(time, "event"), "code").upper()
            repeat |= {"when": [event]} if event in _EVENTS else {}
    return kept(repeat=repeat)


def _period(period: Node | None) -> Json:
    """A period as R4 has it: frequency times per period; a range keeps its longer end as periodMax."""
    if period is None:
        return {}
    low, high = find(period, "low"), find(period, "high")
    node = low if low is not None else period
    unit = _UNITS.get(attribute(node, "unit"), "")
    found = read_number(attribute(node, "value"))
    if not unit or found is None or found[0] or found[1] <= 0:
        return {}
    made: Json = {"frequency": 1, "period": found[1], "periodUnit": unit}
    upper = read_number(attribute(high, "value")) if low is not None and high is not None else None
    if upper is not None and upper[1] > found[1] and attribute(high, "unit") == attribute(low, "unit"):
        made["periodMax"] = upper[1]
    return made


def _supply(clerk: Clerk, node: Node, start: str, end: str) -> Json:
    supply = next(iter(related(node, SUPPLY)), None)
    repeats = attribute(find(supply, "repeatNumber"), "value") if supply is not None else ""
    amount = clerk.amount(find(supply, "quantity"), ucum=False) if supply is not None else {}
    refills = int(repeats) - 1 if repeats.isdigit() and int(repeats[:4]) > 0 else None
    return kept(
        validityPeriod=kept(start=start, end=end if end != start else ""),
        quantity=amount,
        numberOfRepeatsAllowed=refills,
    )


def read_immunization(clerk: Clerk, node: Node) -> Json | None:
    """Only what happened or was refused; a plan (INT) is none."""
    if attribute(node, "moodCode").upper() not in ("EVN", ""):
        clerk.note(
            "information",
            "informational",
            "planned immunisations are not part of the record",
            "immunizations",
        )
        return None
    vaccine = _drug(clerk, node)
    if not vaccine:
        clerk.note(
            "information", "incomplete", "an immunisation without a vaccine was not kept", "immunizations"
        )
        return None
    start, _, _ = clerk.span(find(node, "effectiveTime"))
    product = find(node, "consumable", "manufacturedProduct")
    material = find(product, "manufacturedMaterial") if product is not None else None
    maker = find(product, "manufacturerOrganization", "name") if product is not None else None
    refused = is_negated(node)
    status = clerk.site.tables.get("cda-immunization-status", attribute(find(node, "statusCode"), "code"))
    reason = next((c for n in related(node, REFUSAL) if (c := clerk.concept(find(n, "code")))), {})
    what = str(vaccine.get("coding", [{}])[0].get("code") or vaccine.get("text", ""))
    performer = clerk.somebody(find(node, "performer", "assignedEntity"))
    return kept(
        resourceType="Immunization",
        id=clerk.resource_id("Immunization", node, what, start),
        identifier=clerk.identifiers(node),
        status="not-done" if refused else status or "completed",
        statusReason=reason if refused else None,
        vaccineCode=vaccine,
        patient=clerk.subject,
        **({"occurrenceDateTime": start} if start else {"occurrenceString": "unknown"}),
        lotNumber=words(find(material, "lotNumberText")) if material is not None else "",
        manufacturer={"display": words(maker)} if maker is not None and words(maker) else None,
        doseQuantity=clerk.amount(find(node, "doseQuantity"), ucum=False),
        route=clerk.concept(find(node, "routeCode")),
        performer=[{"actor": performer}] if performer else None,
    )

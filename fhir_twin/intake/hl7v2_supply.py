"""RXD -> MedicationDispense, RXA -> MedicationAdministration."""

from __future__ import annotations

from decimal import Decimal

from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_rx import Prescription, identity_of, order_status, route_of
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.numbers import quantity, read_number
from fhir_twin.intake.site import made_id


def read_dispense(
    scribe: Scribe,
    rx: Prescription,
    rxd: Segment,
    numbers: list[Json],
    key: str,
    about: Json,
    link: Json | None,
) -> Json | None:
    """None without a drug."""
    drug = scribe.concept(rxd.first(2))
    when = scribe.moment(rxd.v(3), rxd, "3")
    if not drug:
        scribe.note("warning", "required", "a dispense without a drug was left out", rxd, "2")
        return None
    amount = read_number(rxd.v(4))
    return kept(
        resourceType="MedicationDispense",
        id=made_id("MedicationDispense", *identity_of(numbers, key, drug, when), rxd.v(1), when),
        identifier=numbers,
        status="cancelled" if order_status(scribe, rx) == "cancelled" else "completed",
        medicationCodeableConcept=drug,
        **about,
        authorizingPrescription=[link] if link else None,
        quantity=quantity("", amount[1], scribe.unit(rxd.first(5)).get("unit", "")) if amount else None,
        whenHandedOver=when,
    )


def read_administration(
    scribe: Scribe, rx: Prescription, rxa: Segment, numbers: list[Json], key: str, about: Json, link: Json | None,
    visit: Json | None,
) -> Json | None:  # fmt: skip
    """None without a drug or a time."""
    drug = scribe.concept(rxa.first(5))
    start = scribe.moment(rxa.v(3), rxa, "3")
    if not drug or not start:
        scribe.note("warning", "required", "an administration without drug or time was left out", rxa, "5")
        return None
    done = scribe.site.tables.get("immunization-status", rxa.v(20).upper()) or "completed"
    amount = read_number(rxa.v(6))
    unit = scribe.unit(rxa.first(7))
    dose = kept(
        route=route_of(scribe, rx),
        dose=quantity("", amount[1], unit.get("unit", ""), unit.get("code", ""), unit.get("system", ""))
        if amount and amount[1] not in (Decimal(0), Decimal(999))
        else None,
    )
    return kept(
        resourceType="MedicationAdministration",
        id=made_id("MedicationAdministration", *identity_of(numbers, key, drug, start), rxa.v(2), start),
        identifier=numbers,
        status="entered-in-error" if rxa.v(21).upper() == "D" else done,
        medicationCodeableConcept=drug,
        **about,
        context=visit,
        effectiveDateTime=start,
        request=link,
        dosage=dose if "dose" in dose else None,
    )

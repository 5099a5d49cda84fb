"""VXU: ORC, RXA, RXR, OBX -> Immunization (IG: RXA to Immunization; CDC implementation guide 2.5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_twin.intake.hl7v2 import Segment
from fhir_twin.intake.hl7v2_types import Json, Scribe, kept
from fhir_twin.intake.hl7v2_value import read_value
from fhir_twin.intake.numbers import quantity, read_number
from fhir_twin.intake.site import made_id
from fhir_twin.model.codes import CVX, LOINC

ORIGIN = "urn:oid:2.16.840.1.114222.4.5.274"
NOTHING_GIVEN = "998"  # CVX: no vaccine was administered; its OBX tell of immunity
# OBX that belong to the immunisation itself (LOINC, CDC guide): eligibility, information statements, vaccine type.
_BELONGS = frozenset(
    {"64994-7", "30956-7", "69764-9", "29768-9", "29769-7", "30963-3", "38890-0", "30973-2", "48767-8"}
)


@dataclass(slots=True, repr=False)
class Shot:
    """One ORC/RXA group. other: OBX that are observations of their own."""

    orc: Segment | None = None
    rxa: Segment | None = None
    rxr: Segment | None = None
    obx: list[tuple[Segment, list[Segment]]] = field(default_factory=list)


def group_shots(segments: list[Segment]) -> list[Shot]:
    """ORC, or an RXA without one, begins a group."""
    shots: list[Shot] = []
    for s in segments:
        if s.name == "ORC" or (s.name == "RXA" and (not shots or shots[-1].rxa is not None)):
            shots.append(Shot(orc=s if s.name == "ORC" else None))
        if not shots:
            continue
        if s.name == "RXA":
            shots[-1].rxa = s
        elif s.name == "RXR":
            shots[-1].rxr = s
        elif s.name == "OBX":
            shots[-1].obx.append((s, []))
        elif s.name == "NTE" and shots[-1].obx:
            shots[-1].obx[-1][1].append(s)
    return [s for s in shots if s.rxa is not None]


def own_observations(scribe: Scribe, shot: Shot) -> list[tuple[Segment, list[Segment]]]:
    """The OBX that are results about the patient (titres, evidence of immunity), not details of the shot."""
    return [
        row for row in shot.obx if not set(scribe.codes_of(scribe.concept(row[0].first(3)), LOINC)) & _BELONGS
    ]  # fmt: skip


def read_shot(scribe: Scribe, shot: Shot, person: str, key: str, encounter: str) -> Json | None:
    """None for CVX 998 and for an RXA without a vaccine."""
    rxa = shot.rxa
    assert rxa is not None
    vaccine = scribe.concept(rxa.first(5), guess=CVX)
    if not vaccine:
        scribe.note("warning", "required", "a vaccination without a vaccine was left out", rxa, "5")
        return None
    if NOTHING_GIVEN in scribe.codes_of(vaccine, CVX):
        return None
    when = scribe.moment(rxa.v(3), rxa, "3")
    numbers = [e for n in (3, 2) if shot.orc is not None and (e := scribe.entity(shot.orc.first(n)))]
    numbers = [
        e for e in numbers if e["value"] not in ("9999",)
    ]  # CDC: no number is known (refusals, history)
    what = str(vaccine.get("coding", [{}])[0].get("code") or vaccine.get("text", ""))
    identity = (numbers[0]["system"], numbers[0]["value"]) if numbers else (key, what, when[:10])
    return kept(
        resourceType="Immunization",
        id=made_id("Immunization", *identity),
        identifier=numbers,
        status=_status(scribe, rxa),
        statusReason=scribe.concept(rxa.first(18)) if rxa.first(18) else None,
        vaccineCode=vaccine,
        patient={"reference": f"Patient/{person}"},
        encounter={"reference": f"Encounter/{encounter}"} if encounter else None,
        **({"occurrenceDateTime": when} if when else {"occurrenceString": "unknown"}),
        recorded=scribe.moment(shot.orc.v(9), shot.orc, "9") if shot.orc is not None else "",
        **_source(rxa),
        **_product(scribe, rxa),
        **_given(scribe, shot, rxa),
    )


def _status(scribe: Scribe, rxa: Segment) -> str:
    if rxa.v(21).upper() == "D":
        return "entered-in-error"
    if rxa.first(18):
        return "not-done"
    return scribe.site.tables.get("immunization-status", rxa.v(20).upper()) or "completed"


def _source(rxa: Segment) -> Json:
    """RXA-9 (NIP001): 00 is a new record of who gave it; 01 to 08 are histories told by others."""
    notes = [rep for rep in rxa.reps(9) if rep.c(3).upper() in ("NIP001", "")]
    code = next((rep.c(1) for rep in notes if rep.c(1).isdigit()), "")
    if not code:
        return {}
    if code == "00":
        return {"primarySource": True}
    rep = next(rep for rep in notes if rep.c(1) == code)
    origin = kept(coding=[kept(system=ORIGIN, code=code, display=rep.c(2))])
    return {"primarySource": False, "reportOrigin": origin}


def _product(scribe: Scribe, rxa: Segment) -> Json:
    maker = rxa.first(17)
    return kept(
        lotNumber=rxa.v(15),
        expirationDate=scribe.day(rxa.v(16), rxa, "16"),
        manufacturer={"display": maker.c(2) or maker.c(1)} if maker else None,
    )


def _given(scribe: Scribe, shot: Shot, rxa: Segment) -> Json:
    amount = read_number(rxa.v(6))
    unit = scribe.unit(rxa.first(7))
    real = amount is not None and not amount[0] and 0 < amount[1] < 999  # 999: the amount is not known
    rxr = shot.rxr
    performers = [{"actor": who} for rep in rxa.reps(10) if (who := scribe.person(rep))]
    return kept(
        doseQuantity=quantity(
            "", amount[1], unit.get("unit", ""), unit.get("code", ""), unit.get("system", "")
        )
        if amount is not None and real
        else None,
        route=scribe.concept(rxr.first(1)) if rxr is not None and rxr.first(1) else None,
        site=scribe.concept(rxr.first(2)) if rxr is not None and rxr.first(2) else None,
        performer=performers,
        **_details(scribe, shot),
    )


def _details(scribe: Scribe, shot: Shot) -> Json:
    """Eligibility and information statements from the OBX that belong to the shot."""
    eligibility: list[Json] = []
    education: dict[str, Json] = {}
    for obx, _ in shot.obx:
        codes = set(scribe.codes_of(scribe.concept(obx.first(3)), LOINC))
        value = read_value(scribe, obx, obx.first(5)) if obx.reps(5) else {}
        part = education.setdefault(obx.v(4), {}) if codes & {"29768-9", "29769-7", "69764-9"} else {}
        if "64994-7" in codes and "valueCodeableConcept" in value:
            eligibility.append(value["valueCodeableConcept"])
        elif "29768-9" in codes and "valueDateTime" in value:
            part["publicationDate"] = value["valueDateTime"]
        elif "29769-7" in codes and "valueDateTime" in value:
            part["presentationDate"] = value["valueDateTime"]
        elif "69764-9" in codes and (words := obx.first(5).c(2) or obx.first(5).c(1)):
            part["documentType"] = words
    return kept(
        programEligibility=eligibility,
        education=[e for e in education.values() if "documentType" in e],
    )

"""One HL7 v2 message -> what it says of each patient, as FHIR resources (IG: message maps).

`map_message` refuses (V2Refusal, with the ERR code of table 0357) what it cannot take whole: an unknown message type,
no patient identifier, a merge without MRG. A bad field costs that field and becomes an Issue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fhir_twin.errors import InvalidInput, Issue
from fhir_twin.intake.hl7v2 import Message, Segment
from fhir_twin.intake.hl7v2_clinical import read_allergy, read_diagnosis, read_procedure
from fhir_twin.intake.hl7v2_encounter import read_encounter
from fhir_twin.intake.hl7v2_medication import read_prescription
from fhir_twin.intake.hl7v2_orders import read_document, read_service_order
from fhir_twin.intake.hl7v2_patient import Person, person_key, read_person
from fhir_twin.intake.hl7v2_results import Order, group_orders, read_order
from fhir_twin.intake.hl7v2_rx import group_prescriptions
from fhir_twin.intake.hl7v2_types import Json, Scribe
from fhir_twin.intake.hl7v2_vaccine import group_shots, own_observations, read_shot
from fhir_twin.intake.moments import as_instant
from fhir_twin.intake.provenance import provenance
from fhir_twin.intake.site import Site

_ADT = frozenset(
    "A01 A02 A03 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A16 A21 A22 A25 A26 A27 A28 A31 "  # noqa: SIM905
    "A32 A33 A38 A52 A53 A60".split()
)
MERGES = frozenset(["A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47"])
# Message code -> trigger events taken; the first is meant when the sender names none.
SUPPORTED: dict[str, tuple[str, ...]] = {
    "ADT": ("A08", *sorted((_ADT | MERGES) - {"A08"})),
    "ORU": ("R01", "R30", "R31", "R32", "R40"),
    "OUL": ("R22", "R21", "R23", "R24"),
    "VXU": ("V04",),
    "RDE": ("O11", "O25", "O01"),
    "OMP": ("O09",),
    "RDS": ("O13", "O01"),
    "RAS": ("O17", "O01"),
    "ORM": ("O01",),
    "OML": ("O21", "O33", "O35"),
    "MDM": ("T02", "T04", "T06", "T08", "T10"),
}
_READ = frozenset(
    "MSH EVN PID PD1 NK1 PV1 PV2 OBR OBX NTE ORC SPM AL1 IAM DG1 PR1 RXO RXE RXR RXC RXD RXA TQ1 "  # noqa: SIM905
    "MRG TXA SFT UAC".split()
)
_FLAGS = {
    "charset-wrong": "the text does not fit the character set that MSH-18 names; it was read as another",
    "charset-unknown": "MSH-18 names a character set that is not known; the text was read as UTF-8 or Windows-1252",
    "control": "control characters were replaced",
    "escape": "an escape sequence that is not known was kept as it is written",
    "broken-line": "a line that begins no segment was taken as the rest of the one before",
}


class V2Refusal(InvalidInput):
    """The message cannot be taken. reject: AR rather than AE. error: table 0357 (207: application error). location:
    ERR-2."""

    def __init__(
        self,
        message: str,
        error: str = "207",
        *,
        location: str = "",
        reject: bool = False,
        issues: tuple[Issue, ...] = (),
    ) -> None:
        super().__init__(message, issues=issues)
        self.error = error
        self.location = location
        self.reject = reject


@dataclass(frozen=True, slots=True, repr=False)
class PatientUpdate:
    """What one message says of one patient. merged: keys of records that are this person (A40).
    resources: everything but the Patient, with ids that the same business identity always gives."""

    person: Person
    resources: tuple[Json, ...]
    merged: tuple[str, ...] = ()

    def bundle(self) -> dict[str, Any]:
        """A collection Bundle, Patient first."""
        found = [self.person.patient, *self.resources]
        return {"resourceType": "Bundle", "type": "collection", "entry": [_entry(r) for r in found]}


@dataclass(frozen=True, slots=True, repr=False)
class Mapped:
    """type: "ADT^A01". when: the moment that orders it against other messages of the same sender."""

    type: str
    control_id: str
    when: datetime | None
    updates: tuple[PatientUpdate, ...]
    issues: tuple[Issue, ...] = field(default=())


def _entry(resource: Json) -> Json:
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}


def check_type(message: Message, site: Site) -> tuple[str, str]:
    """(code, event). Raises V2Refusal for what is not taken here (V2-3, V2-4)."""
    code, event = message.code, message.event
    processing = message.msh.v(11)[:1].upper()
    if processing and processing not in ("P", "T", "D"):
        raise V2Refusal("MSH-11 is no processing id", "202", location="MSH^1^11", reject=True)
    if (processing or "P") not in site.accept:
        raise V2Refusal(
            "messages for training or debugging are not taken here", "202", location="MSH^1^11", reject=True
        )
    version = message.msh.v(12)
    if version and not version.startswith("2"):
        raise V2Refusal("the version in MSH-12 is no HL7 v2", "203", location="MSH^1^12", reject=True)
    if code not in SUPPORTED:
        raise V2Refusal("this message type is not taken here", "200", location="MSH^1^9^1", reject=True)
    event = event or SUPPORTED[code][0]
    if event not in SUPPORTED[code]:
        raise V2Refusal("this trigger event is not taken here", "201", location="MSH^1^9^2", reject=True)
    if not message.control_id:
        raise V2Refusal("MSH-10 is empty", "101", location="MSH^1^10", reject=True)
    return code, event


def map_message(message: Message, site: Site) -> Mapped:
    """All that the message says. Raises V2Refusal."""
    code, event = check_type(message, site)
    scribe = Scribe(message, site)
    groups = _by_patient(message)
    if not groups:
        raise V2Refusal("the message has no PID", "100", location="PID^1")
    updates = []
    for pid, segments in groups:
        person = read_person(scribe, pid, segments)
        if person is None:
            raise V2Refusal("no identifier in PID-3 names the patient", "101", location=f"PID^{pid.index}^3")
        if event in MERGES and code == "ADT":
            updates.append(_merge(scribe, person, segments))
        else:
            updates.append(_update(scribe, person, segments, code, event))
    _say_unread(scribe)
    for flag in message.flags:
        scribe.note("warning", "processing", _FLAGS[flag], message.msh)
    moment = _when(message, site, code)
    return Mapped(f"{code}^{event}", message.control_id, moment, tuple(updates), scribe.findings.all())


def _by_patient(message: Message) -> list[tuple[Segment, list[Segment]]]:
    groups: list[tuple[Segment, list[Segment]]] = []
    for s in message.segments:
        if s.name == "PID":
            groups.append((s, []))
        elif groups:
            groups[-1][1].append(s)
    return groups


def _merge(scribe: Scribe, person: Person, segments: list[Segment]) -> PatientUpdate:
    """The record of MRG-1 is this person's from now on (V2-5, H4)."""
    keys: list[str] = []
    for mrg in (s for s in segments if s.name == "MRG"):
        _, found = person_key(scribe, mrg.reps(1))
        keys += found
    if not keys:
        raise V2Refusal("a merge without an identifier in MRG-1", "101", location="MRG^1^1")
    old = tuple(k for k in dict.fromkeys(keys) if k not in person.aliases)
    if not old:
        scribe.note("warning", "business-rule", "MRG-1 and PID-3 name the same record: nothing is merged")
    update = PatientUpdate(person, (), old)
    return PatientUpdate(person, (provenance(scribe, update.person.id, []),), old)


def _update(scribe: Scribe, person: Person, segments: list[Segment], code: str, event: str) -> PatientUpdate:
    made: list[Json] = []
    pv1 = next((s for s in segments if s.name == "PV1"), None)
    pv2 = next((s for s in segments if s.name == "PV2"), None)
    visit = ""
    if pv1 is not None:
        encounter = read_encounter(scribe, pv1, pv2, person.id, person.key, event if code == "ADT" else "")
        if encounter is not None:
            made.append(encounter)
            visit = encounter["id"]
    made += _clinical(scribe, segments, person, visit)
    reader = _BODIES.get(code)
    if reader is not None:
        made += reader(scribe, segments, person, visit)
    once = {(r["resourceType"], r["id"]): r for r in made}  # the last word of a message on one thing
    resources = list(once.values())
    return PatientUpdate(person, (*resources, provenance(scribe, person.id, resources)))


def _clinical(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    found: list[Json | None] = []
    for s in segments:
        if s.name in ("AL1", "IAM"):
            found.append(read_allergy(scribe, s, person.id, person.key))
        elif s.name == "DG1":
            found.append(read_diagnosis(scribe, s, person.id, person.key, visit))
        elif s.name == "PR1":
            found.append(read_procedure(scribe, s, person.id, person.key, visit))
    return [r for r in found if r is not None]


def _results(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    found = [read_order(scribe, o, person.id, person.key, visit) for o in group_orders(segments)]
    return [r for each in found for r in each]


def _service_orders(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    """ORM and OML: orders for services, and orders for drugs where the message has RXO."""
    made: list[Json] = []
    for order in group_orders(segments):
        request = read_service_order(scribe, order, person.id, person.key, visit)
        made += [request] if request is not None else []
        made += read_order(scribe, Order(order.orc, None, order.obx), person.id, person.key, visit)
    return made + _drugs(scribe, segments, person, visit)


def _drugs(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    found = [
        read_prescription(scribe, g, person.id, person.key, visit) for g in group_prescriptions(segments)
    ]
    return [r for each in found for r in each]


def _pharmacy(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    return _drugs(scribe, segments, person, visit) + _results(scribe, segments, person, visit)


def _vaccines(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    made: list[Json] = []
    for shot in group_shots(segments):
        immunization = read_shot(scribe, shot, person.id, person.key, visit)
        made += [immunization] if immunization is not None else []
        order = Order(orc=shot.orc, obx=own_observations(scribe, shot))
        made += read_order(scribe, order, person.id, person.key, visit)
    return made


def _documents(scribe: Scribe, segments: list[Segment], person: Person, visit: str) -> list[Json]:
    txa = next((s for s in segments if s.name == "TXA"), None)
    if txa is None:
        return _results(scribe, segments, person, visit)
    document = read_document(
        scribe, txa, [s for s in segments if s.name == "OBX"], person.id, person.key, visit
    )
    return [document] if document is not None else []


_Body = Callable[[Scribe, list[Segment], Person, str], list[Json]]
_BODIES: dict[str, _Body] = {
    "ADT": _results,
    "ORU": _results,
    "OUL": _results,
    "VXU": _vaccines,
    "RDE": _pharmacy,
    "OMP": _pharmacy,
    "RDS": _pharmacy,
    "RAS": _pharmacy,
    "ORM": _service_orders,
    "OML": _service_orders,
    "MDM": _documents,
}


def _say_unread(scribe: Scribe) -> None:
    names = Counter(s.name for s in scribe.message.segments if s.name not in _READ)
    if names:
        shown = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in sorted(names.items())[:20])
        scribe.note("information", "informational", f"segments that are not read here: {shown}")


def _when(message: Message, site: Site, code: str) -> datetime | None:
    """EVN-2 of an ADT (the event was recorded then), else MSH-7."""
    scribe = Scribe(message, site)
    evn = message.one("EVN")
    recorded = as_instant(scribe.moment(evn.v(2), evn, "2"), site.zone) if code == "ADT" else None
    sent = as_instant(scribe.moment(message.msh.v(7), message.msh, "7"), site.zone)
    if recorded is not None and sent is not None and recorded > sent:
        return sent  # nothing is sent before it is recorded: one of the clocks is wrong
    return recorded or sent

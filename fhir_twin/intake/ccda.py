"""A C-CDA document -> what it says of its patient, as FHIR resources (standards 6.4, C-CDA on FHIR).

    open_document (hardened) -> recordTarget -> each known section by template or LOINC code -> resources

A bad entry costs that entry and becomes an Issue; sections that are not read are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fhir_twin.intake.ccda_history import read_family, read_procedure
from fhir_twin.intake.ccda_medications import read_immunization, read_medication
from fhir_twin.intake.ccda_observations import read_observation, read_organizer
from fhir_twin.intake.ccda_person import birth_sex, display_of, read_record_target
from fhir_twin.intake.ccda_problems import (
    ALLERGY,
    PROBLEM,
    foreign_subject,
    observations_of,
    read_allergy,
    read_problem,
)
from fhir_twin.intake.ccda_types import Clerk
from fhir_twin.intake.ccda_xml import (
    Node,
    attribute,
    each,
    find,
    narrative_index,
    open_document,
    sections,
    words,
)
from fhir_twin.intake.hl7v2_map import Mapped, PatientUpdate
from fhir_twin.intake.hl7v2_types import Json, kept
from fhir_twin.intake.moments import as_instant
from fhir_twin.intake.provenance import EPOCH, agent
from fhir_twin.intake.site import Site, made_id

_SECTION = "2.16.840.1.113883.10.20.22.2."
# LOINC code of a section -> kind, and template roots for documents whose sections have no code (CD-1).
KINDS = {
    "11450-4": "problems", "11348-0": "past problems", "48765-2": "allergies", "10160-0": "medications",
    "42346-7": "medications", "10183-2": "medications", "75311-1": "medications", "29549-3": "medications",
    "30954-2": "results", "8716-3": "vitals", "29762-2": "social", "10157-6": "family", "47519-4": "procedures",
    "11369-6": "immunizations",
}  # fmt: skip
ROOTS = {
    "5": "problems", "5.1": "problems", "20": "past problems", "6": "allergies", "6.1": "allergies", "1": "medications",
    "1.1": "medications", "3": "results", "3.1": "results", "4": "vitals", "4.1": "vitals", "17": "social",
    "15": "family", "7": "procedures", "7.1": "procedures", "2": "immunizations", "2.1": "immunizations",
    "11": "medications", "11.1": "medications", "38": "medications", "44": "medications",
}  # fmt: skip


def read_ccda(data: bytes, site: Site) -> Mapped:
    """Raises InvalidInput and TooCostly for what is no document about one patient."""
    root = open_document(data)
    clerk = Clerk(site, narrative_index(root))
    person = read_record_target(clerk, root)
    clerk.key, clerk.person = person.key, person.id
    if sex := birth_sex(root):
        person.patient.setdefault("extension", []).extend(sex)
    found: list[Json] = []
    for section in sections(root):
        found += _section(clerk, section)
    if find(root, "component", "nonXMLBody") is not None:
        found += _unstructured(clerk, root)
    when = clerk.moment(find(root, "effectiveTime"))
    number = clerk.identifier(ident) if (ident := find(root, "id")) is not None else {}
    found.append(_provenance(clerk, root, found, when, number))
    update = PatientUpdate(person, tuple(found))
    control = (
        f"{number.get('system', '')}|{number.get('value', '')}"
        if number
        else made_id("Document", person.key, when)
    )
    return Mapped("CDA", control, as_instant(when, site.zone), (update,), clerk.findings.all())


def _section(clerk: Clerk, section: Node) -> list[Json]:
    kind = _kind(section)
    title = words(find(section, "title"))
    entries = each(section, "entry")
    if not kind:
        code = attribute(find(section, "code"), "code")
        code = code if re.fullmatch(r"\d{1,7}(-\d)?", code, re.ASCII) else "without a code of LOINC"
        if entries:
            clerk.note("information", "informational", f"a section that is not read here: {code}")
        return []
    if not entries and words(find(section, "text")) and attribute(section, "nullFlavor") == "" and title:
        clerk.note("warning", "incomplete", f"the {kind} section has narrative only; nothing of it is used")
    found: list[Json] = []
    for number, entry in enumerate(entries, 1):
        try:
            found += _READERS[kind](clerk, entry)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ):  # one entry nobody foresaw costs that entry only
            clerk.note("error", "processing", "an entry could not be read", f"{kind} entry {number}")
    return found


def _kind(section: Node) -> str:
    code = find(section, "code")
    for node in (code, *each(code, "translation")):
        if (kind := KINDS.get(attribute(node, "code"))) is not None:
            return kind
    for template in each(section, "templateId"):
        root = attribute(template, "root")
        if root.startswith(_SECTION) and (kind := ROOTS.get(root.removeprefix(_SECTION))):
            return kind
    return ""


def _problems(clerk: Clerk, entry: Node) -> list[Json]:
    found = observations_of(entry, PROBLEM)
    return _some(read_problem(clerk, c, o, "problem-list-item") for c, o in found if _own(clerk, o))


def _allergies(clerk: Clerk, entry: Node) -> list[Json]:
    return _some(read_allergy(clerk, c, o) for c, o in observations_of(entry, ALLERGY) if _own(clerk, o))


def _medications(clerk: Clerk, entry: Node) -> list[Json]:
    nodes = [
        *each(entry, "substanceAdministration"),
        *each(entry, "act", "entryRelationship", "substanceAdministration"),
    ]
    return _some(read_medication(clerk, n) for n in nodes if _own(clerk, n))


def _immunizations(clerk: Clerk, entry: Node) -> list[Json]:
    return _some(
        read_immunization(clerk, n) for n in each(entry, "substanceAdministration") if _own(clerk, n)
    )


def _observations(category: str) -> Callable[[Clerk, Node], list[Json]]:
    def read(clerk: Clerk, entry: Node) -> list[Json]:
        found: list[Json] = []
        for organizer in each(entry, "organizer"):
            found += read_organizer(clerk, organizer, category) if _own(clerk, organizer) else []
        return found + _some(
            read_observation(clerk, n, category) for n in each(entry, "observation") if _own(clerk, n)
        )

    return read


def _procedures(clerk: Clerk, entry: Node) -> list[Json]:
    nodes = [n for name in ("procedure", "act", "observation") for n in each(entry, name)]
    return _some(read_procedure(clerk, n) for n in nodes if _own(clerk, n))


def _family(clerk: Clerk, entry: Node) -> list[Json]:
    return _some(read_family(clerk, n) for n in each(entry, "organizer"))


_READERS: dict[str, Callable[[Clerk, Node], list[Json]]] = {
    "problems": _problems,
    "past problems": _problems,
    "allergies": _allergies,
    "medications": _medications,
    "results": _observations("laboratory"),
    "vitals": _observations("vital-signs"),
    "social": _observations("social-history"),
    "family": _family,
    "procedures": _procedures,
    "immunizations": _immunizations,
}


def _some(made: object) -> list[Json]:
    return [r for r in made if r is not None]  # type: ignore[attr-defined]


def _own(clerk: Clerk, node: Node) -> bool:
    if foreign_subject(node):
        clerk.note("warning", "security", "an entry about somebody other than the patient was left out")
        return False
    return True


def _unstructured(clerk: Clerk, root: Node) -> list[Json]:
    """nonXMLBody: kept as a document, its content is not read (CD-7)."""
    text = find(root, "component", "nonXMLBody", "text")
    body = "".join(words(text).split()) if text is not None else ""
    if attribute(text, "representation") != "B64" or not body:
        clerk.note("warning", "incomplete", "the document's body is no XML and not embedded; it was not kept")
        return []
    clerk.note(
        "warning",
        "incomplete",
        "the document's body is no XML: it is kept as a document, nothing of it is used",
    )
    attachment = {"contentType": attribute(text, "mediaType") or "application/octet-stream", "data": body}
    return [
        kept(
            resourceType="DocumentReference",
            id=clerk.resource_id("DocumentReference", root),
            identifier=clerk.identifiers(root),
            status="current",
            type_=clerk.concept(find(root, "code")),
            subject=clerk.subject,
            content=[{"attachment": attachment}],
        )
    ]


def _provenance(clerk: Clerk, root: Node, found: list[Json], when: str, number: Json) -> Json:
    custodian = find(root, "custodian", "assignedCustodian", "representedCustodianOrganization")
    source = display_of(custodian) or "unknown custodian"
    targets = [f"Patient/{clerk.person}", *(f"{r['resourceType']}/{r['id']}" for r in found)]
    recorded = when if len(when) > 10 else f"{when}T00:00:00Z" if len(when) == 10 else EPOCH
    return kept(
        resourceType="Provenance",
        id=made_id("Provenance", str(number), clerk.person, when),
        target=[{"reference": each_} for each_ in targets],
        recorded=recorded,
        activity={"text": "C-CDA document, made FHIR"},
        agent=[agent("author", source, source), agent("assembler", "fhir-twin intake", source)],
        entity=[{"role": "source", "what": kept(identifier=number, display="C-CDA document")}],
    )

"""C-CDA documents to resources (CD-1 to CD-7)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from ccda_documents import document, section
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_twin.errors import InvalidInput, TooCostly
from fhir_twin.fhir.read import read_chart
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.intake.ccda import read_ccda
from fhir_twin.intake.hl7v2_map import Mapped
from fhir_twin.intake.site import Site

SCT = 'codeSystem="2.16.840.1.113883.6.96"'
T = "2.16.840.1.113883.10.20.22.4."
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def read(*sections: str) -> Mapped:
    return read_ccda(document("utf-8", *sections), Site())


def made(found: Mapped, kind: str) -> list[dict[str, Any]]:
    return [r for r in found.updates[0].resources if r["resourceType"] == kind]


def problem(inner: str, *, concern: str = "active", negated: str = "", ident: str = "p1") -> str:
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}3"/><statusCode code="{concern}"/>'
        f'<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN" {negated}>'
        f'<templateId root="{T}4"/><id root="9.9.9" extension="{ident}"/><statusCode code="completed"/>{inner}'
        "</observation></entryRelationship></act>"
    )


PRESSURE = f'<value xsi:type="CD" code="38341003" {SCT} displayName="Hypertension"/>'


@pytest.mark.parametrize(
    ("inner", "concern", "status"),
    [
        ('<effectiveTime><low value="20200101"/></effectiveTime>', "active", "active"),
        (
            '<effectiveTime><low value="20200101"/><high value="20210101"/></effectiveTime>',
            "active",
            "resolved",
        ),
        (
            '<effectiveTime><low value="20200101"/><high nullFlavor="UNK"/></effectiveTime>',
            "active",
            "resolved",
        ),
        ('<effectiveTime><low value="20200101"/></effectiveTime>', "completed", "resolved"),
        ('<effectiveTime><low value="20200101"/></effectiveTime>', "aborted", "inactive"),
    ],
)
def test_problems_and_their_ends(inner: str, concern: str, status: str) -> None:
    """CD-3: an end, even an unknown one, means that it is over."""
    [found] = made(read(section("11450-4", problem(inner + PRESSURE, concern=concern))), "Condition")
    assert found["clinicalStatus"]["coding"][0]["code"] == status
    assert found["code"]["coding"][0]["system"] == "http://snomed.info/sct"


def test_a_negated_problem_is_refuted() -> None:
    [found] = made(read(section("11450-4", problem(PRESSURE, negated='negationInd="true"'))), "Condition")
    assert found["verificationStatus"]["coding"][0]["code"] == "refuted"


def test_a_status_observation_is_believed() -> None:
    inner = PRESSURE + (
        f'<entryRelationship typeCode="REFR"><observation classCode="OBS" moodCode="EVN"><templateId root="{T}6"/>'
        f'<value xsi:type="CD" code="73425007" {SCT}/></observation></entryRelationship>'
    )
    [found] = made(read(section("11450-4", problem(inner))), "Condition")
    assert found["clinicalStatus"]["coding"][0]["code"] == "inactive"


def test_text_by_reference_and_a_null_code() -> None:
    """CD-6, I1: a problem that is only words."""
    inner = (
        '<value xsi:type="CD" nullFlavor="OTH"><originalText><reference value="#p"/></originalText></value>'
    )
    [found] = made(
        read(section("11450-4", problem(inner), text='<content ID="p">High blood pressure</content>')),
        "Condition",
    )
    assert found["code"] == {"text": "High blood pressure"}


def allergy(value: str, substance: str, negated: str = "") -> str:
    return (
        f'<act classCode="ACT" moodCode="EVN"><templateId root="{T}30"/><statusCode code="active"/>'
        f'<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN" {negated}>'
        f'<templateId root="{T}7"/><value xsi:type="CD" code="{value}" {SCT}/>{substance}'
        f'<entryRelationship typeCode="MFST"><observation classCode="OBS" moodCode="EVN"><templateId root="{T}9"/>'
        f'<value xsi:type="CD" code="247472004" {SCT} displayName="Hives"/>'
        f'<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN"><templateId root="{T}8"/>'
        f'<value xsi:type="CD" code="24484000" {SCT}/></observation></entryRelationship></observation>'
        "</entryRelationship></observation></entryRelationship></act>"
    )


def test_an_allergy_with_its_reaction() -> None:
    substance = (
        '<participant typeCode="CSM"><participantRole><playingEntity>'
        '<code code="7980" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin"/></playingEntity>'
        "</participantRole></participant>"
    )
    [found] = made(read(section("48765-2", allergy("416098002", substance))), "AllergyIntolerance")
    assert (found["type"], found["category"]) == ("allergy", ["medication"])
    assert found["reaction"][0]["severity"] == "severe"
    assert found["code"]["coding"][0]["code"] == "7980"


@pytest.mark.parametrize(("kind", "code"), [("416098002", "409137002"), ("419199007", "716186003")])
def test_no_known_allergies_keep_their_meaning(kind: str, code: str) -> None:
    [found] = made(read(section("48765-2", allergy(kind, "", 'negationInd="true"'))), "AllergyIntolerance")
    assert found["code"]["coding"][0]["code"] == code
    assert found["verificationStatus"]["coding"][0]["code"] == "confirmed"


def drug(mood: str, status: str, times: str, more: str = "") -> str:
    return (
        f'<substanceAdministration classCode="SBADM" moodCode="{mood}"><templateId root="{T}16"/>'
        f'<id root="9.9.8" extension="m1"/><statusCode code="{status}"/>{times}'
        '<doseQuantity value="1" unit="{tablet}"/><consumable><manufacturedProduct><manufacturedMaterial>'
        '<code code="197361" codeSystem="2.16.840.1.113883.6.88" displayName="Amlodipine 5 MG"/>'
        f"</manufacturedMaterial></manufacturedProduct></consumable>{more}</substanceAdministration>"
    )


BOUNDS = '<effectiveTime xsi:type="IVL_TS"><low value="20200101"/></effectiveTime>'
TWICE = '<effectiveTime xsi:type="PIVL_TS" operator="A"><period value="12" unit="h"/></effectiveTime>'


def test_a_drug_taken_and_a_drug_ordered() -> None:
    """CD-4."""
    taken = read(section("10160-0", drug("EVN", "active", BOUNDS + TWICE)))
    [statement] = made(taken, "MedicationStatement")
    assert statement["effectivePeriod"] == {"start": "2020-01-01"}
    assert statement["dosage"][0]["timing"]["repeat"]["period"] == Decimal(12)
    chart = read_chart(taken.updates[0].bundle(), AS_OF)
    assert (chart.medications[0].current, chart.medications[0].dosages[0].per_day) == (True, 2)
    supply = (
        f'<entryRelationship typeCode="REFR"><supply classCode="SPLY" moodCode="INT"><templateId root="{T}17"/>'
        '<repeatNumber value="3"/><quantity value="60"/></supply></entryRelationship>'
    )
    [order] = made(read(section("10160-0", drug("INT", "active", BOUNDS, supply))), "MedicationRequest")
    assert (order["intent"], order["dispenseRequest"]["numberOfRepeatsAllowed"]) == ("plan", 2)


def observation(value: str, code: str = '<code code="2160-0" codeSystem="2.16.840.1.113883.6.1"/>') -> str:
    return (
        f'<organizer classCode="BATTERY" moodCode="EVN"><templateId root="{T}1"/><statusCode code="completed"/>'
        f'<component><observation classCode="OBS" moodCode="EVN"><templateId root="{T}2"/>{code}'
        f'<statusCode code="completed"/><effectiveTime value="20260101"/>{value}</observation></component></organizer>'
    )


def quantity(value: str, **more: str) -> dict[str, Any]:
    unit = (
        {"unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"}
        if more.pop("mg", "")
        else {}
    )
    return {"valueQuantity": {"value": Decimal(value), **unit, **more}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('<value xsi:type="PQ" value="1.20" unit="mg/dL"/>', quantity("1.20", mg="y")),
        (
            '<value xsi:type="IVL_PQ"><high value="5" unit="mg/dL" inclusive="false"/></value>',
            quantity("5", mg="y", comparator="<"),
        ),
        ('<value xsi:type="IVL_PQ"><low value="5"/></value>', quantity("5", comparator=">=")),
        ('<value xsi:type="INT" value="7"/>', {"valueInteger": 7}),
        ('<value xsi:type="ST">trace</value>', {"valueString": "trace"}),
        ('<value xsi:type="ST">5.2</value>', quantity("5.2")),
        ('<value xsi:type="PQ" nullFlavor="UNK"/>', {}),
    ],
)
def test_values_by_type(value: str, expected: dict[str, Any]) -> None:
    """CD-5."""
    [found] = made(read(section("30954-2", observation(value))), "Observation")
    assert {k: v for k, v in found.items() if k.startswith("value")} == expected
    assert ("dataAbsentReason" in found) == (not expected)


def test_smoking_and_family_history() -> None:
    smoking = (
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{T}78"/>'
        '<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/>'
        f'<effectiveTime value="20250101"/><value xsi:type="CD" code="8517006" {SCT}/></observation>'
    )
    father = (
        f'<organizer classCode="CLUSTER" moodCode="EVN"><templateId root="{T}45"/><statusCode code="completed"/>'
        '<subject><relatedSubject classCode="PRS"><code code="FTH" codeSystem="2.16.840.1.113883.5.111"/>'
        '<subject><administrativeGenderCode code="M"/></subject></relatedSubject></subject><component>'
        f'<observation classCode="OBS" moodCode="EVN"><templateId root="{T}46"/>'
        f'<value xsi:type="CD" code="22298006" {SCT} displayName="Myocardial infarction"/>'
        f'<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN"><templateId root="{T}31"/>'
        '<value xsi:type="PQ" value="57" unit="a"/></observation></entryRelationship></observation></component>'
        "</organizer>"
    )
    found = read(section("29762-2", smoking), section("10157-6", father))
    [status] = made(found, "Observation")
    assert status["code"]["coding"][0]["code"] == "72166-2"
    [relative] = made(found, "FamilyMemberHistory")
    assert relative["condition"][0]["onsetAge"]["value"] == 57
    assert read_chart(found.updates[0].bundle(), AS_OF).problems == ()


def test_another_persons_entry_is_left_out() -> None:
    """CD-7."""
    other = '<subject><relatedSubject classCode="PRS"><code code="CHILD"/></relatedSubject></subject>'
    entry = observation('<value xsi:type="INT" value="7"/>').replace("<component>", other + "<component>")
    found = read(section("30954-2", entry))
    assert made(found, "Observation") == []
    assert any("somebody other" in i.diagnostics for i in found.issues)


def test_two_patients_in_one_document_are_refused() -> None:
    body = document().replace(
        b"</recordTarget>", b"</recordTarget>" + b"<recordTarget><patientRole/></recordTarget>"
    )
    with pytest.raises(InvalidInput):
        read_ccda(body, Site())


def test_sections_without_entries_or_of_other_kinds_are_named() -> None:
    found = read(section("10160-0", text="aspirin"), section("18776-5", "<act/>"))
    words = " ".join(i.diagnostics for i in found.issues)
    assert "medications section has narrative only" in words
    assert "18776-5" in words


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "latin-1"])
def test_encodings_are_read_right(codec: str) -> None:
    """Row 33: parsed right, never mojibake."""
    text = document().decode().replace("DOE", "DÖE")
    if codec == "latin-1":
        text = text.replace("UTF-8", "ISO-8859-1")
    found = read_ccda(text.encode(codec), Site())
    assert found.updates[0].person.patient["name"][0]["family"] == "DÖE"


def test_narrative_that_names_every_depth_is_not_read_again_at_each() -> None:
    """Row 32: linear in its size."""
    deep = "".join(f'<c ID="x{i}">' for i in range(200)) + "z" * 2_000_000 + "</c>" * 200
    start = time.monotonic()
    read(section("11450-4", text=deep))
    assert time.monotonic() - start < 10


def test_one_id_used_for_two_entries_gives_two_resources() -> None:
    other = f'<value xsi:type="CD" code="44054006" {SCT}/>'
    found = read(section("11450-4", problem(PRESSURE), problem(other), problem(PRESSURE)))
    assert len({r["id"] for r in made(found, "Condition")}) == 3


_NODES = st.recursive(
    st.sampled_from(
        [
            "<value/>",
            PRESSURE,
            '<effectiveTime value="2020"/>',
            '<effectiveTime><low value="x"/></effectiveTime>',
            "<id/>",
            '<code code="2160-0" codeSystem="2.16.840.1.113883.6.1"/>',
            '<statusCode code="completed"/>',
            '<id root="1.2"/>',
            f'<templateId root="{T}4"/>',
            f'<templateId root="{T}7"/>',
            '<value xsi:type="PQ" value="NaN" unit="mg"/>',
            '<value xsi:type="IVL_PQ"><low value="9"/><high value="1"/></value>',
            '<text><reference value="#z"/></text>',
        ]
    ),
    lambda inner: st.tuples(
        st.sampled_from(
            [
                "act",
                "observation",
                "organizer",
                "component",
                "entryRelationship",
                "procedure",
                "substanceAdministration",
                "consumable",
                "manufacturedProduct",
                "manufacturedMaterial",
                "supply",
                "participant",
                "participantRole",
                "playingEntity",
                "subject",
                "relatedSubject",
                "effectiveTime",
            ]
        ),
        st.sampled_from(
            [
                "",
                'moodCode="EVN"',
                'moodCode="INT"',
                'negationInd="true"',
                'nullFlavor="UNK"',
                'xsi:type="CD"',
            ]
        ),
        st.lists(inner, max_size=4),
    ).map(lambda t: f"<{t[0]} {t[1]}>{''.join(t[2])}</{t[0]}>"),
    max_leaves=12,
)
_CODES = ["11450-4", "48765-2", "10160-0", "30954-2", "8716-3", "29762-2", "10157-6", "47519-4", "11369-6"]


@settings(deadline=None)
@given(st.sampled_from(_CODES), st.lists(_NODES, min_size=1, max_size=4))
def test_whatever_stands_in_the_entries_the_resources_are_valid_r4(code: str, entries: list[str]) -> None:
    found = read(section(code, *entries))
    issues = [i for i in validate_bundle(found.updates[0].bundle()) if "CP-1" not in i.diagnostics]
    assert issues == []
    read_chart(found.updates[0].bundle(), AS_OF)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_no_bytes_end_in_anything_but_a_document_or_a_refusal(data: bytes, at: int) -> None:
    body = document()
    for each in (data, body[:at] + data + body[at:], body[:at]):
        try:
            read_ccda(each, Site())
        except (InvalidInput, TooCostly):
            continue

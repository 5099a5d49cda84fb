"""Messages to resources: values, statuses, patients, visits, allergies, drugs, vaccines (V2-4 to V2-10)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from v2_messages import PID, made, mapped, message, value_of

from fhir_twin.fhir.read import read_chart
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.intake.hl7v2 import parse_message
from fhir_twin.intake.hl7v2_map import V2Refusal, map_message
from fhir_twin.intake.site import Site

OBR = "OBR|1|P1|F1^LAB|24323-8^CMP^LN|||20260301080000|||||||||||||||||LAB|F"
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("NM", "7.10", {"valueQuantity": {"value": Decimal("7.10"), "unit": "mg/dL"}}),
        ("NM", "<5", {"valueQuantity": {"value": Decimal(5), "comparator": "<", "unit": "mg/dL"}}),
        ("NM", "1,200", {"valueString": "1,200"}),
        ("NM", "1,234,567", {"valueQuantity": {"value": Decimal(1234567), "unit": "mg/dL"}}),
        ("NM", "6,8", {"valueQuantity": {"value": Decimal("6.8"), "unit": "mg/dL"}}),
        ("NM", "see note", {"valueString": "see note"}),
        ("ST", "5.2", {"valueQuantity": {"value": Decimal("5.2"), "unit": "mg/dL"}}),
        ("ST", ">= 300", {"valueQuantity": {"value": Decimal(300), "comparator": ">=", "unit": "mg/dL"}}),
        ("ST", "1:160", {"valueString": "1:160"}),
        ("ST", "120/80", {"valueString": "120/80"}),
        ("SN", ">^300", {"valueQuantity": {"value": Decimal(300), "comparator": ">", "unit": "mg/dL"}}),
        (
            "SN",
            "^1^:^128",
            {"valueRatio": {"numerator": {"value": Decimal(1)}, "denominator": {"value": Decimal(128)}}},
        ),
        ("SN", "^2^+", {"valueString": "2+"}),
        ("SN", "<>^5", {"valueString": "<>5"}),
        ("DT", "20260102", {"valueDateTime": "2026-01-02"}),
        ("TM", "0815", {"valueTime": "08:15:00"}),
        (
            "NR",
            "3^5",
            {
                "valueRange": {
                    "low": {"value": Decimal(3), "unit": "mg/dL"},
                    "high": {"value": Decimal(5), "unit": "mg/dL"},
                }
            },
        ),
    ],
)
def test_values(kind: str, value: str, expected: dict) -> None:
    """V2-7."""
    found = value_of(kind, value)
    assert {k: v for k, v in found.items() if k.startswith("value")} == expected


def test_a_range_of_sn_and_a_coded_answer() -> None:
    low_high = value_of("SN", "^3^-^5")["valueRange"]
    assert (low_high["low"]["value"], low_high["high"]["value"]) == (3, 5)
    coded = value_of("CWE", "260385009^Negative^SCT^N^Neg^L")["valueCodeableConcept"]
    assert coded["coding"][0] == {
        "system": "http://snomed.info/sct",
        "code": "260385009",
        "display": "Negative",
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("F", "final"),
        ("C", "corrected"),
        ("P", "preliminary"),
        ("D", "entered-in-error"),
        ("W", "entered-in-error"),
        ("X", "cancelled"),
        ("A", "amended"),
        ("I", "registered"),
        ("R", "preliminary"),
        ("?", "unknown"),
    ],
)
def test_result_statuses(code: str, status: str) -> None:
    """V2-8."""
    assert value_of("NM", "5", status=code)["status"] == status


def test_a_correction_has_the_id_of_what_it_corrects() -> None:
    """V2-8: filler number, code and sub-id decide, not value, status or time of sending."""
    first, second = (
        made(
            mapped(PID, OBR, f"OBX|{n}|NM|2160-0^Creatinine^LN||{value}|mg/dL|||||{status}", number=number),
            "Observation",
        )
        for n, value, status, number in (("1", "1.1", "F", "M1"), ("4", "1.7", "C", "M2"))
    )
    assert first[0]["id"] == second[0]["id"]
    assert second[0]["valueQuantity"]["value"] == Decimal("1.7")


def test_equal_tests_in_one_order_are_both_kept() -> None:
    rows = [f"OBX|{n}|NM|2345-7^Glucose^LN||{n}00|mg/dL|||||F|||2026030{n}" for n in (1, 2)]
    found = made(mapped(PID, OBR, *rows), "Observation")
    assert len({o["id"] for o in found}) == 2


def test_units_are_ucum_only_when_the_sender_says_so() -> None:
    assert (
        value_of("NM", "5", "mg/dL^mg per dL^UCUM")["valueQuantity"]["system"] == "http://unitsofmeasure.org"
    )
    assert "system" not in value_of("NM", "5", "mg/dL^^L")["valueQuantity"]
    assert value_of("NM", "5", "43^mg/hr")["valueQuantity"]["unit"] == "mg/hr"


def test_a_unit_inside_the_text_is_read_where_none_stands_beside_it() -> None:
    assert value_of("ST", "41 mg/dL", "")["valueQuantity"] == {"value": Decimal(41), "unit": "mg/dL"}
    assert value_of("ST", "41 mg/dL", "mmol/L")["valueString"] == "41 mg/dL"
    assert value_of("ST", "3 weeks", "")["valueString"] == "3 weeks"


def test_report_lines_become_one_text() -> None:
    rows = [f"OBX|{n}|TX|18748-4^Report^LN||line {n}||||||F" for n in (1, 2)]
    [found] = made(mapped(PID, OBR, *rows), "Observation")
    assert found["valueString"] == "line 1\nline 2"


def test_a_loinc_code_without_a_named_system_is_known_by_its_check_digit() -> None:
    [right, wrong] = made(
        mapped(PID, OBR, "OBX|1|NM|2160-0^Crea||1|mg/dL|||||F", "OBX|2|NM|2160-1^Crea||1|mg/dL|||||F"),
        "Observation",
    )
    assert right["code"]["coding"][0]["system"] == "http://loinc.org"
    assert wrong["code"]["coding"][0]["system"] != "http://loinc.org"


def test_a_pointer_is_kept_and_never_followed() -> None:
    """Security 5.3 row 14."""
    row = "OBX|1|RP|11502-2^Report^LN||http://169.254.169.254/x^^image^PDF||||||F"
    [report] = made(mapped(PID, OBR, row), "DiagnosticReport")
    assert report["presentedForm"][0]["url"] == "http://169.254.169.254/x"


def test_an_embedded_document_is_kept() -> None:
    row = "OBX|1|ED|11502-2^Report^LN||SYS^Application^PDF^Base64^JVBERi0=||||||F"
    [report] = made(mapped(PID, OBR, row), "DiagnosticReport")
    assert report["presentedForm"] == [
        {"contentType": "application/pdf", "data": "JVBERi0=", "title": "Report"}
    ]


def test_patient_details() -> None:
    """V2-5, H5."""
    pid = (
        "PID|1||9^^^&1.2.3.4&ISO^MR~000-00-0000^^^SSA^SS||DOE^JANE^Q^JR^DR^^L~ROE^JANE^^^^^M||"
        "196005041230+0100|F||"
        "2106-3^White^CDCREC|1 Main St^Apt 2^Town^MA^01234^US^H||^PRN^PH^^^617^5551234~^NET^Internet^j@x.org||en|M|||||"
        "|"
        "2186-5^Not Hispanic^CDCREC|||||||20250102|Y"
    )
    [update] = mapped(pid, kind="ADT^A08").updates
    patient = update.person.patient
    assert update.person.key == "urn:oid:1.2.3.4|9"
    assert (patient["gender"], patient["birthDate"], patient["deceasedDateTime"]) == (
        "female",
        "1960-05-04",
        "2025-01-02",
    )
    assert [n["use"] for n in patient["name"]] == ["official", "maiden"]
    assert [t["value"] for t in patient["telecom"]] == ["617 5551234", "j@x.org"]
    assert patient["address"][0]["line"] == ["1 Main St", "Apt 2"]


def test_the_key_needs_the_authority() -> None:
    """H5: the same number of two authorities is two people."""
    keys = {
        mapped(f"PID|1||7^^^{a}^MR||A^B", kind="ADT^A08").updates[0].person.key for a in ("ONE", "TWO", "")
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("event", "pv1", "status"),
    [
        ("A01", "I", "in-progress"),
        ("A03", "I", "finished"),
        ("A11", "I", "cancelled"),
        ("A13", "I", "in-progress"),
        ("A04", "O", "planned"),
        ("A04", "E", "arrived"),
        ("A08", "I", "unknown"),
        ("A05", "P", "planned"),
    ],
)
def test_visits(event: str, pv1: str, status: str) -> None:
    """V2-6."""
    visit = f"PV1|1|{pv1}|W^1^2" + "|" * 16 + "V77^^^HOSP" + "|" * 25 + "20260101"
    [encounter] = made(mapped(PID, visit, kind=f"ADT^{event}"), "Encounter")
    assert (encounter["status"], encounter["identifier"][0]["value"]) == (status, "V77")


def test_allergies_and_diagnoses() -> None:
    """V2-9."""
    rows = (
        "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives~Swelling|20200101",
        "IAM|1|FA|91935009^Peanut^SCT||Rash|D^Delete",
        "DG1|1|I10|I10^Hypertension||20250101|F",
        "DG1|2||E11.9^Diabetes^I10C|||W|||||||||||||||D",
    )
    found = mapped(PID, *rows, kind="ADT^A08")
    first, second = made(found, "AllergyIntolerance")
    assert (first["criticality"], first["category"], len(first["reaction"])) == ("high", ["medication"], 2)
    assert second["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    pressure, sugar = made(found, "Condition")
    assert pressure["code"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10-cm"
    assert sugar["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_an_order_for_a_drug_and_its_stop() -> None:
    rows = (
        "ORC|{}|77^EPC|88^RX|||||||||1^Doc^Anna",
        "RXE|^^^20260101|197361^Amlodipine 5 MG^RXNORM|5||mg|TAB|^Take one daily||||30|TAB|3",
        "RXR|PO",
        "TQ1|1||BID",
    )
    new, stop = (
        made(mapped(PID, rows[0].format(c), *rows[1:], kind="RDE^O11"), "MedicationRequest")[0]
        for c in ("NW", "DC")
    )
    assert (new["status"], stop["status"], new["id"]) == ("active", "stopped", stop["id"])
    dose = new["dosageInstruction"][0]
    assert dose["timing"]["repeat"]["frequency"] == 2
    assert dose["doseAndRate"][0]["doseQuantity"] == {"value": Decimal(5), "unit": "mg"}
    chart = read_chart(
        mapped(PID, rows[0].format("NW"), *rows[1:], kind="RDE^O11").updates[0].bundle(), AS_OF
    )
    assert chart.medications[0].current
    assert chart.medications[0].dosages[0].per_day == 2


def test_a_vaccination_a_refusal_and_a_titre() -> None:
    rows = (
        "ORC|RE||S1^X",
        "RXA|0|1|20251001||140^Influenza^CVX|0.5|mL^^UCUM||00^New^NIP001||||||L1|20270101|PMC^Sanofi^MVX|||CP|A",
        "RXR|IM|LD",
        "OBX|1|CE|64994-7^Eligibility^LN||V01^x^HL70064||||||F",
        "ORC|RE||S2^X",
        "RXA|0|1|20251001||207^COVID^CVX|999||||||||||||00^Parental^NIP002||RE|A",
        "ORC|RE||9999^X",
        "RXA|0|1|20251001||998^none^CVX|999|||||||||||||NA",
        "OBX|1|NM|22322-2^HBs^LN||120|m[IU]/mL|||||F|||20250101",
    )
    found = mapped(PID, *rows, kind="VXU^V04")
    given, refused = made(found, "Immunization")
    assert (given["status"], given["primarySource"], given["programEligibility"][0]["coding"][0]["code"]) == (
        "completed",
        True,
        "V01",
    )
    assert (refused["status"], "doseQuantity" in refused) == ("not-done", False)
    assert [o["code"]["coding"][0]["code"] for o in made(found, "Observation")] == ["22322-2"]


def test_a_merge_names_both_records() -> None:
    found = mapped(PID, "MRG|9^^^HOSP^MR~9^^^X^PI", kind="ADT^A40")
    assert [m.rpartition("|")[2] for m in found.updates[0].merged] == ["9", "9"]


@pytest.mark.parametrize(
    ("lines", "more", "error"),
    [
        ((), {}, "100"),
        (("PID|1",), {}, "101"),
        (("PID|1||7^^^H^AN",), {}, "101"),
        ((PID,), {"kind": "SIU^S12"}, "200"),
        ((PID,), {"kind": "ADT^A45"}, "201"),
        ((PID,), {"kind": "ADT^A40"}, "101"),
        ((PID,), {"head": r"MSH|^~\&|A|B|C|D|20260301||ADT^A08|1|T|2.5"}, "202"),
        ((PID,), {"head": r"MSH|^~\&|A|B|C|D|20260301||ADT^A08|1|P|3.0"}, "203"),
        ((PID,), {"head": r"MSH|^~\&|A|B|C|D|20260301||ADT^A08||P|2.5"}, "101"),
    ],
)
def test_what_is_refused(lines: tuple[str, ...], more: dict, error: str) -> None:
    """V2-3, V2-4."""
    with pytest.raises(V2Refusal) as found:
        mapped(*lines, **more)
    assert found.value.error == error


def test_several_patients_in_one_message_stay_apart() -> None:
    other = PID.replace("123", "456")
    rows = (
        PID,
        OBR,
        "OBX|1|NM|2160-0^C^LN||1|mg/dL|||||F",
        other,
        OBR,
        "OBX|1|NM|2160-0^C^LN||9|mg/dL|||||F",
    )
    found = mapped(*rows)
    subjects = [o["subject"]["reference"] for o in made(found, "Observation")]
    assert len(found.updates) == 2
    assert subjects == [f"Patient/{u.person.id}" for u in found.updates]


def test_method_and_equipment_of_a_result_are_kept() -> None:
    """OBX-17 and 18: with them the twin knows a fingerstick from the laboratory."""
    row = "OBX|1|NM|2345-7^Glucose^LN||131|mg/dL|||||F|||20260301|||^Glucometer|StatStrip 3^Nova glucometer"
    [found] = made(mapped(PID, "OBR|1||F1|2345-7^Glucose^LN", row), "Observation")
    assert found["method"] == {"text": "Glucometer"}
    assert found["device"] == {"display": "StatStrip 3 Nova glucometer"}
    assert "device" not in value_of("NM", "131")


_FIELD = st.text(alphabet=r"aZ09|^~&\"<>=.-+/ :;,äMG", max_size=25)
_NAMES = (
    "PV1", "PV2", "OBR", "OBX", "NTE", "ORC", "SPM", "AL1", "IAM", "DG1", "PR1", "RXO", "RXE", "RXR", "RXC", "RXD",
    "RXA", "TQ1", "MRG", "TXA", "NK1", "EVN",
)  # fmt: skip
_LINE = st.tuples(st.sampled_from(_NAMES), st.lists(_FIELD, max_size=26)).map(
    lambda t: "|".join((t[0], *t[1]))
)


@settings(deadline=None)
@given(
    st.sampled_from(
        ["ADT^A01", "ADT^A40", "ORU^R01", "VXU^V04", "RDE^O11", "RAS^O17", "RDS^O13", "ORM^O01", "MDM^T02"]
    ),
    st.lists(_LINE, max_size=8),
)
def test_whatever_stands_in_the_fields_the_resources_are_valid_r4(kind: str, lines: list[str]) -> None:
    try:
        found = map_message(parse_message(message(PID, *lines, kind=kind)), Site())
    except V2Refusal:
        return
    for update in found.updates:
        issues = [i for i in validate_bundle(update.bundle()) if "CP-1" not in i.diagnostics]
        assert issues == []
        read_chart(update.bundle(), AS_OF)

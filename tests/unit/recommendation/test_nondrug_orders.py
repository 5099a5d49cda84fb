"""Draft orders that are no drugs: contrast, radiation, repeats, and what is not judged (CH-3, CH-6, D5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_twin.fhir.drafts import read_order
from fhir_twin.knowledge import Knowledge, load_knowledge
from fhir_twin.model.order_rules import DraftOrder
from fhir_twin.model.orders import OrderRemark
from fhir_twin.pipeline import judge_drafts, run
from fhir_twin.rules import check_order_rules
from fhir_twin.rules.order_kinds import fits, words_of
from mappings import Source

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ME = {"reference": "Patient/p"}
CPT = "http://www.ama-assn.org/go/cpt"


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def person(born: str = "1960-01-01", gender: str = "male") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", "birthDate": born, "gender": gender}


def lab(loinc: str, value: float, unit: str, day: str = "2026-05-20") -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": f"o{loinc}", "status": "final", "subject": ME,
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "effectiveDateTime": f"{day}T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }  # fmt: skip


def egfr(value: float) -> dict[str, Any]:
    return lab("98979-8", value, "mL/min/{1.73_m2}")


def problem(text: str, *codes: str) -> dict[str, Any]:
    coding = [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": c} for c in codes]
    return {"resourceType": "Condition", "id": "c1", "subject": ME, "code": {"text": text, "coding": coding}}


def drug(id_: str, text: str, status: str = "active") -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": id_, "status": status, "intent": "order", "subject": ME,
        "medicationCodeableConcept": {"text": text},
    }  # fmt: skip


def service(text: str, id_: str = "s1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest", "id": id_, "status": "draft", "intent": "order", "subject": ME,
        "code": {"text": text}, **more,
    }  # fmt: skip


def remarks(knowledge: Knowledge, record: list[dict[str, Any]], *drafts: dict[str, Any]) -> list[OrderRemark]:
    who = next((r for r in record if r["resourceType"] == "Patient"), person())
    rows = [who, *(r for r in record if r["resourceType"] != "Patient")]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in rows]}
    return list(judge_drafts(run(bundle, knowledge, AS_OF, write=False), who, drafts, knowledge))


def told(found: list[OrderRemark]) -> dict[str, str]:
    return {r.topic: r.weight for r in found}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (29.0, {"contrast-egfr-below-30": "warning"}),
        (30.0, {"contrast-egfr-30-44": "info"}),
        (44.0, {"contrast-egfr-30-44": "info"}),
        (45.0, {}),
        (90.0, {}),
    ],
)
def test_contrast_and_the_kidneys(knowledge: Knowledge, value: float, expected: dict[str, str]) -> None:
    """ACR and NKF 2020: below 30 prophylaxis, 30-44 may be considered, from 45 none."""
    found = remarks(knowledge, [egfr(value)], service("CT Abdomen W contrast IV"))
    assert told(found) == expected
    assert all(r.citation is not None and r.citation.doi == "10.1148/radiol.2019192094" for r in found)
    assert all("Observation/o98979-8" in r.sources for r in found)


@pytest.mark.parametrize(
    "text",
    [
        "CT abdomen without contrast",
        "CT Abdomen WO contrast",
        "CT abdomen w/o contrast",
        "Noncontrast CT head",
    ],
)
def test_without_contrast_there_is_nothing_to_say(knowledge: Knowledge, text: str) -> None:
    assert remarks(knowledge, [egfr(20)], service(text)) == []


def test_contrast_that_is_not_said_is_a_question_one_step_milder(knowledge: Knowledge) -> None:
    [found] = remarks(knowledge, [egfr(20)], service("CT abdomen"))
    assert (found.topic, found.weight) == ("contrast-egfr-below-30", "info")
    assert "the order does not say" in found.text


def test_a_code_wins_over_words(knowledge: Knowledge) -> None:
    """74177 is with contrast, 74176 without, whatever the text says."""
    plain = {"coding": [{"system": CPT, "code": "74177"}], "text": "CT abd/pelvis"}
    assert told(remarks(knowledge, [egfr(20)], service("", code=plain))) == {
        "contrast-egfr-below-30": "warning"
    }
    none = {"coding": [{"system": CPT, "code": "74176"}], "text": "CT abd/pelvis with contrast"}
    assert told(remarks(knowledge, [egfr(20)], service("", code=none))) == {}


@pytest.mark.parametrize(
    ("value", "more", "expected"),
    [
        (59.0, [], True),
        (60.0, [], False),
        (80.0, [problem("Chronic systolic heart failure", "I50.22")], True),
        (80.0, [problem("Alcohol dependence", "F10.20")], True),
    ],
)
def test_metformin_before_contrast(
    knowledge: Knowledge, value: float, more: list[dict[str, Any]], expected: bool
) -> None:
    """US label as revised in 2016: eGFR 30-60, liver disease, alcoholism, heart failure."""
    record = [egfr(value), drug("m", "metformin 500 mg"), *more]
    found = told(remarks(knowledge, record, service("CT chest with contrast")))
    assert ("contrast-metformin" in found) is expected
    assert found.get("contrast-metformin", "warning") == "warning"


def test_metformin_that_is_only_drafted_counts_and_arteries_always_do(knowledge: Knowledge) -> None:
    drafts = (drug("m", "metformin 500 mg", "draft"), service("CT chest with contrast"))
    assert "contrast-metformin" in told(remarks(knowledge, [egfr(50)], *drafts))
    coronary = told(
        remarks(knowledge, [egfr(90), drug("m", "metformin 500 mg")], service("Coronary angiography"))
    )
    assert coronary == {"arterial-contrast-metformin": "warning"}
    ct = told(
        remarks(knowledge, [egfr(90), drug("m", "metformin 500 mg")], service("CT coronary angiography"))
    )
    assert ct == {}, "by vein, with good kidneys"


def test_an_earlier_reaction(knowledge: Knowledge) -> None:
    def allergy(text: str, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "AllergyIntolerance",
            "id": "a",
            "patient": ME,
            "code": {"text": text},
            **more,
        }

    order = service("CT chest with contrast")
    [found] = remarks(knowledge, [allergy("Iodinated contrast media"), egfr(90)], order)
    assert (found.kind, found.weight) == ("allergy", "critical")
    assert "AllergyIntolerance/a" in found.sources
    assert told(remarks(knowledge, [allergy("IV contrast", type="intolerance"), egfr(90)], order)) == {
        "contrast-allergy": "warning"
    }
    assert told(remarks(knowledge, [problem("Dye allergy", "Z91.041"), egfr(90)], order)) == {
        "contrast-allergy": "critical"
    }
    for other in ("Shellfish", "Iodine", "Gadolinium contrast", "Penicillin"):
        assert remarks(knowledge, [allergy(other), egfr(90)], order) == [], other
    mri = remarks(knowledge, [allergy("Gadolinium contrast"), egfr(90)], service("MRI brain w/wo contrast"))
    assert told(mri) == {"gadolinium-allergy": "critical"}


def test_pregnancy_and_imaging(knowledge: Knowledge) -> None:
    """ACOG 723 and the ACR-SPR parameter: pelvis and nuclear yes, chest and limbs no, ultrasound never."""
    her = person("1996-01-01", "female")
    pregnant = problem("Pregnant state, incidental", "Z33.1")
    assert told(remarks(knowledge, [her, pregnant], service("XR lumbar spine"))) == {
        "radiation-pregnancy": "warning"
    }
    for harmless in ("XR chest 2 views", "XR knee left", "Ultrasound abdomen", "MRI pelvis without contrast"):
        assert told(remarks(knowledge, [her, pregnant], service(harmless))).keys() <= {"not-judged"}, harmless
    asked = remarks(knowledge, [her], service("X-ray pelvis"))
    assert [(r.kind, r.weight) for r in asked] == [("question", "info")]
    assert remarks(knowledge, [person("1996-01-01", "male")], service("X-ray pelvis")) == []
    gadolinium = told(remarks(knowledge, [her, pregnant], service("MRI brain with and without contrast")))
    assert gadolinium == {"gadolinium-pregnancy": "warning"}


def test_kidney_function_that_nobody_knows_is_asked_of_those_at_risk(knowledge: Knowledge) -> None:
    order = service("CT chest with contrast")
    assert told(remarks(knowledge, [person("1950-01-01")], order)) == {"contrast-no-egfr": "info"}
    assert remarks(knowledge, [person("1990-01-01")], order) == []


def test_a_test_that_was_done_too_recently(knowledge: Knowledge) -> None:
    """60 days for HbA1c: day 59 speaks, day 60 does not."""
    order = service("Hemoglobin A1c")
    for day, expected in (("2026-04-03", {"repeat-hba1c": "info"}), ("2026-04-02", {})):
        found = remarks(knowledge, [lab("4548-4", 7.1, "%", day)], order)
        assert told(found) == expected, day
    assert remarks(knowledge, [], order) == [], "judged, and nothing to say"
    coded = service("", code={"coding": [{"system": "http://loinc.org", "code": "4548-4"}]})
    [by_code] = remarks(knowledge, [lab("4548-4", 7.1, "%")], coded)
    assert by_code.topic == "repeat-hba1c"


def test_screening_that_is_still_valid(knowledge: Knowledge) -> None:
    done = {
        "resourceType": "Procedure", "id": "col", "status": "completed", "subject": ME,
        "code": {"text": "Colonoscopy"}, "performedDateTime": "2022-05-01",
    }  # fmt: skip
    [found] = remarks(knowledge, [done], service("Screening colonoscopy"))
    assert (found.kind, found.weight) == ("repeat", "info")
    assert "2022-05-01" in found.text
    assert "Procedure/col" in found.sources
    assert remarks(knowledge, [], service("Screening colonoscopy")) == []


def test_an_open_order_of_the_same(knowledge: Knowledge) -> None:
    code = {"text": "Ferritin", "coding": [{"system": "http://loinc.org", "code": "2276-4"}]}
    there = service("", "old", code=code, authoredOn="2026-05-25", status="active")
    found = remarks(knowledge, [there], service("", code=code))
    assert [(r.kind, r.sources) for r in found] == [("duplicate", ("ServiceRequest/old",))]
    again = service("", "old", code=code)
    assert remarks(knowledge, [there], again) == [], "the order that is signed again is no other one"


def test_a_way_of_life_that_a_safety_rule_speaks_against(knowledge: Knowledge) -> None:
    code = {"coding": [{"system": c.system, "code": c.code} for c in _dash(knowledge)], "text": "DASH diet"}
    diet = {"resourceType": "NutritionOrder", "id": "n", "patient": ME, "oralDiet": {"type": [code]}}
    found = remarks(knowledge, [problem("Dependence on renal dialysis", "Z99.2")], diet)
    assert told(found) == {"dash-dialysis": "warning"}
    assert remarks(knowledge, [], diet) == []


def _dash(knowledge: Knowledge) -> Any:
    return next(i.codes for i in knowledge.interventions.items if i.key == "dash-diet")


@pytest.mark.parametrize(
    "order",
    [
        service("Complete blood count"),
        {"resourceType": "DeviceRequest", "id": "d", "codeCodeableConcept": {"text": "Walking frame"}},
        {"resourceType": "DeviceRequest", "id": "d", "codeReference": {"display": "Insulin pump"}},
        {"resourceType": "NutritionOrder", "id": "n", "oralDiet": {"type": [{"text": "Pureed diet"}]}},
        {"resourceType": "VisionPrescription", "id": "v"},
        {"resourceType": "CommunicationRequest", "id": "c"},
        {
            "resourceType": "ServiceRequest",
            "id": "s",
            "code": {"coding": [None, {"code": 7}, "x"]},
            "orderDetail": 3,
        },
        {"resourceType": "Zorgle", "id": "z", "code": "CT with contrast"},
    ],
)
def test_what_no_knowledge_is_about_is_said_to_be_not_judged(
    knowledge: Knowledge, order: dict[str, Any]
) -> None:
    [found] = remarks(knowledge, [egfr(20)], order)
    assert (found.kind, found.weight) == ("not-judged", "info")
    assert found.order == f"{order['resourceType']}/{order['id']}"


def test_the_words_of_an_order_are_read_word_by_word(knowledge: Knowledge) -> None:
    kinds = knowledge.orders.kinds

    def kind(text: str, key: str) -> bool | None:
        return fits(DraftOrder("ServiceRequest/x", "ServiceRequest", text, (text,)), kinds[key])

    assert words_of("CT  Abd/Pelvis w/o (IV)") == ("ct", "abd", "pelvis", "wo", "iv")
    assert kind("CT with and without contrast head", "ct-contrast") is True
    assert kind("CT WO and W contrast IV", "ct-contrast") is True
    assert kind("CT abdomen without oral contrast with IV contrast", "ct-contrast") is True
    assert kind("Direct admission", "ct-contrast") is False
    assert kind("CT low dose lung cancer screening", "ct-contrast") is False
    for other in (
        "Chlamydia trachomatis (CT) NAAT",
        "CT/NG PCR urine",
        "Referral to CT surgery",
        "CT surgery consult",
    ):
        assert kind(other, "ct-contrast") is False, other
    assert kind("Refer to Mr Jones, consult", "mri-gadolinium") is False
    assert kind("Pet therapy", "nuclear") is False
    assert kind("Cardiac MRI", "mri-gadolinium") is None
    assert kind("MRCP MR abdomen", "mri-gadolinium") is False
    split = read_order(service("CT abdomen", orderDetail=[{"text": "with contrast"}]))
    assert fits(split, kinds["ct-contrast"]) is True


def test_the_shipped_files_are_whole(tmp_path: Any) -> None:
    assert check_order_rules(Source()) == []
    folder = tmp_path / "orders"
    folder.mkdir()
    good = (Source().root / "orders" / "imaging.toml").read_text("utf-8")
    for broken in (
        good.replace('has = "dialysis"', 'has = "zorgle"', 1),
        good.replace('kinds = ["ct-contrast"]', 'kinds = ["zorgle"]', 1),
        good.replace('needs = ["egfr"]', 'needs = ["zorgle"]'),
        good.replace('severity = "high"', 'severity = "zorgle"', 1),
        good.replace("unsaid = true", "zorgle = true", 1),
    ):
        (folder / "imaging.toml").write_text(broken, "utf-8")
        assert check_order_rules(Source(overlay=tmp_path))

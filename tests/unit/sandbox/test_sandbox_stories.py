"""The sample patients: valid R4, real codes, fixed ids, the same every time, and each readable."""

from __future__ import annotations

import importlib
import json
import re
from datetime import UTC, date, datetime
from typing import Any

from fhir_twin.fhir.read import read_chart
from fhir_twin.model.chart import Chart
from fhir_twin.model.codes import LOINC, SNOMED
from fhir_twin.sandbox.stories import TOLD_ON, load_bundles, stories
from mappings import Source

AS_OF = datetime(2026, 10, 1, 23, tzinfo=UTC)
BUNDLES = load_bundles()
IDS = [patient for patient, _, _ in stories()]


def resources() -> list[dict[str, Any]]:
    return [entry["resource"] for bundle in BUNDLES for entry in bundle["entry"]]


def charts() -> dict[str, Chart]:
    return {patient: read_chart(bundle, AS_OF) for patient, bundle in zip(IDS, BUNDLES, strict=True)}


def test_enough_stories_each_told_in_words() -> None:
    told = stories()
    assert len(told) >= 8
    assert len({title for _, title, _ in told}) == len(told)
    assert all(len(story.split()) > 25 for _, _, story in told)


def test_ids_are_fixed_and_legal() -> None:
    """A HAPI server refuses client ids that are only digits; 64 characters at most."""
    ids = [f"{r['resourceType']}/{r['id']}" for r in resources()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"\w+/sandbox-[A-Za-z0-9.-]{1,56}", each) for each in ids)
    assert [bundle["entry"][0]["resource"]["id"] for bundle in BUNDLES] == IDS


def test_transactions_put_every_resource_under_its_id() -> None:
    for bundle in BUNDLES:
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
        for entry in bundle["entry"]:
            url = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            assert entry["request"] == {"method": "PUT", "url": url}
            assert entry["fullUrl"].endswith(f"/{url}")


def test_references_stay_inside_their_bundle() -> None:
    """HAPI checks referential integrity."""
    for bundle in BUNDLES:
        held = {entry["request"]["url"] for entry in bundle["entry"]}
        assert set(re.findall(r'"reference": "([^"]+)"', json.dumps(bundle))) <= held


def test_same_tables_same_bytes() -> None:
    assert json.dumps(load_bundles()) == json.dumps(BUNDLES)
    assert load_bundles(TOLD_ON) == BUNDLES


def test_a_life_moves_as_a_whole() -> None:
    later = load_bundles(date(2030, 3, 1))
    moved = read_chart(later[0], datetime(2030, 3, 1, tzinfo=UTC))
    as_told = read_chart(BUNDLES[0], AS_OF)
    shift = date(2030, 3, 1) - TOLD_ON
    times = [m.time for m in as_told.measurements]
    assert [m.time for m in moved.measurements] == [t + shift for t in times if t is not None]
    assert moved.patient.birth_date is not None and as_told.patient.birth_date is not None
    assert moved.patient.birth_date - as_told.patient.birth_date == shift
    assert [m.value for m in moved.measurements] == [m.value for m in as_told.measurements]


def test_valid_for_the_model_library() -> None:
    """R4B classes (standards.md MDL-2: element-identical to R4 for all that is used here)."""
    for resource in resources():
        name = resource["resourceType"]
        model = getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)
        model.model_validate(resource)


VERHOEFF_D = [[int(c) for c in row] for row in (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)]  # fmt: skip
VERHOEFF_P = [[int(c) for c in row] for row in (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)]  # fmt: skip


def verhoeff(code: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = VERHOEFF_D[check][VERHOEFF_P[place % 8][int(digit)]]
    return check == 0


def luhn(code: str) -> bool:
    """LOINC: Mod 10 over the number before the hyphen."""
    number, _, check = code.partition("-")
    digits = [int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(number))]
    return (10 - sum(d // 10 + d % 10 for d in digits) % 10) % 10 == int(check)


def codes(system: str) -> set[str]:
    return set(re.findall(rf'"system": "{re.escape(system)}", "code": "([^"]+)"', json.dumps(BUNDLES)))


def test_every_code_passes_its_check_digit() -> None:
    assert verhoeff("38341003") and not verhoeff("38341004")
    assert luhn("4548-4") and not luhn("4548-5")
    loinc, snomed = codes(LOINC), codes(SNOMED)
    assert len(loinc) > 25 and len(snomed) > 15
    assert [c for c in loinc if not c.startswith("LA") and not luhn(c)] == []
    assert [c for c in snomed if not verhoeff(c)] == []


def test_every_snomed_code_is_one_that_was_looked_up() -> None:
    """In our checked starter map, or a smoking, allergy or pregnancy answer of the published value sets."""
    checked = {row["snomed"] for _, rows in Source().tsv("concept-maps") for row in rows if "snomed" in row}
    answers = {"449868002", "8517006", "266919005", "266927001", "716186003", "409137002"}
    assert codes(SNOMED) - checked - answers == set()


def test_all_are_read_and_only_the_messy_one_has_anything_to_say() -> None:
    read = charts()
    for patient, chart in read.items():
        assert chart.patient.id == patient
        said = [i.diagnostics for i in chart.issues]
        assert bool(said) is (patient == "sandbox-ruth-lindgren"), (patient, said)
    assert all("not used" in i.diagnostics for i in read["sandbox-ruth-lindgren"].issues)


def values(chart: Chart, code: str) -> list[float]:
    return [float(m.value) for m in chart.measurements if m.concept.has(LOINC, code) and m.value is not None]


def test_each_record_holds_what_its_story_says() -> None:
    read = charts()
    smoker = read["sandbox-arthur-bell"]
    assert max(values(smoker, "8480-6")) == 164
    assert {m.setting for m in smoker.measurements if m.concept.has(LOINC, "8480-6")} == {"office", "home"}
    assert not smoker.medications
    assert values(read["sandbox-maria-ortega"], "59261-8")[-1] == 71
    pregnant = read["sandbox-grace-okafor"]
    assert next(m.concept.text for m in pregnant.medications if m.current).startswith("lisinopril")
    assert any(m.coded is not None and m.coded.has(LOINC, "LA15173-0") for m in pregnant.measurements)
    (gene,) = read["sandbox-henry-walsh"].genes
    assert (gene.gene, gene.diplotype, gene.phenotype) == ("CYP2C19", "*2/*2", "poor metabolizer")
    assert read["sandbox-denise-carter"].allergies[0].reactions[0].text == "angioedema"
    assert {m.unit_code for m in read["sandbox-marcus-reed"].measurements} >= {"[lb_av]", "[in_i]"}
    assert values(read["sandbox-edith-novak"], "8480-6")[-1] == 106
    potassium = [m for m in read["sandbox-walter-huber"].measurements if m.concept.has(LOINC, "2823-3")]
    assert {m.setting for m in potassium if m.value and m.value > 5.8} == {"inpatient"}
    assert read["sandbox-noel-fischer"].measurements == ()
    assert read["sandbox-noel-fischer"].patient.birth_precision == "year"
    messy = read["sandbox-ruth-lindgren"]
    assert 220.0 not in values(messy, "8480-6")
    flags = {flag for m in messy.measurements for flag in m.flags}
    assert {"parsed-from-text", "decimal-comma", "preliminary", "time-from-issued"} <= flags
    young = read["sandbox-leo-marin"].age_at(AS_OF)
    assert young is not None and young < 18
    treated = read["sandbox-amina-haddad"]
    assert len(treated.goals) == len(treated.consents) == 1

"""Print forms: self-contained, escaped, without script; the patient's sheet says nothing that only a clinician may
act on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from lxml import html

sys.path.insert(0, str(Path(__file__).parents[2]))
from write_samples import plan

from fhir_twin.fhir.write_print import print_plan, print_sheet
from fhir_twin.model.plan import StatedPreference


def test_the_plan_holds_the_whole_narrative_and_room_for_a_signature() -> None:
    page = html.fromstring(print_plan(plan()))
    words = page.text_content()
    assert "Care plan proposal" in words
    assert "DRAFT" in words
    assert "Clinician, date" in words
    assert all(rec.title in words for rec in plan().recommendations)


def test_both_load_nothing_and_run_nothing() -> None:
    for document in (print_plan(plan()), print_sheet(plan())):
        page = html.fromstring(document)
        assert not page.xpath("//script | //link | //img | //iframe | //@onload")
        assert "http" not in document.split("</style>")[0].replace("http://www.w3.org", "")


def test_the_sheet_is_plain_and_tells_not_to_act_alone() -> None:
    sheet = html.fromstring(
        print_sheet(replace(plan(), preferences=(StatedPreference("a", "no injections"),)))
    )
    words = sheet.text_content()
    assert "Do not start, stop or change any medicine" in words
    assert "No injections" in words
    assert all(rec.patient_text in words for rec in plan().recommendations if rec.patient_text)
    assert "Medicines to talk about soon" in words
    for jargon in ("SNOMED", "80 % interval", "Strength", "number needed"):
        assert jargon not in words.split("DRAFT")[0]


def test_names_are_escaped() -> None:
    odd = replace(plan(), patient_label="<script>alert(1)</script>")
    assert "<script" not in print_plan(odd) + print_sheet(odd)


def test_a_refused_plan_has_no_sheet() -> None:
    assert print_sheet(replace(plan(), refused="consent", recommendations=())) == ""

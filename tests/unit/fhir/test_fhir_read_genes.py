"""GX-1 to GX-3: pharmacogenomic findings in the current form, the older forms, and text."""

# ruff: noqa: E501 - tables of cases read better on one line each

from __future__ import annotations

from typing import Any

import pytest
from fhir_read_records import chart, coded, observation, quantity, resource

from fhir_twin.fhir.gene_words import diplotype_in_text, phenotype_in_text
from fhir_twin.fhir.read_genes import genes_in_text
from fhir_twin.model.chart import GeneResult

GENE = {
    "code": coded("48018-6"),
    "valueCodeableConcept": coded("HGNC:2621", "http://www.genenames.org/geneId", display="CYP2C19"),
}


def finding(**more: Any) -> GeneResult:
    code = more.pop("of", "84413-4")
    read = chart({**observation(code), **more})
    assert read.measurements == ()
    (found,) = read.genes
    return found


def told(found: GeneResult) -> tuple[str, str, str, str]:
    return found.gene, found.diplotype, found.phenotype, found.phenotype_code


def test_genotype_of_the_current_guide() -> None:
    found = finding(component=[GENE], valueCodeableConcept={"text": "*1/*2"})
    assert told(found) == ("CYP2C19", "*1/*2", "", "")
    assert found.source == "Observation/o1"


def test_pharmvar_coding() -> None:
    value = coded("CYP2C19:*2/*17", "http://www.pharmvar.org", display="CYP2C19 *2/*17")
    assert finding(valueCodeableConcept=value).diplotype == "*2/*17"


@pytest.mark.parametrize(
    ("answer", "phenotype"),
    [("LA9657-3", "poor metabolizer"), ("LA10317-8", "intermediate metabolizer"), ("LA25391-6", "normal metabolizer"),
     ("LA25390-8", "rapid metabolizer"), ("LA10315-2", "ultrarapid metabolizer"), ("LA25395-7", "decreased function")],
)  # fmt: skip
def test_metabolizer_answers(answer: str, phenotype: str) -> None:
    """GX-2: legacy effect on metabolism, and the phenotype component."""
    legacy = finding(of="53040-2", component=[GENE], valueCodeableConcept=coded(answer))
    assert told(legacy) == ("CYP2C19", "", phenotype, answer)
    part = {"code": coded("81259-4"), "valueCodeableConcept": coded(answer)}
    assert told(finding(component=[GENE, part], valueCodeableConcept={"text": "*2/*2"}))[1:] == (
        "*2/*2",
        phenotype,
        answer,
    )


def test_gene_specific_code_by_its_words() -> None:
    found = finding(
        code={"text": "CYP2D6 genotype", "coding": []}, valueString="*1/*4x2, intermediate metabolizer"
    )
    assert told(found) == ("CYP2D6", "*1/*4x2", "intermediate metabolizer", "")
    assert found.text == "*1/*4x2, intermediate metabolizer"


def test_gene_and_stars_in_one_text() -> None:
    """GX-3."""
    assert told(finding(valueString="CYP2C19 *1/*2")) == ("CYP2C19", "*1/*2", "", "")
    assert told(finding(valueString="CYP2C9 *4/*35B"))[:2] == ("CYP2C9", "*4/*35B")
    assert told(finding(valueString="HLA-B*57:01 positive"))[:2] == ("HLA-B", "HLA-B*57:01")


def test_no_phenotype_is_inferred() -> None:
    assert finding(valueString="CYP2C19 *2/*2").phenotype == ""


def test_a_therapeutic_implication_takes_the_gene_of_its_genotype() -> None:
    genotype = observation("84413-4", id="g", component=[GENE], valueCodeableConcept={"text": "*2/*2"})
    system = "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs"
    implied = {
        **observation(id="i", derivedFrom=[{"reference": "Observation/g"}]),
        "code": coded("therapeutic-implication", system),
        "component": [{"code": coded("53040-2"), "valueCodeableConcept": coded("LA9657-3")}],
    }
    read = chart(genotype, implied)
    assert [told(g) for g in read.genes] == [
        ("CYP2C19", "*2/*2", "", ""),
        ("CYP2C19", "", "poor metabolizer", "LA9657-3"),
    ]


def test_a_report_that_repeats_its_observation_counts_once() -> None:
    seen = {**observation("84413-4", id="g"), "valueString": "CYP2C19 *1/*2"}
    report = resource(
        "DiagnosticReport",
        status="final",
        code=coded("51969-4"),
        conclusion="CYP2C19 *1/*2; SLCO1B1 *1/*5, decreased function.",
    )
    read = chart(report, seen)
    assert [(g.source, *told(g)[:3]) for g in read.genes] == [
        ("DiagnosticReport/diagnosticreport-1", "SLCO1B1", "*1/*5", "decreased function"),
        ("Observation/g", "CYP2C19", "*1/*2", ""),
    ]


def test_a_preliminary_name_in_a_cancelled_report_is_not_read() -> None:
    report = resource(
        "DiagnosticReport", status="cancelled", code=coded("51969-4"), conclusion="CYP2C19 *1/*2"
    )
    assert chart(report).genes == ()


def test_overall_interpretation_names_no_gene() -> None:
    read = chart({**observation("51968-6"), "valueCodeableConcept": coded("LA6576-8")})
    assert read.genes == ()
    assert [i.code for i in read.issues] == ["incomplete"]


def test_an_enzyme_activity_is_a_measurement() -> None:
    given = {**observation(), "code": {"text": "G6PD activity"}, "valueQuantity": quantity(7, "U/g")}
    read = chart(given)
    assert (len(read.measurements), read.genes) == (1, ())


def test_status_and_time_rules_hold_for_genes_too() -> None:
    assert chart({**observation("84413-4", status="cancelled"), "valueString": "CYP2C19 *1/*2"}).genes == ()
    assert (
        chart(
            {**observation("84413-4", effectiveDateTime="2027-01-01"), "valueString": "CYP2C19 *1/*2"}
        ).genes
        == ()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*1/*2", "*1/*2"),
        ("* 1/*2", ""),
        ("*1 / *17", "*1/*17"),
        ("*1/*4 x2", "*1/*4x2"),
        ("1/2", ""),
        ("*1", ""),
    ],
)
def test_diplotypes(text: str, expected: str) -> None:
    assert diplotype_in_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Poor Metaboliser", "poor metabolizer"), ("extensive metabolizer", "normal metabolizer"), ("ultra-rapid metabolizer", "ultrarapid metabolizer"),
     ("no function", "no function"), ("metabolizes poorly", "")],
)  # fmt: skip
def test_phenotypes(text: str, expected: str) -> None:
    assert phenotype_in_text(text) == expected


def test_several_genes_in_one_text() -> None:
    found = genes_in_text("Panel: CYP2C19 *2/*2 (poor metabolizer); CYP2D6 *1/*1; TPMT not tested", "x", None)
    assert [told(g)[:3] for g in found] == [("CYP2C19", "*2/*2", "poor metabolizer"), ("CYP2D6", "*1/*1", "")]


@pytest.mark.parametrize(("code", "value"), [("40425-1", "*4/*4"), ("50398-7", "Poor metabolizer")])
def test_a_code_that_names_its_gene_needs_no_words(code: str, value: str) -> None:
    """GX-2: CYP2D6 genotype 40425-1, interpretation 50398-7."""
    assert finding(of=code, valueString=value).gene == "CYP2D6"


@pytest.mark.parametrize("answer", ["Positive", "Negative", "Not detected"])
def test_an_allele_asked_for_and_an_answer_belong_together(answer: str) -> None:
    """GX-3: "HLA-B*57:01 [Presence]" - "Positive": neither says anything without the other."""
    found = finding(code={"text": "HLA-B*57:01 [Presence]"}, valueString=answer)
    assert (found.gene, found.text) == ("HLA-B", f"HLA-B*57:01 {answer}")


@pytest.mark.parametrize("code", ["CYP2C19*2/*3", "CYP2C19*2/CYP2C19*3"])
def test_a_pharmvar_code_without_display(code: str) -> None:
    found = finding(valueCodeableConcept=coded(code, "http://www.pharmvar.org"))
    assert told(found) == ("CYP2C19", "*2/*3", "", "")


def test_two_genes_are_not_joined_to_one_diplotype() -> None:
    assert diplotype_in_text("CYP2C19*2/CYP2D6*3") == ""

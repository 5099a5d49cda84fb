"""Pharmacogenomics: CPIC's own diplotype tables as oracle; stated beats derived; disagreement is reported."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from plan_builders import chart, point, twin

from fhir_twin.model.chart import GeneResult
from fhir_twin.rules import judge, load_safety
from fhir_twin.rules.genotype import phenotype_of, statuses
from mappings import Source

SAFETY = load_safety(Source())
TABLES = dict(SAFETY.genes)


# Rows of PharmCAT's phenotype/cpic/*.json (published CPIC diplotype tables).
@pytest.mark.parametrize(
    ("gene", "diplotype", "phenotype"),
    [
        ("CYP2C19", "*1/*1", "normal metabolizer"),
        ("CYP2C19", "*1/*2", "intermediate metabolizer"),
        ("CYP2C19", "*1/*17", "rapid metabolizer"),
        ("CYP2C19", "*1/*9", "likely intermediate metabolizer"),
        ("CYP2C19", "*10/*10", "likely intermediate metabolizer"),
        ("CYP2C19", "*10/*17", "likely intermediate metabolizer"),
        ("CYP2C19", "*10/*22", "likely poor metabolizer"),
        ("CYP2C19", "*1/*12", ""),
        ("CYP2D6", "*1/*1", "normal metabolizer"),
        ("CYP2D6", "*1/*1x2", "ultrarapid metabolizer"),
        ("CYP2D6", "*1/*3", "intermediate metabolizer"),
        ("CYP2D6", "*1/*9", "normal metabolizer"),
        ("CYP2D6", "*1/*10x2", "normal metabolizer"),
        ("CYP2D6", "*1/*4x2", "intermediate metabolizer"),
        ("CYP2D6", "*1/*22", ""),
        ("CYP2C9", "*1/*2", "intermediate metabolizer"),
        ("CYP2C9", "*1/*3", "intermediate metabolizer"),
        ("CYP2C9", "*1/*9", "normal metabolizer"),
        ("CYP2C9", "*1/*7", ""),
        ("SLCO1B1", "*1/*5", "decreased function"),
        ("SLCO1B1", "*1/*14", "normal function"),
        ("SLCO1B1", "*10/*15", "possible decreased function"),
        ("SLCO1B1", "*1/*2", ""),
        ("TPMT", "*1/*3A", "intermediate metabolizer"),
        ("TPMT", "*10/*11", "possible intermediate metabolizer"),
        ("TPMT", "*1/*5", ""),
        ("NUDT15", "*2/*3", "poor metabolizer"),
        ("NUDT15", "*2/*4", "possible intermediate metabolizer"),
        ("NUDT15", "*4/*5", ""),
        ("UGT1A1", "*28/*28", "poor metabolizer"),
        ("UGT1A1", "*6/*36", "intermediate metabolizer"),
        ("UGT1A1", "*1/*80", ""),
        ("UGT1A1", "*1/*80+*28", "intermediate metabolizer"),
        ("DPYD", "*1/*2A", "intermediate metabolizer"),
        ("DPYD", "*2A/c.2846A>T", "poor metabolizer"),
        ("DPYD", "HapB3/c.2846A>T", "intermediate metabolizer"),
    ],
)
def test_phenotypes_agree_with_cpics_tables(gene: str, diplotype: str, phenotype: str) -> None:
    assert phenotype_of(diplotype, TABLES[gene]) == phenotype


@pytest.mark.parametrize("gene", sorted(TABLES))
def test_order_of_the_alleles_does_not_matter(gene: str) -> None:
    names = sorted(TABLES[gene].alleles)
    for a in names[:12]:
        for b in names[-12:]:
            assert phenotype_of(f"{a}/{b}", TABLES[gene]) == phenotype_of(f"{b}/{a}", TABLES[gene])


def test_the_laboratory_is_believed_and_disagreement_kept() -> None:
    """GX-3."""
    (status,) = statuses((GeneResult("Observation/1", "CYP2C19", "*2/*2", "Normal Metabolizer"),), TABLES)
    assert (status.phenotype, status.stated, status.derived) == (
        "normal metabolizer",
        True,
        "poor metabolizer",
    )
    assert status.conflict
    (silent,) = statuses((GeneResult("Observation/1", "CYP2C19", "*2/*2"),), TABLES)
    assert (silent.phenotype, silent.stated, silent.conflict) == ("poor metabolizer", False, False)


def test_newest_result_counts_and_old_words_are_understood() -> None:
    old = GeneResult(
        "Observation/1", "CYP2D6", "", "extensive metabolizer", time=datetime(2015, 1, 1, tzinfo=UTC)
    )
    new = GeneResult("Observation/2", "CYP2D6", "*4/*4", time=datetime(2020, 1, 1, tzinfo=UTC))
    assert statuses((old,), TABLES)[0].phenotype == "normal metabolizer"
    assert statuses((new, old), TABLES)[0].phenotype == "poor metabolizer"


@pytest.mark.parametrize(
    ("text", "sign"), [("HLA-B*57:01 positive", "positive"), ("HLA-B*57:01 not detected", "negative")]
)
def test_hla_alleles_positive_and_negative(text: str, sign: str) -> None:
    (status,) = statuses((GeneResult("Observation/1", "HLA-B", text=text),), TABLES)
    assert (status.gene, status.phenotype) == ("HLA-B", f"hla-b*57:01 {sign}")


@pytest.mark.parametrize(
    ("gene", "drug", "blocked"),
    [
        (GeneResult("Observation/1", "SLCO1B1", "*5/*5"), "simvastatin", True),
        (GeneResult("Observation/1", "SLCO1B1", "*1/*5"), "simvastatin", False),
        (GeneResult("Observation/1", "SLCO1B1", "*1/*1"), "simvastatin", False),
        (GeneResult("Observation/1", "HLA-B", text="HLA-B*58:01 positive"), "allopurinol", True),
        (GeneResult("Observation/1", "HLA-B", text="HLA-B*58:01 negative"), "allopurinol", False),
        (GeneResult("Observation/1", "CYP2C19", "*2/*3"), "clopidogrel", True),
        (GeneResult("Observation/1", "TPMT", "*3A/*3A"), "azathioprine", True),
        (GeneResult("Observation/1", "DPYD", "*1/*2A"), "capecitabine", False),
    ],
)
def test_genes_stop_a_drug_or_warn(gene: GeneResult, drug: str, blocked: bool) -> None:
    verdict = judge(chart(genes=(gene,)), twin(point("egfr", 90)), drug, (drug,), (), SAFETY)
    assert bool([h for h in verdict.blocked if h.code == "GEN"]) is blocked
    if gene.diplotype == "*1/*5":
        assert [h.rule for h in verdict.cautions if h.code == "GEN"] == ["gene-simvastatin-decreased"]

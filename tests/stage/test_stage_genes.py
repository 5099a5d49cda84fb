"""From what a laboratory writes to the advice for each drug: CPIC level A genes."""

from __future__ import annotations

from pathlib import Path

import pytest
from situation_runner import known, plan_of

from fhir_twin.fhir.read_genes import genes_in_text
from fhir_twin.rules.genotype import statuses

TABLE = Path(__file__).parent / "situations" / "genes.tsv"
GENES = {
    "CYP2C19", "CYP2D6", "CYP2C9", "VKORC1", "SLCO1B1", "TPMT", "NUDT15", "DPYD", "UGT1A1", "HLA-B", "HLA-A",
    "CYP3A5", "CYP4F2", "G6PD",
}  # fmt: skip


def rows() -> list[tuple[str, str]]:
    lines = TABLE.read_text("utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if line and not line.startswith(("#", "text\t")))
    return [(text, phenotype) for text, phenotype in pairs]


@pytest.mark.parametrize(("text", "phenotype"), rows())
def test_words_to_phenotype(text: str, phenotype: str) -> None:
    found = statuses(tuple(genes_in_text(text, "Observation/1", None)), dict(known().safety.genes))
    assert [status.phenotype for status in found] == ([phenotype] if phenotype else [])


def test_every_gene_of_the_guidelines_has_advice() -> None:
    assert {advice.gene for advice in known().safety.advice} >= GENES


def test_all_advice_is_verified() -> None:
    assert all(advice.verified for advice in known().safety.advice)


@pytest.mark.parametrize(
    ("gene", "diplotype", "drug", "finding"),
    [
        ("CYP2C19", "*2/*2", "clopidogrel", "drug-gene-clopidogrel-poor"),
        ("CYP2C19", "*1/*2", "clopidogrel", "drug-gene-clopidogrel-intermediate"),
        ("CYP2C19", "*1/*1", "clopidogrel", ""),
        ("CYP2C19", "*2/*2", "citalopram", "drug-gene-citalopram-poor"),
        ("CYP2D6", "*4/*4", "codeine", "drug-gene-codeine-poor"),
        ("CYP2D6", "*1/*2x2", "tramadol", "drug-gene-codeine-ultrarapid"),
        ("CYP2D6", "*4/*5", "tamoxifen", "drug-gene-tamoxifen-poor"),
        ("CYP2D6", "*4/*4", "metoprolol", "drug-gene-metoprolol-poor"),
        ("CYP2C9", "*3/*3", "warfarin", "drug-gene-warfarin-2c9"),
        ("CYP2C9", "*1/*3", "phenytoin", "drug-gene-phenytoin-2c9-intermediate"),
        ("CYP2C9", "*1/*2", "phenytoin", ""),
        ("CYP2C9", "*3/*3", "celecoxib", "drug-gene-nsaid-2c9"),
        ("VKORC1", "A/A", "warfarin", "drug-gene-warfarin-vkorc1"),
        ("VKORC1", "G/G", "warfarin", ""),
        ("SLCO1B1", "*5/*5", "simvastatin", "drug-gene-simvastatin-poor"),
        ("SLCO1B1", "*5/*5", "rosuvastatin", "drug-gene-rosuvastatin-poor"),
        ("TPMT", "*3A/*3A", "azathioprine", "drug-gene-thiopurine-tpmt-poor"),
        ("NUDT15", "*1/*3", "mercaptopurine", "drug-gene-thiopurine-nudt15-intermediate"),
        ("DPYD", "reference/c.1905+1G>A", "capecitabine", "drug-gene-fluoropyrimidine-intermediate"),
        ("UGT1A1", "*28/*28", "atazanavir", "drug-gene-atazanavir-poor"),
        ("CYP3A5", "*1/*3", "tacrolimus", "drug-gene-tacrolimus-expresser"),
        ("CYP3A5", "*3/*3", "tacrolimus", ""),
        ("CYP4F2", "*1/*3", "warfarin", "drug-gene-warfarin-4f2"),
    ],
)
def test_diplotype_to_advice(gene: str, diplotype: str, drug: str, finding: str) -> None:
    row = {"age": 60, "sex": "male", "drugs": [drug], "genes": [{"gene": gene, "diplotype": diplotype}]}
    found = {f.key for f in plan_of(row).findings if f.key.startswith("drug-gene-")}
    assert found == ({finding} if finding else set())


@pytest.mark.parametrize(
    ("text", "drug", "finding"),
    [
        ("HLA-B*57:01 positive", "abacavir", "drug-gene-abacavir-hla"),
        ("HLA-B*15:02 positive", "carbamazepine", "drug-gene-carbamazepine-b1502"),
        ("HLA-A*31:01 positive", "carbamazepine", "drug-gene-carbamazepine-a3101"),
        ("HLA-B*58:01 positive", "allopurinol", "drug-gene-allopurinol-b5801"),
        ("HLA-B*58:01 negative", "allopurinol", ""),
    ],
)
def test_hla_to_advice(text: str, drug: str, finding: str) -> None:
    row = {"age": 60, "sex": "male", "drugs": [drug], "genes": [{"gene": text[:5], "text": text}]}
    found = {f.key for f in plan_of(row).findings if f.key.startswith("drug-gene-")}
    assert found == ({finding} if finding else set())


def test_a_score_told_apart_from_the_diplotype_is_used() -> None:
    """An intermediate metabolizer of score 1.5 needs no other dose of an NSAID, one of score 1 starts low."""

    def keys(**gene: object) -> set[str]:
        row = {"age": 60, "sex": "male", "drugs": ["celecoxib"], "genes": [{"gene": "CYP2C9", **gene}]}
        return {f.key for f in plan_of(row).findings if "nsaid" in f.key}

    assert keys(diplotype="*1/*2") == set()
    assert keys(diplotype="*1/*3") == {"drug-gene-nsaid-2c9-intermediate"}
    assert keys(phenotype="intermediate metabolizer") == {"drug-gene-nsaid-2c9-intermediate"}
    assert keys(score=0.5) == {"drug-gene-nsaid-2c9"}


def test_the_laboratorys_word_is_used_and_the_disagreement_said() -> None:
    gene = {"gene": "CYP2C19", "diplotype": "*2/*2", "phenotype": "normal metabolizer"}
    plan = plan_of({"age": 60, "sex": "male", "drugs": ["clopidogrel"], "genes": [gene]})
    keys = {f.key for f in plan.findings}
    assert "gene-conflict-cyp2c19" in keys and "drug-gene-clopidogrel-poor" not in keys


def test_likely_is_no_disagreement() -> None:
    gene = {"gene": "CYP2C19", "diplotype": "*2/*9", "phenotype": "poor metabolizer"}
    plan = plan_of({"age": 60, "sex": "male", "genes": [gene]})
    assert not any(f.key.startswith("gene-conflict") for f in plan.findings)

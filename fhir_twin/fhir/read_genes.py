"""Pharmacogenomic findings -> GeneResult (GX-1 to GX-3). What is reported is kept; nothing is inferred."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.gene_words import (
    asked_allele,
    by_base,
    copies_in_text,
    diplotype_in_text,
    gene_in_text,
    genes_named,
    phenotype_in_text,
    score_in_text,
)
from fhir_twin.fhir.systems import PHARMVAR
from fhir_twin.model.chart import GeneResult
from fhir_twin.model.codes import HGNC, LOINC, Concept

# Genotype, haplotype, variant; effect on metabolism, on efficacy, overall interpretation (legacy).
CODES = frozenset(["84413-4", "84414-2", "69548-6", "53040-2", "51961-1", "51968-6", "40425-1", "50398-7"])
# Laboratories' codes that name their gene (GX-2).
_GENE_OF_CODE = {"40425-1": "CYP2D6", "50398-7": "CYP2D6"}
GENE_STUDIED, PHENOTYPE, COPY_NUMBER = "48018-6", "81259-4", "82155-3"
_DIPLOTYPE_WORDS = re.compile(r"diplotype|genotype|star allele|haplotype")
IMPLICATION = "therapeutic-implication"
_LEGACY_EFFECT = frozenset(["53040-2", "51961-1"])

# GX-2: LOINC answers for metabolizer status and function, in CPIC's words.
PHENOTYPES = {
    "LA10315-2": "ultrarapid metabolizer",
    "LA25390-8": "rapid metabolizer",
    "LA25391-6": "normal metabolizer",
    "LA10317-8": "intermediate metabolizer",
    "LA9657-3": "poor metabolizer",
    "LA25392-4": "increased function",
    "LA25393-2": "normal function",
    "LA25395-7": "decreased function",
    "LA25394-0": "poor function",
}


@dataclass(slots=True, repr=False)
class _Found:
    gene: str = ""
    diplotype: str = ""
    phenotype: str = ""
    phenotype_code: str = ""
    copies: int | None = None
    score: float | None = None


def is_gene_result(given: k.Observation, code: Concept) -> bool:
    """By its code, a gene component, or a known gene named in the code or text of something not measured."""
    if any((c.code in CODES and c.system == LOINC) or c.code == IMPLICATION for c in code.codings):
        return True
    for part in given.component:
        if part.code is not None and any(c.code == GENE_STUDIED for c in part.code.coding):
            return True
    # An enzyme activity (G6PD, TPMT in U/L) is a measurement, not a genotype.
    measured = given.value_quantity is not None or bool(given.component)
    return not measured and bool(gene_in_text(_words(code)))


def read_gene(given: k.Observation, source: str, time: datetime | None, context: Context) -> list[GeneResult]:
    """The findings of one Observation; empty (said) when it names no gene that can be told."""
    code, value = elements.concept(given.code), elements.concept(given.value_codeable_concept)
    notes = " ".join(n.text for n in given.note if n.text)
    said = value.text or _words(value) or _stars(value)
    text = " ".join(t for t in (said, (given.value_string or "").strip()) if t)
    found = _components(given)
    asked = asked_allele(_words(code))
    if asked and text and not asked_allele(text):  # "HLA-B*57:01" asked, "Positive" answered
        text = f"{asked} {text}"
    found.gene = found.gene or gene_in_text(_words(code)) or gene_in_text(text) or gene_in_text(notes)
    found.gene = found.gene or next((_GENE_OF_CODE[c] for c in code.codes(LOINC) if c in _GENE_OF_CODE), "")
    if not found.gene:
        found.gene = _derived_gene(given, context)
    _from_value(found, value, f"{text} {notes}".strip())
    if found.gene in ("VKORC1", "DPYD") and not found.diplotype:
        found.diplotype = by_base(found.gene, f"{_words(code)} {text} {notes}")
    _counts(found, f"{text} {notes}")
    if found.gene == "G6PD" and not found.phenotype:
        found.phenotype = phenotype_in_text(f"G6PD {text}")
    if not found.gene:
        context.issues.add("information", "incomplete", "genetic result names no gene that was found", source)
        return []
    return [
        GeneResult(
            source, found.gene, found.diplotype, found.phenotype, found.phenotype_code, text, time,
            found.copies, found.score,
        )
    ]  # fmt: skip


def read_report_genes(given: c.DiagnosticReport, source: str, time: datetime | None) -> list[GeneResult]:
    """Genes in the words of a report's conclusion, one result per gene that has a diplotype or phenotype."""
    return genes_in_text(given.conclusion or "", source, time)


def genes_in_text(text: str, source: str, time: datetime | None) -> list[GeneResult]:
    """ "CYP2C19 *1/*2; SLCO1B1 *1/*5": the words from one gene to the next belong to it."""
    results = []
    for gene, words in genes_named(text):
        diplotype = diplotype_in_text(words) or by_base(gene, words)
        phenotype = phenotype_in_text(words)
        told = _Found(gene, diplotype, phenotype)
        _counts(told, words)
        if diplotype or phenotype or told.score is not None:
            results.append(
                GeneResult(source, gene, diplotype, phenotype, "", words, time, told.copies, told.score)
            )
    return results


def _counts(found: _Found, text: str) -> None:
    """Activity score and copy number, where the components did not say them."""
    found.score = score_in_text(text) if found.score is None else found.score
    found.copies = copies_in_text(text) if found.copies is None else found.copies


def _number(part: k.Value) -> float | None:
    said = elements.amount(part.value_quantity)
    if said is not None and said.value is not None and said.comparator is None:
        return float(said.value)
    whole = part.value_integer
    text = (part.value_string or "").strip()
    if whole is not None:
        return float(whole)
    return float(text) if re.fullmatch(r"\d{1,2}(?:\.\d{1,2})?", text) else None


def _components(given: k.Observation) -> _Found:
    found = _Found()
    for part in given.component:
        codes, value = elements.concept(part.code).codes(LOINC), elements.concept(part.value_codeable_concept)
        if GENE_STUDIED in codes:
            found.gene = _gene(value) or gene_in_text(part.value_string or "")
        elif PHENOTYPE in codes or _LEGACY_EFFECT & set(codes):
            found.phenotype, found.phenotype_code = _phenotype(value)
            found.phenotype = found.phenotype or phenotype_in_text(part.value_string or "")
        else:
            words = _words(elements.concept(part.code)).lower()
            if COPY_NUMBER in codes or "copy number" in words:
                copies = _number(part)
                found.copies = int(copies) if copies is not None and 0 <= copies < 20 else found.copies
            elif "activity score" in words:
                found.score = _number(part)
            elif not found.diplotype and _DIPLOTYPE_WORDS.search(words):
                found.diplotype = diplotype_in_text(
                    f"{_words(value)} {_stars(value)} {part.value_string or ''}"
                )
    return found


def _from_value(found: _Found, value: Concept, words: str) -> None:
    """Diplotype and phenotype from the value, where the components did not say them."""
    found.diplotype = found.diplotype or diplotype_in_text(f"{_stars(value)} {words}")
    if not found.phenotype:
        found.phenotype, found.phenotype_code = _phenotype(value)
    if not found.phenotype:
        found.phenotype = phenotype_in_text(words)


def _stars(value: Concept) -> str:
    """What a PharmVar coding says: its display, else its code ("CYP2C19*2/*3")."""
    return next((c.display or c.code for c in value.codings if c.system == PHARMVAR), "")


def _phenotype(value: Concept) -> tuple[str, str]:
    for coding in value.codings:
        if coding.code in PHENOTYPES:
            return PHENOTYPES[coding.code], coding.code
    words = phenotype_in_text(_words(value))
    code = value.codings[0].code if value.codings and words else ""
    return words, code


def _gene(value: Concept) -> str:
    """HGNC symbol: the display of an HGNC coding (its code is a number), else the words."""
    for coding in value.codings:
        if coding.system.startswith(HGNC) and coding.display:
            return coding.display.strip().upper()
    return gene_in_text(_words(value)) or value.text.strip().upper()[:20]


def _derived_gene(given: k.Observation, context: Context) -> str:
    """A therapeutic implication has no gene of its own: that of the genotype it is derived from."""
    for reference in given.derived_from:
        entry = context.index.find(reference, "Observation")
        basis = context.convert(entry.raw, k.Observation) if entry is not None else None
        gene = (
            (_components(basis).gene or gene_in_text(_words(elements.concept(basis.code)))) if basis else ""
        )
        if gene:
            return gene
    return ""


def _words(concept: Concept) -> str:
    return " ".join(w for w in (concept.text, *(c.display for c in concept.codings)) if w)

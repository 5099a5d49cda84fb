"""Pharmacogenomic findings -> GeneResult (GX-1 to GX-3). What is reported is kept; nothing is inferred."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from fhir_twin.fhir import elements
from fhir_twin.fhir import structs_care as c
from fhir_twin.fhir import structs_clinical as k
from fhir_twin.fhir.context import Context
from fhir_twin.fhir.systems import PHARMVAR
from fhir_twin.model.chart import GeneResult
from fhir_twin.model.codes import HGNC, LOINC, Concept

# Genotype, haplotype, variant; effect on metabolism, on efficacy, overall interpretation (legacy).
CODES = frozenset(["84413-4", "84414-2", "69548-6", "53040-2", "51961-1", "51968-6", "40425-1", "50398-7"])
# Laboratories' codes that name their gene (GX-2).
_GENE_OF_CODE = {"40425-1": "CYP2D6", "50398-7": "CYP2D6"}
GENE_STUDIED, PHENOTYPE = "48018-6", "81259-4"
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
# Genes of the CPIC guidelines. Only these are recognised in free text.
_GENES = (
    "ABCG2 CACNA1S CFTR CYP2B6 CYP2C19 CYP2C9 CYP2D6 CYP3A4 CYP3A5 CYP4F2 DPYD G6PD IFNL3 NUDT15 RYR1 SLCO1B1"
)
_GENES += " TPMT UGT1A1 VKORC1 MT-RNR1 HLA-A HLA-B"
GENES = frozenset(_GENES.split())
_GENE = re.compile(
    r"(?<![A-Z0-9])(" + "|".join(sorted(map(re.escape, GENES), key=len, reverse=True)) + r")(?![A-Z0-9])",
    re.IGNORECASE,
)
_ALLELE = r"\*\d{1,3}(?:[A-Z]{1,2}(?![a-z]))?(?:\s?x\s?(?:N|\d{1,2}))?"
_DIPLOTYPE = re.compile(rf"({_ALLELE})\s*/\s*({_ALLELE})")
# "CYP2C19*2/CYP2C19*3": the gene may be said twice.
_GENE_AGAIN = re.compile(r"\b([A-Z0-9]{2,10})(\*\d[^/\s]{0,12})\s?/\s?\1(?=\*)")
_HLA = re.compile(r"HLA-[AB]\*\d{2,3}:\d{2,3}(?::\d{2,3})?", re.IGNORECASE)
_METABOLIZER = re.compile(
    r"\b(ultra-?\s?rapid|rapid|normal|extensive|intermediate|poor)\s+metaboli[sz]er", re.IGNORECASE
)
_FUNCTION = re.compile(r"\b(increased|normal|decreased|poor|no)\s+function", re.IGNORECASE)


@dataclass(slots=True, repr=False)
class _Found:
    gene: str = ""
    diplotype: str = ""
    phenotype: str = ""
    phenotype_code: str = ""


def is_gene_result(given: k.Observation, code: Concept) -> bool:
    """By its code, a gene component, or a known gene named in the code or text of something not measured."""
    if any((c.code in CODES and c.system == LOINC) or c.code == IMPLICATION for c in code.codings):
        return True
    for part in given.component:
        if part.code is not None and any(c.code == GENE_STUDIED for c in part.code.coding):
            return True
    # An enzyme activity (G6PD, TPMT in U/L) is a measurement, not a genotype.
    measured = given.value_quantity is not None or bool(given.component)
    return not measured and bool(_GENE.search(_words(code)))


def read_gene(given: k.Observation, source: str, time: datetime | None, context: Context) -> list[GeneResult]:
    """The findings of one Observation; empty (said) when it names no gene that can be told."""
    code, value = elements.concept(given.code), elements.concept(given.value_codeable_concept)
    notes = " ".join(n.text for n in given.note if n.text)
    said = value.text or _words(value) or _stars(value)
    text = " ".join(t for t in (said, (given.value_string or "").strip()) if t)
    found = _components(given)
    asked = _HLA.search(_words(code))
    if asked and text and not _HLA.search(text):  # "HLA-B*57:01" asked, "Positive" answered
        text = f"{asked[0].upper()} {text}"
    found.gene = found.gene or gene_in_text(_words(code)) or gene_in_text(text) or gene_in_text(notes)
    found.gene = found.gene or next((_GENE_OF_CODE[c] for c in code.codes(LOINC) if c in _GENE_OF_CODE), "")
    if not found.gene:
        found.gene = _derived_gene(given, context)
    _from_value(found, value, f"{text} {notes}".strip())
    if not found.gene:
        context.issues.add("information", "incomplete", "genetic result names no gene that was found", source)
        return []
    return [
        GeneResult(source, found.gene, found.diplotype, found.phenotype, found.phenotype_code, text, time)
    ]


def read_report_genes(given: c.DiagnosticReport, source: str, time: datetime | None) -> list[GeneResult]:
    """Genes in the words of a report's conclusion, one result per gene that has a diplotype or phenotype."""
    return genes_in_text(given.conclusion or "", source, time)


def genes_in_text(text: str, source: str, time: datetime | None) -> list[GeneResult]:
    """ "CYP2C19 *1/*2; SLCO1B1 *1/*5": the words from one gene to the next belong to it."""
    marks = list(_GENE.finditer(text))
    results = []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        words = text[mark.start() : end].strip(" ;,.")
        diplotype, phenotype = diplotype_in_text(words), phenotype_in_text(words)
        if diplotype or phenotype:
            results.append(GeneResult(source, mark[1].upper(), diplotype, phenotype, "", words, time))
    return results


def _components(given: k.Observation) -> _Found:
    found = _Found()
    for part in given.component:
        codes, value = elements.concept(part.code).codes(LOINC), elements.concept(part.value_codeable_concept)
        if GENE_STUDIED in codes:
            found.gene = _gene(value) or gene_in_text(part.value_string or "")
        elif PHENOTYPE in codes or _LEGACY_EFFECT & set(codes):
            found.phenotype, found.phenotype_code = _phenotype(value)
            found.phenotype = found.phenotype or phenotype_in_text(part.value_string or "")
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


def gene_in_text(text: str) -> str:
    found = _GENE.search(text)
    return found[1].upper() if found else ""


def diplotype_in_text(text: str) -> str:
    """ "*1/*2", "*1/*4x2", "HLA-B*57:01" as written, blanks left out; "" when there is none."""
    found = _DIPLOTYPE.search(_GENE_AGAIN.sub(r"\1\2/", text))
    if found:
        return f"{found[1]}/{found[2]}".replace(" ", "")
    allele = _HLA.search(text)
    return allele[0].upper() if allele else ""


def phenotype_in_text(text: str) -> str:
    """CPIC's words for a metabolizer status or a function that the text states; "" when it states none."""
    found = _METABOLIZER.search(text)
    if found:
        kind = found[1].lower().replace("-", "").replace(" ", "")
        return f"{'normal' if kind == 'extensive' else kind} metabolizer"
    function = _FUNCTION.search(text)
    return f"{function[1].lower()} function" if function else ""

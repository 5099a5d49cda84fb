"""Diplotype -> phenotype by CPIC's tables, and what the laboratory itself said.

A stated phenotype is used as stated; one is derived only where none is stated (GX-3). Where both are known and
differ, the disagreement is kept for the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_twin.model.chart import GeneResult
from fhir_twin.model.rules import GeneTable

_HLA = re.compile(r"(HLA-[AB])\*(\d{2,3}:\d{2,3})", re.IGNORECASE)
_NEGATIVE = re.compile(r"\b(negative|not detected|absent|not present|non-?carrier)\b", re.IGNORECASE)
_COPIES = re.compile(r"^(\*\d+[A-Z]?)\s?x\s?(\d+)$")


@dataclass(frozen=True, slots=True, repr=False)
class GeneStatus:
    """phenotype in lower case; stated: by the laboratory; derived: ours from the diplotype ("" = could not)."""

    gene: str
    phenotype: str
    source: str
    stated: bool
    diplotype: str = ""
    derived: str = ""

    @property
    def conflict(self) -> bool:
        """The laboratory's phenotype and ours differ."""
        return self.stated and bool(self.derived) and self.derived != self.phenotype


def phenotypes(genes: tuple[GeneResult, ...]) -> dict[str, tuple[str, str]]:
    """gene -> (stated phenotype in lower case, source) of the newest stated result of each gene."""
    found = {
        g.gene.upper(): (g.phenotype.strip().lower(), g.source)
        for g in _ordered(genes)
        if g.gene and g.phenotype
    }
    return {gene: (_plain(words), source) for gene, (words, source) in found.items()}


def statuses(genes: tuple[GeneResult, ...], tables: dict[str, GeneTable]) -> tuple[GeneStatus, ...]:
    """One status per gene (per allele for HLA), from the newest result that can be read, by gene."""
    found: dict[str, GeneStatus] = {}
    for result in _ordered(genes):
        for status in _read(result, tables):
            key = status.phenotype.split(" ")[0] if status.phenotype.startswith("hla-") else status.gene
            found[key] = status
    return tuple(found[key] for key in sorted(found))


def _ordered(genes: tuple[GeneResult, ...]) -> list[GeneResult]:
    return sorted(genes, key=lambda g: (g.time.timestamp() if g.time else float("-inf"), g.source))


def _read(result: GeneResult, tables: dict[str, GeneTable]) -> tuple[GeneStatus, ...]:
    words = " ".join((result.diplotype, result.phenotype, result.text))
    hla = tuple(dict.fromkeys(m.group(0).lower() for m in _HLA.finditer(words)))
    if hla:
        sign = "negative" if _NEGATIVE.search(words) else "positive"
        return tuple(
            GeneStatus(name[:5].upper(), f"{name} {sign}", result.source, True, result.diplotype)
            for name in hla
        )
    gene = result.gene.upper()
    derived = phenotype_of(result.diplotype, tables[gene]) if gene in tables and result.diplotype else ""
    stated = _plain(result.phenotype.strip().lower())
    if not stated and not derived:
        return ()
    return (GeneStatus(gene, stated or derived, result.source, bool(stated), result.diplotype, derived),)


def _plain(phenotype: str) -> str:
    """Older words for the same thing."""
    return phenotype.replace("extensive metabolizer", "normal metabolizer").replace(
        "metaboliser", "metabolizer"
    )


def phenotype_of(diplotype: str, table: GeneTable) -> str:
    """ "*1/*2" -> phenotype in lower case; "" when an allele is not in the table (indeterminate) or unreadable."""
    alleles = [part.strip().replace(" ", "") for part in diplotype.split("/")]
    if len(alleles) != 2:
        return ""
    return _by_activity(alleles, table) if table.scale == "activity" else _by_function(alleles, table)


def _by_function(alleles: list[str], table: GeneTable) -> str:
    functions = [table.alleles.get(allele, "") for allele in alleles]
    return table.pairs.get(tuple(sorted(functions)), "") if all(functions) else ""


def _by_activity(alleles: list[str], table: GeneTable) -> str:
    values = [_activity(allele, table) for allele in alleles]
    if any(v is None for v in values):
        return ""
    score = sum(v for v in values if v is not None)
    return next((name for up_to, name in table.bands if score <= up_to + 1e-9), "")


def _activity(allele: str, table: GeneTable) -> float | None:
    """Copies multiply: "*1x2" has twice the activity of *1."""
    copies = _COPIES.match(allele)
    name, times = (copies.group(1), int(copies.group(2))) if copies else (allele, 1)
    value = table.alleles.get(name)
    return None if value is None else float(value) * times

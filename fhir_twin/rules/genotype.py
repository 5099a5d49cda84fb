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
# "*2x2", "*4xN", and two genes in tandem on one chromosome, "*36+*10", "*68+*4x2".
_COPIES = re.compile(r"^(.+?)x(\d+|N)$", re.IGNORECASE)
_UNSURE = re.compile(r"^(?:likely|possible|presumptive) ")
MANY = 8  # copies: "xN" is at least two and not known to be fewer than this


@dataclass(frozen=True, slots=True, repr=False)
class GeneStatus:
    """phenotype in lower case; stated: by the laboratory; derived: ours from the diplotype ("" = could not)."""

    gene: str
    phenotype: str
    source: str
    stated: bool
    diplotype: str = ""
    derived: str = ""
    score: float | None = None

    @property
    def conflict(self) -> bool:
        """The laboratory's phenotype and ours differ by more than a "likely"."""
        if not self.stated or not self.derived:
            return False
        return _UNSURE.sub("", self.derived) != _UNSURE.sub("", self.phenotype)


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
    table = tables.get(gene)
    derived = phenotype_of(result.diplotype, table, result.copies) if table and result.diplotype else ""
    score = result.score
    if table is not None and table.scale == "activity":
        low, high = _activities(result.diplotype, table, result.copies)
        score = low if score is None and low is not None and low == high else score
        if not derived and score is not None:
            derived = _band(score, table)
    stated = _plain(result.phenotype.strip().lower())
    if not stated and not derived:
        return ()
    return (
        GeneStatus(gene, stated or derived, result.source, bool(stated), result.diplotype, derived, score),
    )


def _plain(phenotype: str) -> str:
    """Older words for the same thing."""
    return phenotype.replace("extensive metabolizer", "normal metabolizer").replace(
        "metaboliser", "metabolizer"
    )


def phenotype_of(diplotype: str, table: GeneTable, copies: int | None = None) -> str:
    """ "*1/*2" -> phenotype in lower case; "" when an allele is not in the table (indeterminate), unreadable, or when
    the copies leave it open. copies: of the whole gene, when the laboratory counts them apart."""
    alleles = _alleles(diplotype)
    if len(alleles) != 2:
        return ""
    if table.scale != "activity":
        return _by_function(alleles, table)
    low, high = _activities(diplotype, table, copies)
    if low is None or high is None:
        return ""
    names = {_band(low, table), _band(high, table)}
    return names.pop() if len(names) == 1 else ""


def _alleles(diplotype: str) -> list[str]:
    return [part.strip().replace(" ", "").strip("()") for part in diplotype.split("/")]


def _by_function(alleles: list[str], table: GeneTable) -> str:
    functions = [table.alleles.get(allele, "") for allele in alleles]
    return table.pairs.get(tuple(sorted(functions)), "") if all(functions) else ""


def _band(score: float, table: GeneTable) -> str:
    return next((name for up_to, name in table.bands if score <= up_to + 1e-9), "")


def _activities(diplotype: str, table: GeneTable, copies: int | None) -> tuple[float | None, float | None]:
    """Lowest and highest activity score that the diplotype can mean; (None, None) when it cannot be told."""
    alleles = _alleles(diplotype)
    parts = [_activity(allele, table) for allele in alleles]
    if len(alleles) != 2 or any(part is None for part in parts):
        return None, None
    ends = [part for part in parts if part is not None]
    low, high = sum(e[0] for e in ends), sum(e[1] for e in ends)
    extra = max(0, copies - 2) if copies is not None and low == high else 0
    if extra and not any(
        _COPIES.match(a) for a in alleles
    ):  # which of the two is the copied one, is not said
        each = [e[0] for e in ends]
        return low + extra * min(each), high + extra * max(each)
    return low, high


def _activity(allele: str, table: GeneTable) -> tuple[float, float] | None:
    """Copies multiply ("*1x2" is twice *1, "*1xN" at least twice); genes in tandem add ("*36+*10")."""
    found = _COPIES.match(allele)
    name, times = (found.group(1), found.group(2).upper()) if found else (allele, "1")
    parts = name.split("+") if name.startswith("*") else [name]  # "c.1905+1G>A" is one allele
    values = [table.alleles.get(part) for part in parts]
    if any(v is None for v in values):
        return None
    one = sum(float(v) for v in values if v is not None)
    return (2 * one, MANY * one) if times == "N" else (int(times) * one, int(times) * one)

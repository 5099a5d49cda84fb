"""Reported pharmacogenomic phenotypes, by gene. A laboratory's stated phenotype is never overruled here."""

from __future__ import annotations

from fhir_twin.model.chart import GeneResult


def phenotypes(genes: tuple[GeneResult, ...]) -> dict[str, tuple[str, str]]:
    """gene -> (phenotype in lower case, source) of the newest stated result of each gene."""
    ordered = sorted(genes, key=lambda g: (g.time.timestamp() if g.time else float("-inf"), g.source))
    return {
        g.gene.upper(): (g.phenotype.strip().lower(), g.source) for g in ordered if g.gene and g.phenotype
    }

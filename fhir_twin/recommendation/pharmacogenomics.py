"""Pharmacogenomic discrepancies: a laboratory's phenotype that does not fit its own diplotype (GX-3).

What genes mean for drugs, taken or proposed, is judged with the other safety rules (fhir_twin.rules.genes)."""

from __future__ import annotations

from fhir_twin.model.plan import Citation, Finding
from fhir_twin.recommendation.case import Case
from fhir_twin.rules.genotype import GeneStatus, statuses


def gene_conflicts(case: Case) -> tuple[Finding, ...]:
    """One finding per gene whose stated phenotype and diplotype disagree."""
    known = statuses(case.coded.chart.genes, dict(case.safety.genes))
    return tuple(_finding(status, case) for status in known if status.conflict)


def _finding(status: GeneStatus, case: Case) -> Finding:
    table = case.safety.genes[status.gene]
    evidence = table.evidence[0]
    return Finding(
        key=f"gene-conflict-{status.gene.lower()}",
        code="GEN",
        severity="moderate",
        text=(
            f"{status.gene}: the laboratory reports {status.phenotype}, but {status.diplotype} means "
            f"{status.derived} by CPIC's tables. The laboratory's word was used."
        ),
        sources=(status.source,),
        check="Ask the laboratory; older reports use other tables.",
        citation=Citation(f"gene-{status.gene.lower()}", evidence.text, url=evidence.url),
    )

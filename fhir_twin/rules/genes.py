"""Pharmacogenomic hits: what this patient's genes say of a drug."""

from __future__ import annotations

from fhir_twin.model.plan import Reason
from fhir_twin.model.rules import GeneAdvice, Hit, SafetyRules
from fhir_twin.rules.genotype import GeneStatus, statuses
from fhir_twin.rules.view import PatientView


def gene_hits(patient: PatientView, drug: frozenset[str], safety: SafetyRules) -> tuple[Hit, ...]:
    """Advice that fits the patient's phenotypes and one of the drug's names, by key."""
    if not patient.coded.chart.genes:
        return ()
    known = statuses(patient.coded.chart.genes, dict(safety.genes))
    hits = [
        _hit(advice, status)
        for advice in safety.advice
        if advice.verified and drug & set(advice.drugs)
        for status in known
        if status.gene == advice.gene and advice.fits(status.phenotype, status.score)
    ]
    return tuple(sorted(hits, key=lambda hit: hit.rule))


# HLA reactions come in the first weeks (Br J Dermatol 2017;177:1234): nobody is taken off a drug that is tolerated.
TOLERATED = "Taken for more than 12 weeks without a reaction: it may go on."


def _hit(advice: GeneAdvice, status: GeneStatus) -> Hit:
    how = "as reported" if status.stated else f"derived from {status.diplotype}"
    if status.score is not None:
        how = f"{how}, activity score {status.score:g}"
    source = "; ".join(e.text for e in advice.evidence)
    skin = advice.gene.startswith("HLA-")
    return Hit(
        rule=f"gene-{advice.key}",
        kind="contraindicated" if advice.level == "stop" else "caution",
        code="GEN",
        severity=advice.severity,
        reason=f"{advice.text} Record: {status.gene} {status.phenotype}, {how}.",
        facts=(Reason(f"{status.gene} {status.phenotype}", (status.source,)),),
        action=f"{advice.do} {TOLERATED}" if skin else advice.do,
        citation=source if advice.verified else f"{source} (unverified source)",
        evidence=advice.evidence,
        level=advice.level,
        current="replace" if advice.level == "stop" and not skin else "review",
    )

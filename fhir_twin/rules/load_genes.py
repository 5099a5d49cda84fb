"""mappings/pharmacogenomics/*.toml -> gene tables and advice. The legend is in that folder's README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.model.rules import Evidence, GeneAdvice, GeneTable
from fhir_twin.rules.tables import cited, only, read_evidence
from mappings import Source

FOLDER = "pharmacogenomics"
GENE = {"gene", "scale", "evidence", "pairs", "bands", "alleles"}
ADVICE = {"key", "gene", "phenotypes", "drugs", "action", "severity", "text", "do", "strength", "evidence"}
ADVICE |= {"score"}


def load_genes(source: Source) -> tuple[dict[str, GeneTable], tuple[GeneAdvice, ...]]:
    """gene -> table, and the verified advice in file order (what nobody has read is kept out). Raises ValueError
    naming file and key."""
    tables: dict[str, GeneTable] = {}
    advice: list[GeneAdvice] = []
    for name, content in source.toml(FOLDER):
        only(content, {"gene", "advice", "evidence"}, name)
        evidence = read_evidence(content, name)
        for row in content.get("gene", ()):
            tables[row["gene"]] = _table(row, f"{name}: {row.get('gene')}", evidence)
        advice += [_advice(row, f"{name}: {row.get('key')}", evidence) for row in content.get("advice", ())]
    return tables, tuple(advice)


def _table(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> GeneTable:
    only(row, GENE, where)
    if row["scale"] not in ("function", "activity"):
        raise ValueError(f"{where}: scale")
    alleles: dict[str, str] = {}
    for value, names in row["alleles"].items():
        for name in names:
            if name in alleles:
                raise ValueError(f"{where}: allele {name} twice")
            alleles[name] = value
    pairs = {tuple(sorted(pair[:2])): pair[2] for pair in row.get("pairs", ())}
    bands = tuple((float(up_to), phenotype) for up_to, phenotype in row.get("bands", ()))
    if list(bands) != sorted(bands) or not (pairs or bands):
        raise ValueError(f"{where}: needs pairs or ascending bands")
    return GeneTable(row["gene"], row["scale"], alleles, pairs, bands, cited(row, evidence, where))


def _advice(row: Mapping[str, Any], where: str, evidence: Mapping[str, Evidence]) -> GeneAdvice:
    only(row, ADVICE, where)
    if row["action"] not in ("stop", "caution") or row["severity"] not in ("high", "moderate", "low"):
        raise ValueError(f"{where}: action or severity")
    return GeneAdvice(
        row["key"],
        row["gene"],
        tuple(row["phenotypes"]),
        tuple(row["drugs"]),
        row["action"],
        row["severity"],
        row["text"],
        row["do"],
        row["strength"],
        cited(row, evidence, where),
        (float(row["score"][0]), float(row["score"][1])) if "score" in row else None,
    )

"""DetectedIssue: a danger or a contradiction in what is there already (DI-1 to DI-3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_twin.fhir.identity import parse_source
from fhir_twin.fhir.systems import V3_ACT_CODE
from fhir_twin.fhir.write_context import CODES, Context, refer
from fhir_twin.fhir.write_elements import clean, compact, line, references
from fhir_twin.fhir.write_requests import request_identity
from fhir_twin.model.plan import Finding, Recommendation

Json = dict[str, Any]


def finding_item(finding: Finding) -> str:
    return f"finding/{finding.key}"


def write_finding(finding: Finding, recommendations: Sequence[Recommendation], context: Context) -> Json:
    """mitigation stays empty: its author can only be a clinician."""
    codings = [{"system": V3_ACT_CODE, "code": line(finding.code)}] if line(finding.code) else []
    codings.append({"system": f"{CODES}/finding", "code": line(finding.key)})
    words = [
        clean(finding.text),
        *(f"Side {i}: {clean(side.text)}" for i, side in enumerate(finding.sides, 1)),
        f"Check: {clean(finding.check)}" if finding.check else "",
        *(f"What it hangs on: {clean(text)}" for text in finding.sensitivity),
    ]
    proposals = [
        refer(request_identity(r, context), line(r.title)) for r in answering(finding, recommendations)
    ]
    return compact(
        {
            **context.start("DetectedIssue", finding_item(finding)),
            "status": "preliminary",
            "code": {"coding": codings, "text": line(finding.text)[:200]},
            "severity": finding.severity,
            "patient": context.subject,
            "identifiedDateTime": context.when,
            "author": refer(context.device, "fhir-twin"),
            "implicated": [*proposals, *references(finding.sources)],
            "detail": "\n".join(w for w in words if w),
            "reference": _guideline(finding),
        }
    )


def answering(finding: Finding, recommendations: Sequence[Recommendation]) -> list[Recommendation]:
    """Proposals that stop or replace something the finding is about."""
    about = {p.reference for p in map(parse_source, finding.sources) if p}
    return [
        r
        for r in recommendations
        if (r.stop or r.kind == "stop" or r.replaces)
        and about & {p.reference for p in map(parse_source, (*r.sources, r.replaces)) if p}
    ]


def _guideline(finding: Finding) -> str:
    citation = finding.citation
    if citation is None:
        return ""
    if citation.doi:
        return "https://doi.org/" + "".join(clean(citation.doi).split())
    if citation.pmid:
        return "https://pubmed.ncbi.nlm.nih.gov/" + "".join(clean(citation.pmid).split())
    return "".join(clean(citation.url).split())

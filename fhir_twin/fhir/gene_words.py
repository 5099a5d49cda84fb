"""What words say of genes: names, diplotypes, phenotypes, activity scores, copies. Text in, text out; no FHIR."""

from __future__ import annotations

import re

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
_STAR = r"\*\d{1,3}(?:[A-Z]{1,2}(?![a-z]))?"
_ALLELE = rf"\(?{_STAR}(?:\s?\+\s?{_STAR})?\)?(?:\s?[x\u00d7]\s?(?:N|\d{{1,2}}))?"
_DIPLOTYPE = re.compile(rf"({_ALLELE})\s*/\s*({_ALLELE})")
# "CYP2C19*2/CYP2C19*3": the gene may be said twice.
_GENE_AGAIN = re.compile(r"\b([A-Z0-9]{2,10})(\*\d[^/\s]{0,12})\s?/\s?\1(?=\*)")
# Single nucleotides (VKORC1 -1639G>A "G/A", "rs9923231 T/T") and DPYD in HGVS.
_BASES = re.compile(r"(?<![A-Za-z*/])([GACT])\s?/\s?([GACT])(?![A-Za-z/])")
_HGVS = r"c\.\d+(?:[+-]\d+)?[GACT]>[GACT]|HapB3|\*\d{1,2}[A-Z]?"
_DPYD = re.compile(
    rf"({_HGVS}|reference|normal|wild[- ]?type)\s?/\s?({_HGVS}|reference|normal|wild[- ]?type)", re.I
)
_DPYD_ONE = re.compile(rf"({_HGVS})", re.I)
_HOMOZYGOUS = re.compile(r"\bhomozygous\b", re.IGNORECASE)
_HETEROZYGOUS = re.compile(r"\bheterozygous\b|\bcarrier\b", re.IGNORECASE)
_SCORE = re.compile(r"\bactivity\s?score\s?(?:of|is|[:=])?\s?(\d(?:\.\d{1,2})?)", re.IGNORECASE)
_COPY = re.compile(r"\b(?:copy number|number of copies)\s?(?:of|is|[:=])?\s?(\d{1,2})\b", re.IGNORECASE)
_SHORT = re.compile(r"(?<![A-Za-z*])(UM|RM|NM|EM|IM|PM)(?![A-Za-z])")
_OF_SHORT = {
    "UM": "ultrarapid",
    "RM": "rapid",
    "NM": "normal",
    "EM": "normal",
    "IM": "intermediate",
    "PM": "poor",
}
_HLA = re.compile(r"HLA-[AB]\*\d{2,3}:\d{2,3}(?::\d{2,3})?", re.IGNORECASE)
_METABOLIZER = re.compile(
    r"\b((?:likely |possible )?)(ultra-?\s?rapid|rapid|normal|extensive|intermediate|poor)\s+metaboli[sz]",
    re.IGNORECASE,
)
_FUNCTION = re.compile(r"\b((?:possible )?)(increased|normal|decreased|poor|no)\s+function", re.IGNORECASE)
_DEFICIENT = re.compile(
    r"\bG6PD\b.{0,40}?(?:\b(normal|not deficient|no deficiency|negative)\b|\bdeficien\w*)", re.IGNORECASE
)


def by_base(gene: str, text: str) -> str:
    """The diplotype of genes that are told by nucleotides: VKORC1 and DPYD."""
    if gene == "VKORC1":
        found = _BASES.search(text)
        return f"{found[1]}/{found[2]}" if found else ""
    if gene != "DPYD":
        return ""
    both = _DPYD.search(text)
    if both:
        return "/".join(_reference(both[i]) for i in (1, 2))
    one = _DPYD_ONE.search(text)
    if one and _HOMOZYGOUS.search(text):
        return f"{_reference(one[1])}/{_reference(one[1])}"
    return f"reference/{_reference(one[1])}" if one and _HETEROZYGOUS.search(text) else ""


def _reference(allele: str) -> str:
    low = allele.lower()
    if low in ("reference", "normal") or low.startswith("wild"):
        return "reference"
    return "HapB3" if low == "hapb3" else allele


def gene_in_text(text: str) -> str:
    found = _GENE.search(text)
    return found[1].upper() if found else ""


def diplotype_in_text(text: str) -> str:
    """ "*1/*2", "*1/*4x2", "HLA-B*57:01" as written, blanks left out; "" when there is none."""
    found = _DIPLOTYPE.search(_GENE_AGAIN.sub(r"\1\2/", text))
    if found:
        return (
            f"{found[1]}/{found[2]}".replace(" ", "").replace("\u00d7", "x").replace("(", "").replace(")", "")
        )
    allele = _HLA.search(text)
    return allele[0].upper() if allele else ""


def phenotype_in_text(text: str) -> str:
    """CPIC's words for a metabolizer status or a function that the text states; "" when it states none."""
    found = _METABOLIZER.search(text)
    if found:
        kind = found[2].lower().replace("-", "").replace(" ", "")
        return f"{found[1].lower()}{'normal' if kind == 'extensive' else kind} metabolizer"
    function = _FUNCTION.search(text)
    if function:
        return f"{(function[1] or '').lower()}{function[2].lower()} function"
    short = _SHORT.search(text)
    if short:
        return f"{_OF_SHORT[short[1]]} metabolizer"
    return _g6pd(text)


def _g6pd(text: str) -> str:
    """G6PD is told as deficient, normal or variable."""
    found = _DEFICIENT.search(text)
    if not found:
        return ""
    if found[1]:
        return "normal"
    return "deficient with cnsha" if "cnsha" in text.lower() else "deficient"


def score_in_text(text: str) -> float | None:
    """ "Activity score: 0.5" -> 0.5."""
    found = _SCORE.search(text)
    return float(found[1]) if found else None


def copies_in_text(text: str) -> int | None:
    """ "copy number 3" -> 3."""
    found = _COPY.search(text)
    return int(found[1]) if found else None


def asked_allele(text: str) -> str:
    """The HLA allele that a test is about, "" for none."""
    found = _HLA.search(text)
    return found[0].upper() if found else ""


def genes_named(text: str) -> list[tuple[str, str]]:
    """(gene, the words from it to the next gene)."""
    marks = list(_GENE.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [(m[1].upper(), text[m.start() : end].strip(" ;,.")) for m, end in zip(marks, ends, strict=False)]

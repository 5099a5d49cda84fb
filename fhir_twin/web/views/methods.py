"""How it was computed: the model cards, and which of them this patient's numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fhir_twin.pipeline import Run
from mappings import Source

_FIELDS = (
    ("purpose", "What it is for"), ("population", "Who it was made from"), ("inputs", "Needs"), ("output", "Gives"),
    ("valid_range", "Valid for"), ("refuses", "Refuses"), ("checked", "Checked against"), ("limits", "Limits"),
    ("fairness", "Fairness"), ("licence", "Licence"),
)  # fmt: skip
_NAMES = {
    "PREVENT": "prevent", "PCE": "pce", "Framingham": "framingham", "SCORE2": "score2", "KFRE": "kfre",
    "FINDRISC": "findrisc", "DPP": "simulation", "US period": "simulation",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """One model card. used: this patient's numbers rest on it. evidence: (text, claim, link, verified)."""

    key: str
    name: str
    kind: str
    fields: tuple[tuple[str, str], ...]
    evidence: tuple[tuple[str, str, str, bool], ...]
    used: bool


def cards(run: Run | None, overlay: Path | None) -> tuple[Card, ...]:
    """All cards; those that this patient's run used come first."""
    used = used_cards(run) if run is not None else frozenset()
    found = [_card(table, used) for _, table in Source(overlay=overlay).toml("model-cards")]
    return tuple(sorted(found, key=lambda c: (not c.used, c.name)))


def used_cards(run: Run) -> frozenset[str]:
    names = {r.equation for r in run.plan.risks}
    keys = {key for name in names for start, key in _NAMES.items() if name.startswith(start)}
    if run.twin.biomarkers and not run.twin.refused:
        keys |= {"twin-filter", "simulation"}
        if "egfr" in run.twin.biomarkers and run.twin.used("egfr"):
            keys.add("ckd-epi-2021")
    return frozenset(keys)


def card_of(equation: str) -> str:
    """The key of the card for an equation's name, "" when there is none."""
    return next((key for start, key in _NAMES.items() if fnmatch(equation, f"{start}*")), "")


def _card(table: dict[str, Any], used: frozenset[str]) -> Card:
    return Card(
        key=str(table["key"]),
        name=str(table["name"]),
        kind=str(table.get("kind", "")),
        fields=tuple((words, str(table[key])) for key, words in _FIELDS if table.get(key)),
        evidence=tuple(_evidence(e) for e in table.get("evidence", [])),
        used=str(table["key"]) in used,
    )


def _evidence(e: dict[str, Any]) -> tuple[str, str, str, bool]:
    return (
        str(e.get("text", "")),
        " ".join(str(e[key]) for key in ("claim", "value") if e.get(key)),
        link(str(e.get("doi", "")), str(e.get("pmid", "")), str(e.get("url", ""))),
        bool(e.get("verified")),
    )


def link(doi: str, pmid: str, url: str) -> str:
    """Where a source can be read; only https (what stands in a knowledge file is no script)."""
    if doi:
        return f"https://doi.org/{doi}"
    if pmid:
        return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
    return url if url.startswith(("https://", "http://")) else ""

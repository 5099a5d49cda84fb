"""What the text coder answers. Light: dataclasses only, so that everybody may import it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["problem", "lab", "drug", "social", "allergy"]
Assertion = Literal["present", "absent", "possible", "historical", "hypothetical", "family"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible code. `score` orders candidates; `confidence` is a calibrated probability of being right."""

    system: str
    code: str
    display: str
    confidence: float
    score: float = 0.0
    matched: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CodingDecision:
    """The answer for one mention in one text.

    span: [start, end) in `text`. chosen: the codes decided on (one per system; for ICD-10-CM the billable code,
    with its heading in `headings`), empty when the coder abstains; then `reason` says why. `method` names the
    path ("exact", "abbreviation", "lexicon", "retrieval", "map", "abstain"); `steps` the record of what was done.
    """

    text: str = field(repr=False)
    kind: Kind
    span: tuple[int, int]
    assertion: Assertion
    chosen: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]
    confidence: float
    method: str
    reason: str = ""
    steps: tuple[str, ...] = field(default=(), repr=False)
    headings: tuple[Candidate, ...] = ()
    release: str = ""
    # ("strength", "10 mg"), ("form", "tablet") ... of a drug; ("seventh-character", "A initial encounter") of a code
    # that needs one; ("additional-code", "C79.51") that belongs beside it; ("conflict", "I10 excludes1 I15") between
    # decisions of one text.
    details: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def abstained(self) -> bool:
        return not self.chosen

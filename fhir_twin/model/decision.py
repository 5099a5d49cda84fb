"""What a person decided on the page, and the changes to the server's resources that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """A clinician's answer to one proposal. item: Recommendation.key; reason: why not, needed to reject; dose: the
    dosage in words when it was edited ("" = as proposed); note: further words, kept with the order."""

    item: str
    action: Literal["accept", "reject"]
    reason: str = ""
    dose: str = ""
    note: str = ""

    @property
    def edited(self) -> bool:
        return bool(self.dose or self.note) and self.action == "accept"


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """One resource before and after. before None: it is new; after None: nothing is sent (note says why). by: whose
    change it is: "twin" (our draft) or "clinician"."""

    type: str
    title: str
    action: str
    before: Json | None
    after: Json | None
    note: str = ""
    by: Literal["twin", "clinician"] = "clinician"

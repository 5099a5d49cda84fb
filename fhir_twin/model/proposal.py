"""What became of what we proposed before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, repr=False)
class Proposal:
    """What became of an earlier proposal of our own; never a fact about the patient (CP-4).

    key: our identifier's value; item: the Recommendation.key it was made for ("" when it was not written down);
    fate: open (still the draft that we wrote), accepted, declined (by somebody else), withdrawn (by ourselves);
    when: of its last change; reason: in the words of who declined it."""

    source: str
    key: str
    type: str
    status: str
    fate: Literal["open", "accepted", "declined", "withdrawn"]
    item: str = ""
    reason: str = ""
    when: datetime | None = None
    by_us: bool = False

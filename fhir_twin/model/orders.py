"""What is said of an order that is about to be signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_twin.model.plan import Citation, Recommendation

Weight = Literal["critical", "warning", "info"]


@dataclass(frozen=True, slots=True, repr=False)
class OrderRemark:
    """One remark on one draft order.

    order: source of the draft ("MedicationRequest/d1"). drug: what is ordered, in words. topic: stable key of what it
    is about, for overrides. kind: contraindicated | allergy | interaction | duplicate | dose | gene | question |
    better | unknown, and of orders that are no drugs also repeat | not-judged. text: with the patient's own facts;
    action: what to do; sources: of the facts. instead: proposals of the plan for the same aim.
    """

    order: str
    drug: str
    topic: str
    kind: str
    weight: Weight
    text: str
    action: str = ""
    citation: Citation | None = None
    sources: tuple[str, ...] = ()
    instead: tuple[Recommendation, ...] = ()

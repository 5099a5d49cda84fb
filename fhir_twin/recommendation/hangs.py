"""Sensitivity of a finding: limits that the patient's own uncertainty reaches across."""

from __future__ import annotations

from fhir_twin.model.rules import Predicate
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.sentence import capital

MOST = 2  # sentences per finding


def near_limits(when: Predicate, case: Case) -> tuple[str, ...]:
    """A sentence for each measured value whose 80 % interval holds a limit of the condition: another measurement may
    turn the conclusion around."""
    words = []
    for leaf in when.leaves():
        now = case.estimate(leaf.key) if leaf.op in ("latest", "estimate") else None
        if now is None:
            continue
        b = leaf.bounds
        for limit in (b.below, b.at_least, b.above, b.at_most):
            if limit is not None and now.low < limit < now.high:
                name, amount = case.words.analyte(leaf.key), case.words.amount
                words.append(
                    f"{capital(name)} is likely between {amount(leaf.key, now.low)} and "
                    f"{amount(leaf.key, now.high)}, on both sides of the limit of "
                    f"{amount(leaf.key, limit)}: another measurement may turn this around."
                )
    return tuple(dict.fromkeys(words))[:MOST]

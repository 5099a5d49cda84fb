"""Three-valued conditions over CodedChart and Twin (Kleene's strong logic).

`holds` answers True, False or None (cannot be told). `evaluate` also says which facts made it so, with their
sources, and which facts were missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_twin.model.coded import CodedChart
from fhir_twin.model.rules import Predicate, Words
from fhir_twin.model.scenario import EventRisk
from fhir_twin.model.twin import Twin
from fhir_twin.rules.kleene import NO, Outcome, all_of, any_of
from fhir_twin.rules.leaves import LEAVES
from fhir_twin.rules.parse import parse
from fhir_twin.rules.view import PatientView, view

NO_WORDS = Words()
Condition = Predicate | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def holds(
    predicate: Condition,
    coded: CodedChart,
    twin: Twin,
    *,
    risks: tuple[EventRisk, ...] = (),
    patient: PatientView | None = None,
) -> bool | None:
    """Does the condition hold for this patient? None = cannot be told from the record.

    predicate: parsed, or the TOML table itself; an empty table always holds. patient: a view made before with
    `view(coded, twin)`, to save making it once for each of many conditions. Raises ValueError for bad syntax."""
    if not isinstance(predicate, Predicate):
        if not predicate:
            return True
        predicate = parse(predicate, "condition")
    return evaluate(predicate, patient or view(coded, twin, risks)).value


def evaluate(predicate: Predicate, patient: PatientView, words: Words = NO_WORDS) -> Outcome:
    """Kleene: "all" is False if any part is, "any" True if any part is, whatever is unknown beside it.

    Each condition is evaluated once per view: rules share their leaves (see parse), and rules are asked of again."""
    key = (id(predicate), id(words))
    known = patient.memo.get(key)
    if known is None:
        # what the ids name is kept with the answer, so that no other object can come to have them
        known = patient.memo[key] = (_evaluate(predicate, patient, words), predicate, words)
    outcome: Outcome = known[0]
    return outcome


def _evaluate(predicate: Predicate, patient: PatientView, words: Words) -> Outcome:
    if predicate.op == "all":
        outcomes = []
        for part in predicate.parts:
            outcome = evaluate(part, patient, words)
            if outcome.value is False:
                return NO
            outcomes.append(outcome)
        return all_of(outcomes)
    if predicate.op == "any":
        return any_of([evaluate(part, patient, words) for part in predicate.parts])
    if predicate.op == "not":
        inner = evaluate(predicate.parts[0], patient, words)
        value = None if inner.value is None else not inner.value
        return Outcome(value, (), inner.missing if value is None else ())
    return LEAVES[predicate.op](predicate, patient, words)

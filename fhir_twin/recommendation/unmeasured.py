"""Proposals whose benefit nobody computed: gaps, tests, screening, advice. A plan that lists all of them is not read,
so there is a limit, and what it cuts off is named in one sentence (alert fatigue)."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_twin.model.plan import Recommendation
from fhir_twin.model.scenario import Question, Rejection
from fhir_twin.recommendation.advice import advice
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.due import due
from fhir_twin.recommendation.earlier import reminded, unanswered
from fhir_twin.recommendation.questions import tests


@dataclass(frozen=True, slots=True, repr=False)
class Unmeasured:
    """proposals: what is shown; answered: what was declined or ordered a short while ago; left_out: a sentence."""

    proposals: tuple[Recommendation, ...]
    answered: tuple[Rejection, ...]
    left_out: str


def unmeasured(
    before: tuple[Recommendation, ...], questions: tuple[Question, ...], safety_only: bool, case: Case
) -> Unmeasured:
    """before: what stands above them. Gaps first, then tests that questions ask for, screening, advice.
    safety_only: tests alone."""
    ranking = case.guidelines.ranking
    made: list[Recommendation] = []
    refused: list[Rejection] = []

    def add(found: tuple[Recommendation, ...], most: int | None = None) -> None:
        kept, silent = unanswered(found, case)
        made.extend(kept[:most])
        refused.extend(silent)

    def following() -> int:
        return len(before) + len(made) + 1

    if not safety_only:
        add(due(tuple(gap for gap in case.guidelines.gaps if gap.order >= 0), following(), case))
    add(tests(questions, following(), case))
    if not safety_only:
        ordered = {coding.code for r in (*before, *made) for coding in r.code.codings}
        fresh = tuple(r for r in case.guidelines.screening if r.code is None or r.code.code not in ordered)
        add(due(fresh, following(), case), ranking.most_due)
        simulated = {choice.intervention for t in case.trajectories for choice in t.scenario.choices}
        add(tuple(r for r in advice(case, following()) if r.key not in simulated))
    shown = tuple(reminded(r, case) for r in made[: ranking.most_unmeasured])
    return Unmeasured(shown, tuple(refused), _left_out(made[ranking.most_unmeasured :]))


def _left_out(cut: list[Recommendation]) -> str:
    titles = "; ".join(dict.fromkeys(r.title for r in cut))
    return f"Also due, left out to keep the list short: {titles}." if cut else ""

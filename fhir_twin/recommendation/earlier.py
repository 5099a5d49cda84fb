"""Earlier answers: what a clinician declined or accepted is not proposed again as if nobody had looked at it.

Everything here is decided from the record alone (dates of the answers against as_of), so that a second run on the same
day says the same. Limits and times: mappings/guidelines/ranking.toml, [answers].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fhir_twin.model.chart import Proposal
from fhir_twin.model.intervention import Intervention
from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.model.scenario import Rejection, Scenario
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.option import Option

WITHDRAWN_OR_OPEN = ("open", "withdrawn")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What was last answered to one proposal. rounds: how often it was declined; until: not proposed before ("" in
    words: no date is recorded); moved: what has changed since, in words; "" when nothing did."""

    last: Proposal
    rounds: int
    until: datetime | None
    moved: str = ""

    @property
    def declined(self) -> bool:
        return self.last.fate == "declined"

    def silences(self, as_of: datetime) -> bool:
        """True while it is not to be proposed again."""
        return not self.moved and (self.until is None or as_of < self.until)

    @property
    def words(self) -> str:
        """ "declined earlier on 2026-02-01 (patient prefers not to)"."""
        on = f" on {self.last.when.date()}" if self.last.when else " (date not recorded)"
        if not self.declined:
            return f"accepted earlier{on}; the order is {self.last.status}"
        return f"declined earlier{on} ({self.last.reason or 'no reason given'})"


def answer(key: str, kind: str, case: Case, intervention: Intervention | None = None) -> Answer | None:
    """The last answer to the proposal `key`; None when nobody answered. An accepted drug needs none: it is in the
    record as taken."""
    given = [p for p in case.coded.chart.proposals if p.item == key and p.fate not in WITHDRAWN_OR_OPEN]
    if not given:
        return None
    last = max(given, key=_moment)
    rounds = sum(p.fate == "declined" for p in given)
    rule = case.guidelines.answers
    if last.fate == "accepted":
        if kind in ("medication", "stop"):
            return Answer(last, rounds, datetime.min.replace(tzinfo=case.as_of.tzinfo))
        return Answer(last, rounds, _after(last, rule.accepted_days))
    until = _after(last, rule.days.get(kind, 0))
    return Answer(last, rounds, until, _moved(intervention, last, case) if intervention else "")


def answered(options: Iterable[Option], case: Case) -> tuple[tuple[Option, ...], tuple[Rejection, ...]]:
    """Options that may be proposed, and those that were declined a short while ago."""
    kept: list[Option] = []
    refused: list[Rejection] = []
    for option in options:
        item = option.intervention
        found = answer(item.key, item.kind, case, item)
        if found is None or not found.silences(case.as_of) or item.kind in case.guidelines.answers.always:
            kept.append(option)
        else:
            refused.append(_rejection(option.trajectory.scenario, found, bool(_watched(item, case))))
    return tuple(kept), tuple(refused)


def unanswered(
    proposals: Iterable[Recommendation], case: Case
) -> tuple[tuple[Recommendation, ...], tuple[Rejection, ...]]:
    """The same for proposals that were not simulated (tests, screening, gaps, advice)."""
    kept: list[Recommendation] = []
    refused: list[Rejection] = []
    for proposal in proposals:
        found = answer(proposal.key, proposal.kind, case)
        if found is None or not found.silences(case.as_of):
            kept.append(proposal)
        else:
            refused.append(_rejection(Scenario(proposal.key, proposal.title), found, False))
    return tuple(kept), tuple(refused)


def reminded(proposal: Recommendation, case: Case, *, danger: bool = False) -> Recommendation:
    """A proposal that was declined before says so, and is another resource than the declined one. A danger is named
    all the same and keeps its resource: whoever declined it is not asked again and again."""
    item = case.interventions.find(proposal.key)
    found = answer(proposal.key, proposal.kind, case, item)
    if found is None or not found.declined:
        return proposal
    again = found.moved or "the time set for asking again has passed"
    if danger:
        return replace(proposal, why=(*proposal.why, Reason(f"It was {found.words}; the danger remains.")))
    words = f"It was {found.words}. Proposed again because {again}."
    return replace(proposal, why=(*proposal.why, Reason(words)), round=found.rounds + 1)


def lapsed(proposals: Iterable[Recommendation], case: Case) -> str:
    """A sentence about drafts that nobody answered for long; "" when there are none."""
    days = timedelta(days=case.guidelines.answers.lapsed_days)
    titles = {r.key: r.title for r in proposals}
    found = [
        f"{titles[p.item]} ({p.when.date()})"
        for p in sorted(case.coded.chart.proposals, key=lambda p: (p.item, p.key))
        if p.fate == "open" and p.item in titles and p.when is not None and p.when + days <= case.as_of
    ]
    listed = "; ".join(dict.fromkeys(found))
    return f"Proposed long ago and neither accepted nor declined: {listed}." if found else ""


def _moment(proposal: Proposal) -> tuple[bool, float, str]:
    when = proposal.when
    return (when is not None, when.timestamp() if when else 0.0, proposal.key)


def _after(proposal: Proposal, days: int) -> datetime | None:
    return None if proposal.when is None else proposal.when + timedelta(days=days)


def _rejection(scenario: Scenario, found: Answer, watched: bool) -> Rejection:
    words = found.words[:1].upper() + found.words[1:]
    if found.until is None:
        return Rejection(scenario, "answered", "declined", f"{words}.", (found.last.source,))
    if not found.declined:
        reason = f"{words}. Not proposed a second time before {found.until.date()}."
        return Rejection(scenario, "answered", "already-ordered", reason, (found.last.source,))
    sooner = ", or sooner if the values it rests on get clearly worse" if watched else ""
    reason = f"{words}. Not proposed again before {found.until.date()}{sooner}."
    return Rejection(scenario, "answered", "declined", reason, (found.last.source,))


def _watched(item: Intervention, case: Case) -> tuple[str, ...]:
    """Analytes that the option rests on and whose change reopens the question."""
    leaves = item.indication.leaves() if item.indication else ()
    keys = [leaf.key for leaf in leaves if leaf.op in ("estimate", "latest")]
    keys += [effect.biomarker for effect in item.effects]
    return tuple(key for key in case.guidelines.answers.moved if key in keys)


def _moved(item: Intervention, last: Proposal, case: Case) -> str:
    """What got worse since the answer: a value by the limit of the rule, or a disease that it is meant for."""
    when = last.when
    if when is None:
        return ""
    for key in _watched(item, case):
        points = [p for p in case.patient.points.get(key, ()) if p.time is not None and p.bound is None]
        before = [p.value for p in points if p.time is not None and p.time <= when]
        since = [p.value for p in points if p.time is not None and p.time > when]
        limit = case.guidelines.answers.moved[key]
        if before and since and (since[-1] - before[-1]) * (1 if limit > 0 else -1) >= abs(limit):
            words = case.words
            return f"{words.analyte(key)} went from {words.number(key, before[-1])} to {words.amount(key, since[-1])}"
    leaves = item.indication.leaves() if item.indication else ()
    groups = {*item.addresses, *(leaf.key for leaf in leaves if leaf.op == "has")}
    for problem in case.coded.problems:
        begun = problem.problem.recorded or problem.problem.onset
        fresh = problem.assertion == "present" and begun is not None and begun > when
        if fresh and groups & problem.groups:
            return "a disease that it is meant for has been added to the record since"
    return ""

"""In which order: what to do first, what to start, what to check then, and what comes next if it is not enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_twin.model.guidelines import Aim, DueRule
from fhir_twin.model.plan import Reason, Recommendation
from fhir_twin.model.scenario import Rejection
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.joint import together_words
from fhir_twin.recommendation.sentence import bare, small

NAMED = 5  # titles named in one step; a longer list is not read


def confirmed_first(proposals: Iterable[Recommendation], case: Case) -> tuple[Recommendation, ...]:
    """Drugs of an aim whose disease is not confirmed yet say so: the test comes first."""
    made = tuple(proposals)
    shown = {r.key for r in made}
    tests = [gap for gap in case.guidelines.gaps if gap.confirms and gap.key in shown]
    return tuple(
        replace(r, cautions=(*first, *r.cautions)) if (first := _first(r, tests, case)) else r for r in made
    )


def _first(rec: Recommendation, tests: list[DueRule], case: Case) -> tuple[Reason, ...]:
    if rec.kind != "medication" or rec.stop or not tests:
        return ()
    aims = {aim.key for aim in case.guidelines.aims if _serves(rec, aim, case)}
    return tuple(
        Reason(f"Not before the diagnosis is confirmed: {small(gap.title)}.")
        for gap in tests
        if aims & set(gap.confirms)
    )


def _serves(rec: Recommendation, aim: Aim, case: Case) -> bool:
    item = case.interventions.find(rec.key)
    return item is not None and (item.key in aim.interventions or bool(aim.classes & set(item.classes)))


def sequence(
    proposals: tuple[Recommendation, ...], rejected: Iterable[Rejection], case: Case
) -> tuple[str, ...]:
    """The steps as sentences, the first first; () when there is only one."""
    urgent = {gap.key for gap in case.guidelines.gaps if gap.order < 0}
    gaps = {gap.key for gap in case.guidelines.gaps}
    now = [r for r in proposals if r.stop or r.key.startswith("lower-") or r.key in urgent]
    rest = [r for r in proposals if r not in now]
    tests = [r for r in rest if r.kind == "test" or (r.key in gaps and r.kind == "referral")]
    drugs = [r for r in rest if r.kind == "medication"]
    habits = [r for r in rest if r.kind == "lifestyle"]
    others = [r for r in rest if r not in (*tests, *drugs, *habits)]
    steps = (
        _step("Now", now),
        _step("Before anything is started", tests),
        _step("Start", drugs, together_words(drugs, case)),
        _step("From the first day on", habits),
        _checks(drugs),
        *_next(rejected, case),
        _step("When the above is settled", others),
    )
    found = tuple(step for step in steps if step)
    return found if len(found) > 1 else ()


def _step(when: str, what: Iterable[Recommendation], more: str = "") -> str:
    titles = list(dict.fromkeys((bare if when == "Start" else small)(r.title) for r in what))
    if not titles:
        return ""
    beyond = f"; and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
    return f"{when}: {'; '.join(titles[:NAMED])}{beyond}.{f' {more}' if more else ''}"


def _checks(drugs: list[Recommendation]) -> str:
    checks = list(dict.fromkeys(text for r in drugs for text in r.monitoring[:1]))
    return f"Then check: {'; '.join(checks[:NAMED])}." if checks else ""


def _next(rejected: Iterable[Rejection], case: Case) -> tuple[str, ...]:
    """Per aim what was kept for later, in the order in which it would help."""
    waiting: dict[str, list[str]] = {}
    for r in rejected:
        if r.kind == "next-step" and len(r.scenario.choices) == 1:
            title = case.interventions.get(r.scenario.choices[0].intervention).title
            waiting.setdefault(r.rule.removeprefix("aim-"), []).append(bare(title))
    return tuple(
        f"{aim.next.rstrip('.')}: {' or '.join(dict.fromkeys(waiting[aim.key]))}."
        for aim in case.guidelines.aims
        if aim.key in waiting
    )

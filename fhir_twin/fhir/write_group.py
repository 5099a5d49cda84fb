"""RequestGroup: proposals that are tied (equal rank), offered as a choice from one activity (PR-5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fhir_twin.fhir.write_context import Context, refer
from fhir_twin.fhir.write_elements import compact, line, note
from fhir_twin.fhir.write_requests import request_identity
from fhir_twin.model.plan import Recommendation

Json = dict[str, Any]


def ranked(recommendations: Sequence[Recommendation]) -> list[tuple[Recommendation, ...]]:
    """Groups of equal rank, best first; inside a group by key."""
    ordered = sorted(recommendations, key=lambda r: (r.rank, r.key))
    return [tuple(group) for _, group in groupby(ordered, key=lambda r: r.rank)]


def is_choice(group: Sequence[Recommendation]) -> bool:
    """Two or more tied proposals to start something form a choice; "stop" is never a matter of choice."""
    return len(group) > 1 and not any(r.stop or r.kind == "stop" for r in group)


def group_item(group: Sequence[Recommendation]) -> str:
    return "choice/" + "+".join(sorted(r.key for r in group))


def choice_words(group: Sequence[Recommendation]) -> str:
    if _alternatives(group):
        return "Equally good options for the same goal: start with at most one."
    return "These proposals are tied: the simulation cannot tell which is better. Any of them may be chosen."


def write_group(group: Sequence[Recommendation], context: Context) -> Json:
    """at-most-one where the options serve the same goal by the same means; any where they are merely tied."""
    words = choice_words(group)
    actions = [
        {"title": line(r.title), "resource": refer(request_identity(r, context), line(r.title))}
        for r in group
    ]
    choice = {
        "title": words,
        "groupingBehavior": "logical-group",
        "selectionBehavior": "at-most-one" if _alternatives(group) else "any",
        "action": actions,
    }
    return compact(
        {
            **context.start("RequestGroup", group_item(group)),
            "status": "draft",
            "intent": "proposal",
            "subject": context.subject,
            "authoredOn": context.when,
            "author": refer(context.device, "fhir-twin"),
            "note": note(words),
            "action": [choice],
        }
    )


def _alternatives(group: Sequence[Recommendation]) -> bool:
    shared = set(group[0].goals).intersection(*(set(r.goals) for r in group[1:]))
    return bool(shared) and len({r.kind for r in group}) == 1

"""Several options together: what the simulated combinations of shown options would do."""

from __future__ import annotations

from fhir_twin.model.plan import Recommendation
from fhir_twin.model.scenario import Trajectory
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.option import Option
from fhir_twin.recommendation.rank import counted
from fhir_twin.recommendation.sentence import bare, small


def joint_words(shown: tuple[Option, ...], case: Case) -> dict[str, tuple[str, ...]]:
    """intervention key -> a sentence for every simulated combination of it with other shown options."""
    choices = {option.choice for option in shown}
    found: dict[str, list[str]] = {}
    for trajectory in case.trajectories:
        members = trajectory.scenario.choices
        if len(members) < 2 or not set(members) <= choices:
            continue
        saved = _saved(trajectory, case)
        for choice in members if saved else ():
            others = [case.interventions.get(c.intervention).title for c in members if c != choice]
            names = " and ".join(small(title) for title in others)
            found.setdefault(choice.intervention, []).append(
                f'Together with "{names}": about {saved:.0f} events avoided per 1,000 people in 10 years.'
            )
    return {key: tuple(texts) for key, texts in found.items()}


def together_words(drugs: list[Recommendation], case: Case) -> str:
    """What the largest simulated combination of these drugs would do: one sentence, "" without one."""
    keys = {r.key for r in drugs}
    found = [
        (len(t.scenario.choices), _saved(t, case), t)
        for t in case.trajectories
        if len(t.scenario.choices) > 1 and {c.intervention for c in t.scenario.choices} <= keys
    ]
    if not found:
        return ""
    _, saved, best = max(found, key=lambda item: (item[0], item[1], item[2].scenario.key))
    if not saved:
        return ""
    names = " and ".join(bare(case.interventions.get(c.intervention).title) for c in best.scenario.choices)
    return f"Together ({names}): about {saved:.0f} events avoided per 1,000 people in 10 years."


def _saved(trajectory: Trajectory, case: Case) -> float:
    ranking = case.guidelines.ranking
    changes = counted(trajectory.changes, ranking)
    events = sum(ranking.weights[c.outcome] * c.difference for c in changes)
    return -1000 * events if events < -ranking.least_events else 0.0

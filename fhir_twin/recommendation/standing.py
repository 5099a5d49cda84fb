"""How a proposal stands among the others: best how often, net harm, regret, ties, Pareto, preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fhir_twin.model.plan import Recommendation
from fhir_twin.recommendation.case import Case
from fhir_twin.recommendation.compare import Comparison
from fhir_twin.recommendation.option import Option
from fhir_twin.recommendation.wishes import dominated


@dataclass(frozen=True, slots=True, repr=False)
class Field:
    """All options that were compared, and the ranks of those shown (intervention key -> rank)."""

    comparisons: Mapping[str, Comparison]
    options: tuple[Option, ...]
    ranks: Mapping[str, int]


def standing(made: Recommendation, option: Option, field: Field, case: Case) -> Recommendation:
    """The recommendation with its place among the others, in numbers and in words."""
    found = field.comparisons.get(option.key)
    pareto, better = dominated(option, field.options, case)
    shown = better is not None and better.intervention.key in field.ranks
    words: tuple[str, ...] = ()
    if better is not None and not shown:
        words = (
            f'"{better.intervention.title}" is at least as good in every respect that is compared here.',
        )
    tied = tuple(k for k, r in field.ranks.items() if r == made.rank and k != made.key)
    return replace(
        made,
        probability_best=found.best if found else None,
        probability_harm=found.harm if found else None,
        regret=found.regret if found else None,
        pareto=pareto,
        preference=_wishes(option),
        tied=tied,
        alternatives=(*made.alternatives, *words),
    )


def _wishes(option: Option) -> tuple[str, ...]:
    return tuple(
        f"The patient asks for {wish}; this option is at odds with it, so it stands lower than its benefit alone "
        "would place it."
        for wish in option.wishes
    )

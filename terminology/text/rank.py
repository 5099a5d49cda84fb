"""Weights of the score and the calibration from score to probability. Numbers: ranking.toml and
confidence.toml of mappings/lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from terminology.text.index import SOURCES
from terminology.text.trees import Trees

if TYPE_CHECKING:
    from terminology.text.problems import Ranked


class Tables(Protocol):
    """The part of mappings.Source needed here."""

    def toml(self, folder: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Weights:
    """extra: what unasked words cost at most; extra_scale: how soon; source: a bonus for each source of terms."""

    extra: float = 0.35
    extra_scale: float = 0.5
    source: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(len(SOURCES), np.float32))
    abstain: float = 0.35
    exact: float = 0.985  # probability of an exact text
    by_rule: float = 0.85  # and of a code that follows from one by a rule (history, family)
    trees: Trees | None = None  # everything else


def load_weights(source: Tables) -> Weights:
    """From lexicon/ranking.toml and confidence.toml; the defaults above where they are absent. Raises ValueError."""
    tables = dict(source.toml("lexicon"))
    table, trees = tables.get("ranking.toml"), tables.get("confidence.toml")
    if table is None:
        return Weights()
    bonus = np.array([float(table["source"].get(s, 0.0)) for s in SOURCES], np.float32)
    score, exact = table["score"], table["exact"]
    return Weights(
        float(score["extra"]), float(score["extra_scale"]), bonus, float(score["abstain"]),
        float(exact["text"]), float(exact["by_rule"]), Trees(trees) if trees else None,
    )  # fmt: skip


def confidence(ranked: Ranked, facts: Sequence[float], weights: Weights) -> float:
    """Probability that the first answer is right, in [.01, .99]. `facts`: values of evidence.NAMES, empty for an exact
    text."""
    if not facts:
        return weights.exact if ranked.method == "exact" else weights.by_rule
    if weights.trees is None:
        return min(0.99, max(0.01, ranked.leaves[0].score * ranked.covered * ranked.prior))
    return min(0.99, max(0.01, weights.trees.probability(facts)))

"""Weights of the score and the calibration from score to probability. Numbers: mappings/lexicon/ranking.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from terminology.text.index import SOURCES


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
    calibration: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the confidence is computed from. All in 0..1 but `tokens`."""

    score: float
    margin: float
    covered: float
    prior: float  # of the senses of abbreviations
    repaired: float  # share of tokens that were repaired
    default_child: bool  # the coding rules chose below what was said
    tokens: int
    headed: bool = True  # a word of the phrase can name a problem by itself
    head_missing: bool = False  # the term has such a word that the phrase lacks
    extra: float = 0.0  # what the term's unasked words cost
    known: bool = False  # the term is a hand-written phrase, not one of the code system's


def load_weights(source: Tables) -> Weights:
    """From lexicon/ranking.toml; the defaults above where it is absent."""
    for name, table in source.toml("lexicon"):
        if name == "ranking.toml":
            bonus = np.array([float(table["source"].get(s, 0.0)) for s in SOURCES], np.float32)
            score = table["score"]
            return Weights(
                float(score["extra"]), float(score["extra_scale"]), bonus, float(score["abstain"]),
                table.get("calibration", {}),
            )  # fmt: skip
    return Weights()


def confidence(evidence: Evidence, method: str, weights: Weights) -> float:
    """Probability of being right: a logistic model of the evidence, fitted per method, in [.01, .99]."""
    model = weights.calibration.get(method) or weights.calibration.get("retrieval") or _FALLBACK
    total = model.get("intercept", 0.0) + sum(
        model.get(name, 0.0) * value for name, value in features(evidence)
    )
    return min(0.99, max(0.01, 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))))


def features(evidence: Evidence) -> tuple[tuple[str, float], ...]:
    """Named features of the calibration model; also used by the fit in benchmarks/."""
    return (
        ("score", evidence.score),
        ("score_top", max(0.0, evidence.score - 0.93)),
        ("score_low", max(0.0, 0.7 - evidence.score)),
        ("margin", min(evidence.margin, 0.5)),
        ("margin_low", max(0.0, 0.1 - evidence.margin)),
        ("covered", evidence.covered),
        ("prior", evidence.prior),
        ("repaired", evidence.repaired),
        ("default_child", float(evidence.default_child)),
        ("one_token", float(evidence.tokens <= 1)),
        ("length", min(evidence.tokens, 8) / 8.0),
        ("full", float(evidence.covered > 0.999)),
        ("full_length", min(evidence.tokens, 8) / 8.0 if evidence.covered > 0.999 else 0.0),
        ("lone_gap", (1.0 - evidence.score) if evidence.tokens <= 1 else 0.0),
        ("extra", min(evidence.extra, 2.0)),
        ("known", float(evidence.known)),
        ("known_full", float(evidence.known and evidence.covered > 0.999)),
        ("headless", float(not evidence.headed)),
        ("head_missing", float(evidence.head_missing)),
        ("no_head", float(evidence.head_missing and not evidence.headed)),
        ("repaired_gap", (1.0 - evidence.score) * evidence.repaired),
    )


_FALLBACK = {"intercept": -6.0, "score": 7.0, "margin": 4.0, "covered": 2.0, "prior": 1.0, "repaired": -1.0}

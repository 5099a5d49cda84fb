"""Replicas of published trials: does what we know give back what they found?

A replica has the published control rate, arm sizes and follow-up; the effect comes from our own knowledge
(trial ratio per
unit of a biomarker, or an intervention's class ratio), with its uncertainty and onset. Predicted: the hazard
ratio such a
trial would find, with the middle 95 % over replicates. Met: the prediction's centre lies inside the published
interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhir_twin.dynamics.effects import full_effect
from fhir_twin.errors import InvalidInput
from fhir_twin.knowledge import Knowledge
from fhir_twin.population import statistics as st
from fhir_twin.population.statistics import Interval
from fhir_twin.population.trial_protocol import Protocol, Published, Replica

Array = NDArray[np.float64]
STEPS = 24  # pieces of the follow-up in which the hazard is constant


@dataclass(frozen=True, slots=True)
class Replicated:
    """effect: hazard ratio averaged over the follow-up, uncertainty of our knowledge only; trial: what a trial of this
    size would find (sampling on top); events: (control, treated) mean numbers."""

    key: str
    title: str
    published: Published
    effect: Interval
    trial: Interval
    events: tuple[float, float]
    basis: str

    @property
    def met(self) -> bool:
        return self.published.low <= self.effect.value <= self.published.high


def replicate(protocol: Protocol, knowledge: Knowledge) -> Replicated:
    """Raises InvalidInput when our knowledge holds no ratio for what the replica does."""
    replica, published = protocol.replica, protocol.published
    assert replica is not None and published is not None
    log_ratio, log_se, onset, boost, basis = _ratio(protocol.primary, replica, knowledge)
    rng = np.random.default_rng(np.random.SeedSequence([protocol.seed, len(protocol.key)]))
    edges = np.linspace(0.0, protocol.follow_up, STEPS + 1)
    middle = (edges[1:] + edges[:-1]) / 2.0
    shape = boost * (-np.expm1(-middle / onset) if onset > 0 else np.ones(STEPS))
    control, treated = replica.arms
    effects, found, events = [], [], []
    for _ in range(protocol.replicates):
        ratio = np.exp((log_ratio + log_se * rng.standard_normal()) * shape)
        effects.append(float(ratio.mean()))
        years, event = _times(rng, replica.control_rate / 100.0, ratio, edges, control, treated)
        arm = np.concatenate([np.zeros(control), np.ones(treated)])
        fit = st.cox(arm[:, None], years, event)
        found.append(float(np.exp(fit.beta[0])))
        events.append((event[:control].sum(), event[control:].sum()))
    mean = np.array(events, dtype=float).mean(axis=0)
    return Replicated(
        protocol.key, protocol.title, published, _interval(effects), _interval(found), (float(mean[0]), float(mean[1])),
        basis,
    )  # fmt: skip


def _interval(values: list[float]) -> Interval:
    middle, low, high = np.quantile(values, [0.5, 0.025, 0.975])
    return Interval(float(middle), float(low), float(high))


def _times(
    rng: np.random.Generator, rate: float, ratio: Array, edges: Array, control: int, treated: int
) -> tuple[Array, Array]:
    """Event times by inverting the cumulative hazard, piecewise linear; censored at the end of follow-up."""
    width = np.diff(edges)
    parts = []
    for size, hazard in ((control, np.full(len(width), rate)), (treated, rate * ratio)):
        total = np.concatenate([[0.0], np.cumsum(hazard * width)])
        drawn = rng.standard_exponential(size)
        parts.append(np.where(drawn < total[-1], np.interp(drawn, total, edges), np.inf))
    when = np.concatenate(parts)
    return np.minimum(when, edges[-1]), np.isfinite(when).astype(float)


def _ratio(outcome: str, replica: Replica, knowledge: Knowledge) -> tuple[float, float, float, float, str]:
    """(log ratio, its standard error, onset in years, boost to the full effect, in words what it rests on)."""
    if replica.biomarker:
        for row in knowledge.outcomes.trial_ratios:
            if row.biomarker == replica.biomarker and row.outcome == outcome:
                units = replica.change / row.per
                se = (np.log(row.high) - np.log(row.low)) / (2 * 1.959963984540054)
                words = f"{row.ratio:g} per {row.per:g} in {row.biomarker} ({row.evidence.text})"
                return (
                    float(np.log(row.ratio) * units),
                    float(se * abs(units)),
                    row.onset_years,
                    full_effect(row.onset_years, row.follow_up_years),
                    words,
                )
        raise InvalidInput(f"no trial ratio of {outcome} for {replica.biomarker}")
    item = knowledge.interventions.get(replica.intervention)
    groups = set(replica.groups)
    for e in item.events:
        fits = (
            set(e.groups_all) <= groups
            and (not e.groups_any or groups & set(e.groups_any))
            and not groups & set(e.groups_none)
        )
        if e.outcome == outcome and not e.via and fits:
            se = (np.log(e.high) - np.log(e.low)) / (2 * 1.959963984540054)
            words = f"{item.title}: class ratio {e.ratio:g} ({e.low:g} to {e.high:g})"
            boost = full_effect(e.onset_years, e.follow_up_years)
            return float(np.log(e.ratio)), float(se), e.onset_years, boost, words
    raise InvalidInput(f"no verified ratio of {outcome} for {replica.intervention} in these people")

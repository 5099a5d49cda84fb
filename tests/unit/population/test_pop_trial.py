"""In-silico trials: what must come out is known (no effect, a known effect, published trials, closed forms)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from population_cohort import Ran

import mappings
from fhir_twin.errors import InvalidInput, NotEnoughData
from fhir_twin.knowledge import Knowledge
from fhir_twin.population.executors import InProcess
from fhir_twin.population.trial_protocol import protocol_of, read_protocol
from fhir_twin.population.trial_published import replicate
from fhir_twin.population.trial_report import published_html, trial_html
from fhir_twin.population.trial_run import run_trial
from fhir_twin.population.trial_simulate import Candidates, Design, simulate_events, simulate_means

SHIPPED = sorted((Path(mappings.__file__).parent / "trials").glob("*.toml"))
DESIGN = Design(5.0, 3000, 120, 1, 0.05, 0.9, 0.0, True, 0.5)


def _people(ratio: float, n: int = 2000, spread: float = 1.0) -> Candidates:
    """Log-normal hazards; the arm multiplies each one's hazard by `ratio`."""
    rng = np.random.default_rng(4)
    hazard = 0.1 * np.exp(spread * rng.standard_normal(n))
    control, after = -np.expm1(-hazard), -np.expm1(-hazard * ratio)
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    return Candidates(control, np.repeat((after - control)[:, None], 4, axis=1), np.zeros(n), {"sex": sex})


def test_without_an_effect_the_ratio_is_one_and_power_is_alpha() -> None:
    found = simulate_events("cvd", "nothing", _people(1.0), replace(DESIGN, replicates=400))
    assert found.unadjusted.ratio.value == pytest.approx(1.0, abs=0.03)
    assert found.unadjusted.power == pytest.approx(0.025, abs=0.02)  # one side of 5 %
    assert found.difference.value == pytest.approx(0.0, abs=1e-12)


def test_a_known_ratio_is_found_and_adjustment_finds_the_conditional_one() -> None:
    found = simulate_events("cvd", "drug", _people(0.6, spread=1.5), DESIGN)
    assert found.adjusted is not None
    assert found.adjusted.ratio.value == pytest.approx(0.6, abs=0.03)
    assert 0.6 < found.unadjusted.ratio.value < 0.75, (
        "unadjusted ratios are drawn towards one by heterogeneity"
    )
    assert found.adjusted.power >= found.unadjusted.power - 0.02
    for _, _, n, ratio in found.subgroups:
        assert n > 900 and ratio.value == pytest.approx(0.6, abs=1e-6)


def test_schoenfeld_size_gives_its_power() -> None:
    who = _people(0.75, spread=0.0)
    needed = simulate_events("cvd", "drug", who, replace(DESIGN, participants=20_000, replicates=40)).needed
    assert needed is not None
    again = simulate_events(
        "cvd", "drug", who, replace(DESIGN, participants=needed, replicates=300, adjust=False)
    )
    assert again.unadjusted.power == pytest.approx(0.9, abs=0.05)


def test_death_and_dropout_take_events_away() -> None:
    who = _people(0.8)
    busy = simulate_events(
        "cvd", "drug", replace(who, death=np.full(2000, 0.4)), replace(DESIGN, dropout=0.1)
    )
    assert sum(busy.events) < 0.85 * sum(simulate_events("cvd", "drug", who, DESIGN).events)


def test_the_prognostic_covariate_saves_what_theory_says() -> None:
    """Forecasts with spread s and unknown rest r: the adjusted variance is r^2 / (s^2 + r^2) of the plain one."""
    rng = np.random.default_rng(2)
    mean, rest = 100 + 15 * rng.standard_normal(3000), np.full(3000, 20.0)
    found = simulate_means("biomarker:ldl", "drug", (mean, rest), (mean - 10, rest), DESIGN)
    assert found.difference.value == pytest.approx(-10, abs=0.5)
    assert found.saved == pytest.approx(15**2 / (15**2 + 20**2), abs=0.03)
    assert found.power_adjusted >= found.power


@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_published_trials(path: Path, knowledge: Knowledge) -> None:
    protocol = replace(read_protocol(path, knowledge.interventions), replicates=30)
    found = replicate(protocol, knowledge)
    rates = -math.log1p(-found.events[0] / protocol.replica.arms[0]) / protocol.follow_up  # type: ignore[union-attr]
    assert 100 * rates == pytest.approx(protocol.replica.control_rate, rel=0.06)  # type: ignore[union-attr]
    assert found.met != (path.stem == "jupiter"), (
        "JUPITER was stopped early for benefit and is the known miss"
    )


def test_the_published_report_names_what_it_misses(knowledge: Knowledge) -> None:
    found = [
        replicate(replace(read_protocol(p, knowledge.interventions), replicates=10), knowledge)
        for p in SHIPPED
    ]
    html = published_html(found, [("knowledge", "k")])
    assert "Missed: JUPITER" in html and "circular" in html


TRIAL: dict[str, Any] = {
    "title": "T",
    "follow_up": 5.0,
    "primary": "cvd",
    "secondary": ["biomarker:ldl"],
    "participants": 200,
    "replicates": 10,
    "subgroups": ["sex", "age"],
}
STATIN: dict[str, Any] = {
    "trial": TRIAL,
    "eligibility": {"age": [35, 79], "not_taking": ["statin"]},
    "arm": [
        {"name": "usual care"},
        {"name": "statin", "choices": [{"intervention": "statin", "dose": "high"}]},
    ],
}


def test_a_trial_on_a_cohort(ran: Ran, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = protocol_of("statin", STATIN, knowledge.interventions)
    with pytest.raises(NotEnoughData, match="a trial needs 20"):
        run_trial(ran.out, protocol, InProcess())
    monkeypatch.setattr("fhir_twin.population.trial_run.FEWEST", 3)
    found = run_trial(ran.out, protocol, InProcess())
    assert 3 <= found.usable <= found.eligible <= found.screened
    [event], [mean] = found.events, found.means
    assert event.expected[1] < event.expected[0] and event.difference.high < 0
    assert mean.difference.value < -20
    assert "What this does not show" in trial_html(found, [])
    again = run_trial(ran.out, protocol, InProcess())
    assert again.events[0].unadjusted == event.unadjusted, "the same protocol gives the same numbers"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trial": {**STATIN["trial"], "folow_up": 3}}, "folow_up"),
        ({"trial": {**STATIN["trial"], "follow_up": 40}}, "follow_up"),
        ({"trial": {"title": "T", "follow_up": 5}}, "primary"),
        ({"arm": STATIN["arm"][:1]}, "two arms"),
        ({"arm": [STATIN["arm"][1], STATIN["arm"][1]]}, "control"),
        (
            {"arm": [{"name": "a"}, {"name": "b", "choices": [{"intervention": "leeches"}]}]},
            "unknown intervention",
        ),
        ({"arm": [{"name": "a", "share": 0.9}, STATIN["arm"][1]]}, "add up"),
        ({"eligibility": {"height": [1, 2]}}, "eligibility.height"),
        ({"eligibility": {"age": [1]}}, "protocol"),
        ({"published": {"ratio": 1}}, "low"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_by_name(
    change: dict[str, Any], words: str, knowledge: Knowledge
) -> None:
    with pytest.raises(InvalidInput, match=words):
        protocol_of("x", {**STATIN, **change}, knowledge.interventions)

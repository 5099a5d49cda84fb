"""The knowledge of the simulation: complete, cited, one route per event, wrong files refused by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_twin.model.intervention import Interventions, Outcomes
from fhir_twin.simulation import load_interventions, load_outcomes
from mappings import ROOT, Source

WANTED = (
    "ace-inhibitor arb ccb-dhp thiazide beta-blocker statin ezetimibe metformin sglt2-inhibitor glp1-ra finerenone "
    "smoking-cessation weight-loss exercise salt-reduction dash-diet"
)


def test_every_wanted_intervention_is_there(interventions: Interventions) -> None:
    keys = {item.key for item in interventions.items}
    assert set(WANTED.split()) <= keys


def test_no_unverified_number_is_used(interventions: Interventions, outcomes: Outcomes) -> None:
    """Evidence with verified = false must not reach advice."""
    for item in interventions.items:
        used = {k for e in (*item.effects, *item.events) for k in e.evidence}
        assert all(item.cite(k).verified for k in used), item.key
    assert all(r.evidence.verified for r in outcomes.trial_ratios)


def test_each_event_has_one_route(interventions: Interventions, outcomes: Outcomes) -> None:
    known = {(r.biomarker, r.outcome) for r in outcomes.trial_ratios}
    for item in interventions.items:
        assert item.route, item.key
        for event in item.events:
            if event.via:
                assert event.ratio == 1.0, item.key
                assert (event.via, event.outcome) in known, (item.key, event.outcome)
                assert any(e.biomarker == event.via for e in item.effects), (item.key, event.via)


def test_drugs_are_orderable(interventions: Interventions) -> None:
    """A proposal for a class is a named drug with its RxCUI; another option with an effect has a SNOMED CT code."""
    for item in interventions.items:
        assert item.codes or item.by_guideline, item.key
        assert all(c.code.isdigit() for c in item.codes), item.key
        if item.kind == "medication":
            assert all(d.code is not None and d.text for d in item.doses), item.key


INTERVENTION = """
key = "x"
title = "X"
kind = "medication"
starter = "standard"
[[dose]]
key = "standard"
label = "x 1 mg"
[[effect]]
biomarker = "sbp"
kind = "absolute"
mean = -5.0
se = 1.0
evidence = ["a"]
[[event]]
outcome = "mi"
ratio = 0.9
low = 0.8
high = 0.99
evidence = ["a"]
[[evidence]]
key = "a"
claim = "c"
value = "v"
verified = true
"""


def _load(tmp_path: Path, text: str) -> Interventions:
    (tmp_path / "interventions").mkdir()
    (tmp_path / "interventions" / "x.toml").write_text(text)
    return load_interventions(Source(root=tmp_path))


def test_the_small_example_loads(tmp_path: Path) -> None:
    assert len(_load(tmp_path, INTERVENTION).get("x").effects) == 1


def test_unverified_evidence_drops_what_rests_on_it(tmp_path: Path) -> None:
    item = _load(tmp_path, INTERVENTION.replace("verified = true", "verified = false")).get("x")
    assert (item.effects, item.events) == ((), ())
    assert item.unverified == ("sbp: a", "mi: a")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "medication"', 'kind = "magic"', "kind or cost"),
        ('title = "X"', 'title = "X"\ncolour = 1', "unknown key colour"),
        ('starter = "standard"', 'starter = "huge"', "huge is not a dose"),
        ("mean = -5.0", "mean = -5.0\nnoise = 1", "unknown key noise in effect"),
        ('evidence = ["a"]', 'evidence = ["b"]', "cites no evidence or an unknown one"),
        ('outcome = "mi"', 'outcome = "mi"\nvia = "sbp"', "only one may count"),
        ("low = 0.8", "low = 0.95", "low < ratio < high"),
        ('outcome = "mi"', 'outcome = "boredom"', "unknown outcome"),
        (
            "[[evidence]]",
            '[[event]]\noutcome = "mi"\nvia = "sbp"\nevidence = ["a"]\n[[evidence]]',
            "count twice",
        ),
        ('label = "x 1 mg"', 'label = "x"\ningredient = "x"', "ingredient and rxcui"),
    ],
)
def test_wrong_files_are_refused_by_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        _load(tmp_path, INTERVENTION.replace(old, new, 1))
    assert "interventions/x.toml" in str(error.value)


def test_site_overlay_sets_region_and_recalibration(tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    folder.mkdir()
    (folder / "site.toml").write_text('kfre_region = "elsewhere"\n')
    (folder / "recalibration.toml").write_text(
        '[[recalibration]]\nequation = "kfre_4_5y"\nintercept = -0.3\nslope = 0.9\n'
    )
    outcomes = load_outcomes(Source(ROOT, overlay=tmp_path))
    assert outcomes.region == "elsewhere"
    assert outcomes.calibrations[0].intercept == -0.3
    (folder / "recalibration.toml").write_text('[[recalibration]]\nequation = "kfre_4_5y"\nslope = 0.0\n')
    with pytest.raises(ValueError, match="slope must be positive"):
        load_outcomes(Source(ROOT, overlay=tmp_path))

"""`fhir-twin validate`: the checks can fail, the report is whole, the simulator is independent and repeatable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhir_twin.assimilation import load_biomarkers
from fhir_twin.cli import main
from fhir_twin.dynamics.forecast import subset
from fhir_twin.simulation import load_interventions, load_outcomes
from fhir_twin.validation.cases import check_cases
from fhir_twin.validation.coverage import check_coverage, check_forecasts
from fhir_twin.validation.people import KEYS, draw_people
from fhir_twin.validation.response import check_response
from fhir_twin.validation.trials import check_trials
from mappings import Source

KNOWN, OPTIONS = load_biomarkers(Source()), load_interventions(Source())


class Only:
    """As much of Knowledge as a check looks at."""

    def __init__(self, outcomes: object) -> None:
        self.outcomes, self.biomarkers, self.interventions = outcomes, KNOWN, OPTIONS


def test_the_command_writes_a_whole_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--out", str(tmp_path), "--people", "1500"]) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "5 of 5 checks passed" in page
    assert page.count("<img") == len(list(tmp_path.glob("*.png"))) == 5
    assert "JUPITER" in page and ">NO<" in page, "the trial that is missed is shown"
    assert "passed" in capsys.readouterr().out


def test_the_simulator_is_repeatable_and_has_the_spread_it_says() -> None:
    model = subset(KNOWN, KEYS)
    one, two = draw_people(model, 300, 4, 7), draw_people(model, 300, 4, 7)
    np.testing.assert_array_equal(one.values, two.values)
    assert np.isnan(one.values).mean() == pytest.approx(0.25, abs=0.03)
    assert (np.diff(one.times, axis=1) >= 0).all() and (one.at >= one.times[:, -1]).all()
    noise = np.log(one.future[:, 0] / one.usual[:, 0])
    assert noise.std() == pytest.approx(
        0.0725, rel=0.2
    )  # one office reading: visit and reading noise together


def test_overconfident_noise_is_caught() -> None:
    """The bar can fail: a twin that believes in a third of the real noise does not cover."""

    def sharper(model):  # type: ignore[no-untyped-def]
        return replace(
            model, noise=replace(model.noise, visit=model.noise.visit / 3, reading=model.noise.reading / 3)
        )

    wrong = replace(KNOWN, models=tuple(sharper(m) for m in KNOWN.models))
    from fhir_twin.validation import coverage

    truth = draw_people(subset(KNOWN, KEYS), 800, 8, 3)
    answer = coverage._forecast(subset(wrong, KEYS), truth, "usual")
    z = (np.log(truth.usual) - answer.log_mean[:, 0]) / answer.log_sd[:, 0]
    assert (np.abs(z) < 1.96).mean() < 0.93
    assert check_coverage(KNOWN, 1500, 3).passed


def test_a_response_that_the_twin_does_not_expect_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """People whose responses spread three times as much as the twin believes are not covered."""
    from fhir_twin.validation import response

    assert check_response(KNOWN, 600, 4).passed
    plain = response._readings

    def wilder(sbp, effect, times, rng):  # type: ignore[no-untyped-def]
        return plain(sbp, replace(effect, spread=3 * effect.spread), times, rng)

    monkeypatch.setattr(response, "_readings", wilder)
    assert not check_response(KNOWN, 300, 4).passed


def test_forecasts_check_compares_with_both_rules() -> None:
    check = check_forecasts(KNOWN, 800, 5)
    assert check.passed
    assert len(check.rows) == len(KEYS) + 1


def test_a_wrong_coefficient_or_ratio_fails_its_check(tmp_path: Path) -> None:
    folder = tmp_path / "worked-cases"
    folder.mkdir(parents=True)
    text = (Source().root / "worked-cases" / "printed.toml").read_text("utf-8").replace("0.147", "0.157")
    (folder / "printed.toml").write_text(text, "utf-8")
    assert not check_cases(Source(overlay=tmp_path)).passed
    assert check_cases(Source()).passed
    outcomes = load_outcomes(Source())
    assert check_trials(Only(outcomes)).passed  # type: ignore[arg-type]
    flat = replace(
        outcomes,
        trial_ratios=tuple(replace(r, ratio=0.99, low=0.98, high=1.0) for r in outcomes.trial_ratios),
    )
    assert not check_trials(Only(flat)).passed  # type: ignore[arg-type]

"""fhir-twin what-if on a sample patient: options, stops, safety beside the answer, and errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_twin.cli import main
from fhir_twin.cli.what_if import read_choices
from fhir_twin.errors import InvalidInput
from fhir_twin.sandbox.stories import load_bundles, stories
from fhir_twin.simulation import load_interventions
from mappings import Source

AS_OF = ["--as-of", "2026-11-01"]


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Each sample patient as a file, in the order of the stories."""
    folder = tmp_path_factory.mktemp("stories")
    files = []
    for (key, *_), bundle in zip(stories(), load_bundles(), strict=True):
        files.append(folder / f"{key}.json")
        files[-1].write_text(json.dumps(bundle), "utf-8")
    return files


def test_two_options_for_a_smoker_with_high_pressure(
    patients: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["what-if", "--bundle", str(patients[0]), *AS_OF, "--start", "statin:high"]
    arguments += ["--start", "ccb-dhp,delay=1,adherence=0.8"]
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    change = next(c for c in answer["then"]["changes"] if c["outcome"] == "cvd")
    assert change["difference"] < 0 and change["low"] < change["high"]
    assert answer["then"]["scenario"]["choices"][1]["delay_years"] == 1.0
    assert answer["sensitivity"] and answer["measurements"]
    assert main(arguments) == 0
    words = capsys.readouterr().out
    for part in (
        "cvd",
        "within 10 y",
        "hangs on",
        "One more measurement",
        "next reading in a year",
        "not advice",
    ):
        assert part in words


def test_safety_speaks_beside_the_answer(patients: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The patient with angioedema under an ACE inhibitor: simulated as asked, and blocked in so many words."""
    (file,) = [p for p in patients if "angio" in p.name.lower()] or [patients[4]]
    assert main(["what-if", "--bundle", str(file), *AS_OF, "--start", "ace-inhibitor"]) == 0
    assert "BLOCKED" in capsys.readouterr().out


def test_what_cannot_be_is_said(patients: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for more, words in (([], "say what to change"), (["--stop", "sglt2-inhibitor"], "not taken")):
        assert main(["what-if", "--bundle", str(patients[0]), *AS_OF, *more]) == 2
        said = capsys.readouterr().err
        assert words in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("snake-oil", "unknown intervention"),
        ("statin:huge", "unknown intervention or dose"),
        ("statin,when=1", "delay=YEARS"),
        ("statin,delay=soon", "must be numbers"),
        ("statin,adherence=2", "within 0 to 1"),
    ],
)
def test_a_choice_that_cannot_be_read_is_named(start: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_choices([start], [], load_interventions(Source()))


def test_the_list_needs_no_patient(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["what-if", "--list"]) == 0
    assert "statin" in capsys.readouterr().out
    assert main(["what-if", "--start", "statin"]) == 2
    assert "--server" in capsys.readouterr().err

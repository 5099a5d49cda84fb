"""The command line on a sandbox over a real socket: what a user does, exit codes, what a second run does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.cli import main
from fhir_twin.sandbox.stories import load_bundles, stories

AS_OF = ["--as-of", "2026-11-01"]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["run", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_sample_patient_is_written_once_and_the_second_run_writes_nothing(
    stocked_sandbox: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Done-when 2 of the main job, on the sandbox; ID-7."""
    code, first = run_json(capsys, "--server", stocked_sandbox, "--all", *AS_OF)
    assert code == 0
    states = {p["patient"]: p["state"] for p in first["patients"]}
    assert set(states) == {story[0] for story in stories()}
    assert set(states.values()) <= {"written", "refused"}
    assert sum(s == "written" for s in states.values()) >= 7
    code, second = run_json(capsys, "--server", stocked_sandbox, "--all", *AS_OF)
    assert code == 0
    assert {p["state"] for p in second["patients"]} <= {"unchanged", "refused"}


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    import contextlib

    from fhir_twin.sandbox import serve_sandbox
    from fhir_twin.settings import load_settings
    from fhir_twin.wiring import open_server

    with contextlib.closing(serve_sandbox(port=0)) as sandbox:
        server = open_server(load_settings({"server": sandbox.base}, {}))
        server.transaction(load_bundles()[0])
        patient = stories()[0][0]
        code, done = run_json(capsys, "--server", sandbox.base, "--patient", patient, "--dry-run", *AS_OF)
        assert code == 0
        assert done["patients"][0]["written"]["dry_run"] is True
        assert any(i["action"] == "create" for i in done["patients"][0]["written"]["items"])
        assert server.search("CarePlan", {"patient": patient}) == []


def test_files_need_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, bundle in enumerate(load_bundles()):
        (tmp_path / f"{i}.json").write_text(json.dumps(bundle), "utf-8")
    out = tmp_path / "out"
    code = main(["run", "--bundle", str(tmp_path), "--brief", "--out", str(out), *AS_OF])
    told = capsys.readouterr()
    assert code == 0
    assert f"{len(load_bundles())} patients" in told.out
    assert len(list(out.glob("*.plan-bundle.json"))) == len(load_bundles())


def test_what_show_prints_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.json").write_text(json.dumps(load_bundles()[0]), "utf-8")
    assert main(["run", "--bundle", str(tmp_path / "b.json"), "--show", "plan", *AS_OF]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["plan"]
    assert "1 patients" in told.err


def test_a_folder_that_cannot_be_written_to_stops_the_run_before_the_first_patient(
    stocked_sandbox: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    out = str(tmp_path / "file")
    known = stories()[0][0]
    assert main(["run", "--server", stocked_sandbox, "--patient", known, "--out", out, *AS_OF]) == 2
    told = capsys.readouterr()
    assert "--out" in told.err
    assert "[1/1]" not in told.err


@pytest.mark.parametrize("seam", ["chart", "coded", "twin", "plan"])
def test_show_looks_through_every_seam(seam: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.json").write_text(json.dumps(load_bundles()[0]), "utf-8")
    assert main(["run", "--bundle", str(tmp_path / "b.json"), "--show", seam, *AS_OF]) == 0
    shown, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert shown[seam]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "--server URL"),
        (["run", "--server", "http://127.0.0.1:9/fhir", "--patient", "x", "--retries", "0"], "no connection"),
        (["run", "--server", "ftp://x", "--all"], "http"),
        (["run", "--bundle", "/nowhere/at/all.json"], "all.json"),
        (["run", "--bundle", "x", "--as-of", "tomorrow"], "as-of"),
        (["run", "--server", "http://127.0.0.1:9/fhir", "--bundle", "x"], "not both"),
    ],
)
def test_a_wrong_call_ends_with_2_and_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_an_unknown_patient_fails_alone(stocked_sandbox: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = stories()[0][0]
    code, done = run_json(
        capsys, "--server", stocked_sandbox, "--patient", "nobody", known, "--dry-run", *AS_OF
    )
    assert code == 1
    assert [p["state"] for p in done["patients"]] == ["failed", "dry-run"]
    assert done["patients"][0]["error"]


def test_the_report_reads_whole(stocked_sandbox: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--server", stocked_sandbox, "--patient", stories()[0][0], "--dry-run", *AS_OF]) == 0
    told = capsys.readouterr().out
    for part in ("Read (", "Twin (", "Proposals", "why:", "source:", "Would write"):
        assert part in told


def test_help_is_fast_enough_to_be_asked_for() -> None:
    """The bar of 0.3 s is measured in benchmarks/; here only that nothing heavy makes it seconds."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "fhir_twin", "--help"], capture_output=True, text=True, check=True
    )
    assert "run" in done.stdout
    assert time.monotonic() - start < 3


def test_code_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code", "T2DM w/ CKD 3b, HTN, no hx of MI"]) == 0
    told = capsys.readouterr().out
    assert "E11.22" in told and "release ICD-10-CM" in told
    assert "I10" in told or "I12.9" in told
    assert main(["code", "--json", "hypertension"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["chosen"]
    assert main(["code", "--tsv", "hypertension"]) == 0
    head, first = (line.split("\t") for line in capsys.readouterr().out.splitlines()[:2])
    assert len(head) == len(first) == 10 and first[3] == "I10"
    assert head[-2:] == ["release", "details"] and first[-2].startswith("ICD-10-CM")


def test_a_correction_is_written_to_the_sites_lexicon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = ["--knowledge", str(tmp_path / "site")]
    assert main(["code", "sugar", "--means", "E11.9", "--reviewer", "dr x", *site]) == 0
    assert "E11.9 Type 2 diabetes" in capsys.readouterr().out
    assert "sugar\t" in (tmp_path / "site/lexicon/site-corrections.tsv").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sugar", "--means", "E99.9", "--reviewer", "x", "--knowledge", "{site}"], "no ICD-10-CM code"),
        (["sugar", "--means", "E11.9", "--reviewer", "x"], "folder of your own knowledge"),
        (["sugar", "--means", "E11.9", "--knowledge", "{site}"], "--reviewer"),
        (["sugar", "--encoder", "no.such:thing"], "can be imported"),
    ],
)
def test_a_wrong_correction_or_encoder_is_said(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [a.replace("{site}", str(tmp_path)) for a in arguments]
    assert main(["code", *given]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "lexicon").exists()

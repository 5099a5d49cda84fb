"""`fhir-twin code` says what the codes of one text mean together, and what a code still needs."""

from __future__ import annotations

import json

import pytest

from fhir_twin.__main__ import main


def test_conflicts_combinations_and_open_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code", "T1DM, T2DM", "HTN, CHF", "R hip fracture"]) == 0
    told = capsys.readouterr().out
    assert "! conflict: E10.9 excludes1 E11.9" in told and "! conflict: E11.9 excludes1 E10.9" in told
    assert "! one code for both: I11.0 is presumed with I50.9" in told
    (line,) = [row for row in told.splitlines() if "needs a 7th character" in row]
    assert "A initial encounter for closed fracture; B initial" in line


def test_the_same_in_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code", "T1DM, T2DM", "--tsv"]) == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head[-1] == "details" and all(len(row) == len(head) for row in rows)
    assert {row[-1] for row in rows} == {"conflict E10.9 excludes1 E11.9", "conflict E11.9 excludes1 E10.9"}
    assert main(["code", "T1DM, T2DM", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [d["details"] for d in found] == [
        [["conflict", "E10.9 excludes1 E11.9"]],
        [["conflict", "E11.9 excludes1 E10.9"]],
    ]

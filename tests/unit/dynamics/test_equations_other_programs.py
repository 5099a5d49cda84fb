"""SCORE2, SCORE2-OP, SCORE2-Diabetes, Framingham 2008 and the IWPC doses against programs of other people.

The answers in other_programs.json were computed by the programs named there, not by ours; none of their code is here.
With cvd-risk installed (`make peers`) tests/peers puts 2,000 more people to it. cvd-risk rounds SCORE2-Diabetes to
0.1 %. Its pooled cohort equations are not those of the paper and are no oracle.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_twin.dynamics.equations.registry import calculate

TABLE = json.loads((Path(__file__).parent / "other_programs.json").read_text("utf-8"))
CASES = TABLE["cases"]


def test_every_region_sex_and_genotype_is_there() -> None:
    counts = Counter(c["equation"] for c in CASES)
    assert (
        min(counts.values()) >= 16
        and len(counts) == 6
        and {c["program"] for c in CASES} == set(TABLE["programs"])
    )
    regions = {
        (c["inputs"]["region"], c["inputs"]["sex"]) for c in CASES if c["equation"] == "score2_10y_cvd"
    }
    genes = [c["inputs"] for c in CASES if c["equation"] == "warfarin_iwpc"]
    assert (
        len(regions) == 8
        and len({g["vkorc1"] for g in genes}) == 4
        and len({g["cyp2c9"] for g in genes}) == 7
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["equation"])
def test_another_program_gives_the_same(case: dict[str, Any]) -> None:
    ours = float(calculate(case["equation"], **case["inputs"]))
    assert ours == pytest.approx(case["answer"], rel=0, abs=case["tolerance"])

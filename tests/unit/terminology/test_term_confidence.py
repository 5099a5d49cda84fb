"""Calibration: the trees say what they were fitted to say, whichever way they are summed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from terminology import TextCoder
from terminology.text.evidence import NAMES
from terminology.text.kernel import compiled
from terminology.text.problem_engine import ProblemEngine
from terminology.text.trees import Trees, firm

SMALL = {
    "names": " ".join(NAMES), "depth": 1, "base": 0.0, "soft": 0.87, "hard": 0.93,
    "feature": "0 1", "threshold": "0.5 0.2", "value": "-1 1 -2 0.5",
}  # fmt: skip


def trees(coder: TextCoder) -> Trees:
    engine = coder.engine("problem")
    assert isinstance(engine, ProblemEngine) and engine.ranker.weights.trees is not None
    return engine.ranker.weights.trees


def test_two_small_trees_by_hand() -> None:
    facts = [0.6, 0.1, *[0.0] * (len(NAMES) - 2)]
    assert Trees(SMALL).probability(facts) == pytest.approx(1 / (1 + np.exp(1.0)))  # 1 - 2


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="other evidence"):
        Trees(SMALL | {"names": "score"})
    with pytest.raises(ValueError, match="different lengths"):
        Trees(SMALL | {"value": "1 2 3"})


def test_a_higher_score_never_lowers_the_probability(coder: TextCoder) -> None:
    rng = random.Random(3)
    model, score, missed = trees(coder), NAMES.index("score"), NAMES.index("missed")
    for _ in range(200):
        facts = [rng.random() for _ in NAMES]
        better, worse = list(facts), list(facts)
        better[score] += 0.2
        worse[missed] += 0.2
        assert model.probability(better) >= model.probability(facts) >= model.probability(worse)


def test_machine_code_sums_trees_alike(coder: TextCoder) -> None:
    machine = compiled()
    if machine is None:
        pytest.skip("numba is not installed")
    rng, model = random.Random(4), trees(coder)
    fast = model.compiled(machine.grown)
    for _ in range(50):
        facts = [rng.random() * 2 for _ in NAMES]
        assert fast.probability(facts) == pytest.approx(model.probability(facts), abs=1e-12)


def test_nine_tenths_is_said_late_and_in_order() -> None:
    said = [firm(p / 1000, 0.87, 0.93) for p in range(1001)]
    assert said == sorted(said) and said[0] == 0.0 and said[-1] == pytest.approx(1.0)
    assert firm(0.929, 0.87, 0.93) < 0.9 <= firm(0.93, 0.87, 0.93)


@pytest.mark.parametrize(
    "text",
    ["optic nerve", "lipid panel", "MRI of the left knee", "metoprolol", "right upper quadrant", "serum sodium",
     "cardiology consult", "physical therapy evaluation", "lisinopril 10 mg", "thoracoscopy", "urine pH"],
)  # fmt: skip
def test_words_that_name_no_problem_are_not_coded(coder: TextCoder, text: str) -> None:
    assert coder.code(text).confidence < 0.9
    if text != "urine pH":  # "pH" is also pulmonary hypertension
        assert coder.code(text).abstained


@pytest.mark.parametrize(
    ("text", "code"),
    [("foot drop", "M21.37"), ("nipple discharge", "N64.52"), ("fatty liver", "K76.0"), ("colostomy status", "Z93.3"),
     ("dry eyes", "H04.12"), ("ganglion of wrist", "M67.43"), ("cervical rib", "Q76.5")],
)  # fmt: skip
def test_names_made_of_such_words_are_coded(coder: TextCoder, text: str, code: str) -> None:
    assert coder.code(text).chosen[0].code.startswith(code)

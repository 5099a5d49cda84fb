"""Many texts at once: same answers as one by one, whichever way the sums are made."""

from __future__ import annotations

import numpy as np
import pytest

from terminology import TextCoder
from terminology.text import coder as coder_module
from terminology.text.candidates import resolve, retrieve
from terminology.text.kernel import SWITCH, compiled
from terminology.text.problem_engine import ProblemEngine
from terminology.text.rules import VAGUE, VOLUNTEERED

PHRASES = [
    "T2DM w/ CKD 3b", "R knee OA", "chronic systolic heart failure", "left femoral neck fracture", "lung ca RUL",
    "hx of breast cancer", "acute appendicitis with perforation", "cataracts OU", "major depression recurrent severe",
    "hypertensn", "diabetic foot ulcer left", "stress fracture right foot", "zzz qqq", "", "no hx of MI",
    "otitis media, bilateral", "melanoma of back", "open angle glaucoma", "sprain of left ankle", "copd exac",
]  # fmt: skip


def test_a_batch_answers_as_one_by_one(coder: TextCoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coder_module, "BATCH", 2)
    texts = [f"{p} " for p in PHRASES] * 2  # the blank keeps them apart from what other tests asked
    many = coder.code_many(texts)
    engine = coder.engine("problem")
    for text, decision in zip(texts, many, strict=True):
        alone = engine.code(text)
        assert [c.code for c in decision.chosen] == [c.code for c in alone.chosen], text
        assert decision.candidates == alone.candidates, text
        assert decision.confidence == pytest.approx(alone.confidence, abs=1e-6), text
        assert decision.assertion == alone.assertion


def test_a_batch_without_numba_is_the_same(coder: TextCoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")
    compiled.cache_clear()
    try:
        engine = coder.engine("problem")
        assert isinstance(engine, ProblemEngine)
        assert engine.ranker.for_batches() is engine.ranker
    finally:
        compiled.cache_clear()


def test_machine_code_scores_as_numpy(coder: TextCoder) -> None:
    engine = coder.engine("problem")
    assert isinstance(engine, ProblemEngine)
    ranker = engine.ranker
    kernel = ranker.for_batches().kernel
    if kernel is None:
        pytest.skip("numba is not installed")
    for phrase in (
        "femur fracture left neck",
        "type 2 diabetes neuropathy",
        "cornea abrasion right",
        "otitis externa",
    ):
        query = resolve(phrase.split(), ranker.index, ranker.qualifiers)
        one = retrieve(query, ranker.index, ranker.qualifiers, ranker.weights, 24)
        two = kernel.retrieve(query, 24)
        np.testing.assert_allclose(two.scores, one.scores[: len(two.scores)], atol=2e-6)
        np.testing.assert_array_equal(two.terms[:5], one.terms[:5])
        found = kernel.leaves(two, query, -1, VAGUE, VOLUNTEERED)
        found.sort(key=lambda leaf: (-leaf[1], leaf[0]))
        leaves = ranker._leaves(one, query, -1)
        assert [(x.code, x.term, x.heading) for x in leaves] == [(c, t, h) for c, _, t, h in found][:10]
        np.testing.assert_allclose([x.score for x in leaves], [s for _, s, _, _ in found][:10], atol=1e-6)

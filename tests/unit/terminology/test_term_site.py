"""What a site may add: corrections that win, and an encoder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mappings import Source
from terminology import open_coder
from terminology.text.corrections import record_correction


@pytest.mark.slow
def test_a_correction_wins_from_then_on(tmp_path: Path) -> None:
    overlay, cache = tmp_path / "site", tmp_path / "cache"
    record_correction(overlay, "sugar sickness of st elsewhere", "E10.9", "Type 1 diabetes", "dr-x")
    record_correction(overlay, "HTN", "I15.9", "Secondary hypertension, unspecified", "dr-x")
    record_correction(overlay, "htn", "I1A.0", "Resistant hypertension", "dr-x")
    coder = open_coder(Source(overlay=overlay), cache)
    assert coder.code("sugar sickness of st elsewhere").chosen[0].code == "E10.9"
    assert coder.code("HTN").chosen[0].code == "I1A.0"  # the later correction replaced the earlier
    assert coder.code("hypertension").chosen[0].code == "I10"


@pytest.mark.parametrize("text", ["", "  ", "a\tb", "a\nb"])
def test_a_correction_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        record_correction(tmp_path, text, "I10", "x", "y")


def test_the_users_encoder_reranks_unsure_phrases() -> None:
    asked: list[Sequence[str]] = []

    def encoder(texts: Sequence[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[1.0, 0.0] if i in (0, len(texts) - 1) else [0.0, 1.0] for i in range(len(texts))])

    plain, helped = open_coder(Source()), open_coder(Source(), encoder=encoder)
    text = "pain somewhere in the bones after walking"
    first, second = plain.code(text), helped.code(text)
    assert asked and first.candidates[0].code != second.candidates[0].code
    assert any("encoder" in step for step in second.steps)

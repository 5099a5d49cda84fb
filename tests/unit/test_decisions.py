"""docs/decisions: a number names one decision, and its title begins with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"


def test_a_number_names_one_decision() -> None:
    names = [p.name for p in FOLDER.glob("*.md")]
    assert names and [n for n, c in Counter(name[:4] for name in names).items() if c > 1] == []
    for path in FOLDER.glob("*.md"):
        assert path.read_text("utf-8").startswith(f"# {path.name[:4]}"), path.name

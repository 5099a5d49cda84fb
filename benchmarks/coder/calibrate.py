"""Fit the calibration (logistic, one model per method) and write mappings/lexicon/ranking.toml.

Training mixture: left-out inclusion terms and MeSH entry terms, typos, abbreviations, reordered titles (seed 1),
shorthand sets "second", "fifth" and "sixth", noise, medical words that name no problem (odd rows). The benchmark
reports on other seeds and on sets that are never used here.
Run: python benchmarks/coder/calibrate.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import heldout  # noqa: E402
import numpy as np  # noqa: E402
from asking import Answer, Asker, noise, not_problems, shorthand  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

from mappings import Source  # noqa: E402
from terminology import open_coder  # noqa: E402
from terminology.text.lexicon import load_lexicon  # noqa: E402

METHODS = ("exact", "canonical", "import", "abbreviation", "repair", "retrieval")
HEADER = """# Weights of the score and the calibration from score to probability (terminology/text/rank.py).
# Written by benchmarks/coder/calibrate.py; the numbers are fitted, the method is docs/terminology.md.
"""


def main() -> None:
    source = Source()
    coder = open_coder(source)
    asker = Asker(coder)
    index, lexicon = asker.index, load_lexicon(source)
    answers = asker.all(
        [
            *heldout.left_out_inclusions(index, 900, 1),
            *heldout.misspelled(index, 500, 1),
            *heldout.abbreviated(index, lexicon, 400, 1),
            *heldout.reordered(index, 600, 1),
            *heldout.left_out_imports(index, 500, 1),
            *shorthand("second"),
            *shorthand("fifth"),
            *shorthand("sixth"),
            *not_problems(odd=True) * 3,
            *noise(900, 1),
        ]
    )
    lines = [
        HEADER,
        "[score]",
        "extra = 0.35",
        "extra_scale = 0.5",
        "abstain = 0.35",
        "",
        "[source]",
        "note = -0.05",
        "import = -0.03",
        "lexicon = 0.015",
        "site = 0.03",
        "",
    ]
    for method in METHODS:
        lines += _fit(method, [a for a in answers if a.method == method and a.features])
    (ROOT / "mappings/lexicon/ranking.toml").write_text("\n".join(lines), "utf-8")


def _fit(method: str, answers: list[Answer]) -> list[str]:
    right = np.array([a.lenient for a in answers])
    print(f"{method}: {len(answers)} answers, {right.mean() if len(answers) else 0:.3f} right")
    if len(answers) < 30 or right.all() or not right.any():
        return [
            f"[calibration.{method}]",
            f"intercept = {4.0 if len(answers) and right.mean() > 0.5 else 3.5}",
            "",
        ]
    names = [n for n, _ in answers[0].features]
    x = np.array([[v for _, v in a.features] for a in answers])
    model = LogisticRegression(C=10.0, max_iter=5000).fit(x, right)
    rows = [f"{name} = {value:.4f}" for name, value in zip(names, model.coef_[0], strict=True)]
    return [f"[calibration.{method}]", f"intercept = {model.intercept_[0]:.4f}", *rows, ""]


if __name__ == "__main__":
    main()

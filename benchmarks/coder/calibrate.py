"""Fit the calibration (monotone trees over evidence.NAMES) and write mappings/lexicon/confidence.toml.

Fitted on: inclusion terms, MeSH entry terms and hand-written synonyms, each left out while it is asked; misspelled,
abbreviated and reordered titles (seed 1); the shorthand sets "second", "fifth" and "sixth"; noise (seed 1); medical
words that name no problem (odd rows). No text of the benchmark's own draws (seed 2) is among them: they are taken out
by their text. The figures printed are of five-fold cross-fitting; the benchmark's are of phrases never used here.
Run: python benchmarks/coder/calibrate.py [--check]   (--check: print, write nothing)
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import heldout  # noqa: E402
import numpy as np  # noqa: E402
from asking import Answer, Asker, mentions, noise, not_problems, shorthand  # noqa: E402
from heldout import Phrase  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: E402
from sklearn.model_selection import KFold  # noqa: E402

from mappings import Source  # noqa: E402
from terminology import open_coder  # noqa: E402
from terminology.text.evidence import NAMES  # noqa: E402
from terminology.text.lexicon import load_lexicon  # noqa: E402
from terminology.text.trees import DIGITS, firm  # noqa: E402

DEPTH, ROUNDS, RATE = 4, 120, 0.1
SOFT, HARD = 0.87, 0.93
# Answers per kind are many for the left-out kinds and few for shorthand; the weights even them out.
WEIGHTS = {"inclusion": 0.65, "mesh": 0.5, "lexicon": 0.15, "shorthand": 5.0, "no problem": 5.0, "noise": 3.0}
UP = frozenset(
    [
      "score", "margin", "rival", "rival_heading", "agree", "headed", "matched", "matched_most", "overlap", "prior",
      "exact_key", "votes", "votes_near", "kin", "kin_near"]
)  # fmt: skip
DOWN = frozenset(
    [
      "missed", "missed_most", "missed_count", "missed_number", "missed_unknown", "unasked", "unasked_most",
      "child_unasked", "child_most", "head_missing", "repaired", "part_decides", "broader", "other", "aimless",
      "level"]
)  # fmt: skip
HEADER = """# Calibration from evidence to probability: trees in heap order (terminology/text/trees.py).
# Written by benchmarks/coder/calibrate.py; the numbers are fitted, the method is docs/terminology.md.
"""


def phrases(asker: Asker, source: Source) -> dict[str, list[Phrase]]:
    """What is fitted on, by kind, without the texts of the benchmark."""
    index, lexicon = asker.index, load_lexicon(source)
    drawn = [
        *heldout.left_out_inclusions(index, heldout.LEFT_OUT, 2), *heldout.left_out_imports(index, heldout.LEFT_OUT, 2),
        *heldout.misspelled(index, 500, 2), *heldout.abbreviated(index, lexicon, 500, 2),
        *heldout.reordered(index, 300, 2), *mentions(), *not_problems(odd=False),
    ]  # fmt: skip
    taken = {p.text.lower() for p in drawn}
    kinds = {
        "inclusion": heldout.left_out_inclusions(index, 9000, 1),
        "mesh": heldout.left_out_imports(index, 6000, 1),
        "lexicon": heldout.left_out_lexicon(index, 3500, 1),
        "misspelled": heldout.misspelled(index, 2500, 1),
        "abbreviated": heldout.abbreviated(index, lexicon, 2000, 1),
        "reordered": heldout.reordered(index, 2500, 1),
        "noise": noise(1500, 1),
        "no problem": not_problems(odd=True),
        "shorthand": [p for name in ("second", "fifth", "sixth") for p in shorthand(name)],
    }
    return {kind: [p for p in found if p.text.lower() not in taken] for kind, found in kinds.items()}


def main() -> None:
    source = Source()
    asker = Asker(open_coder(source))
    answers = {kind: asker.all(found) for kind, found in phrases(asker, source).items()}
    kept = [(kind, a) for kind, found in answers.items() for a in found if a.facts]
    x = np.round(np.array([a.facts for _, a in kept]), DIGITS)
    right = np.array([a.lenient for _, a in kept])
    weight = np.array([WEIGHTS.get(kind, 1.0) for kind, _ in kept])
    crossed = np.zeros(len(x))
    for inside, outside in KFold(5, shuffle=True, random_state=0).split(x):
        crossed[outside] = (
            _model().fit(x[inside], right[inside], weight[inside]).predict_proba(x[outside])[:, 1]
        )
    _report(answers, {id(a): p for (_, a), p in zip(kept, crossed, strict=True)})
    if "--check" not in sys.argv:
        model = _model().fit(x, right, weight)
        (ROOT / "mappings/lexicon/confidence.toml").write_text(_written(model), "utf-8")


def _model() -> HistGradientBoostingClassifier:
    signs = [(name in UP) - (name in DOWN) for name in NAMES]
    return HistGradientBoostingClassifier(
        max_depth=DEPTH, max_iter=ROUNDS, learning_rate=RATE, min_samples_leaf=30, l2_regularization=3.0,
        monotonic_cst=signs, early_stopping=False, random_state=0,
    )  # fmt: skip


def _report(answers: dict[str, list[Answer]], crossed: dict[int, float]) -> None:
    print(
        "kind: n, right, mean confidence, calibration error, precision and coverage at >= .9 (cross-fitted)"
    )
    for kind, found in answers.items():
        said = [
            firm(crossed[id(a)], SOFT, HARD) if id(a) in crossed else a.decision.confidence for a in found
        ]
        p, right = np.array(said), np.array([a.lenient for a in found], float)
        place = np.minimum((p * 10).astype(int), 9)
        gaps = [(place == b).sum() * abs(p[place == b].mean() - right[place == b].mean()) for b in set(place)]
        sure = p >= 0.9
        precision = right[sure].mean() if sure.any() else math.nan
        print(
            f"{kind}: {len(p)}, {right.mean():.3f}, {p.mean():.3f}, {sum(gaps) / len(p):.3f}, {precision:.3f}, {sure.mean():.3f}"  # noqa: E501
        )


def _written(model: HistGradientBoostingClassifier) -> str:
    inner = 2**DEPTH - 1
    features, thresholds, values = [], [], []
    for (tree,) in model._predictors:
        feature, threshold, value = [0] * inner, [math.inf] * inner, [0.0] * (inner + 1)
        _fill(tree.nodes, 0, 0, feature, threshold, value)
        features += feature
        thresholds += threshold
        values += value
    rows = {
        "names": " ".join(NAMES),
        "feature": " ".join(map(str, features)),
        "threshold": " ".join(f"{v:.9g}" for v in thresholds),
        "value": " ".join(f"{v:.6g}" for v in values),
    }
    numbers = {
        "depth": DEPTH,
        "base": round(float(model._baseline_prediction[0, 0]), 6),
        "soft": SOFT,
        "hard": HARD,
    }
    lines = [f"{name} = {value}" for name, value in numbers.items()]
    return HEADER + "\n".join([*lines, *(f'{name} = "{value}"' for name, value in rows.items()), ""])


def _fill(nodes, number, place, feature, threshold, value) -> None:  # type: ignore[no-untyped-def]
    """Copy a tree into heap order; a leaf above the lowest level fills all places below it."""
    node, inner = nodes[number], len(feature)
    if place >= inner:
        value[place - inner] = float(node["value"])
    elif node["is_leaf"]:
        for child in (2 * place + 1, 2 * place + 2):
            _fill(nodes, number, child, feature, threshold, value)
    else:
        feature[place], threshold[place] = int(node["feature_idx"]), float(node["num_threshold"])
        _fill(nodes, int(node["left"]), 2 * place + 1, feature, threshold, value)
        _fill(nodes, int(node["right"]), 2 * place + 2, feature, threshold, value)


if __name__ == "__main__":
    main()

"""Calibration and coverage as plots: where people would rather look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from asking import Answer, expected_calibration_error


def draw(answers: Mapping[str, Sequence[Answer]], folder: Path) -> list[Path]:
    """terminology-calibration.png and terminology-coverage.png in `folder`; nothing without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no plots: matplotlib is not installed")
        return []
    columns = 4
    height = -(-len(answers) // columns)
    figure, axes = pyplot.subplots(
        height, columns, figsize=(3.1 * columns, 3.1 * height), sharex=True, sharey=True
    )
    for axis in axes.flat[len(answers) :]:
        axis.axis("off")
    for axis, (name, found) in zip(axes.flat, answers.items(), strict=False):
        confidence, right = _pairs(found)
        bins = np.minimum((confidence * 10).astype(int), 9)
        used = [b for b in range(10) if (bins == b).any()]
        sizes = [8 + 180 * (bins == b).mean() for b in used]
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axis.scatter(
            [confidence[bins == b].mean() for b in used], [right[bins == b].mean() for b in used], s=sizes,
            color="#20639b",
        )  # fmt: skip
        axis.set_title(f"{name}\nn {len(found)}, ECE {expected_calibration_error(found):.3f}", fontsize=8)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1.03)
    figure.supxlabel("confidence")
    figure.supylabel("share right (lenient)")
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "terminology-calibration.png"
    figure.savefig(first, dpi=110)
    pyplot.close(figure)
    figure, axis = pyplot.subplots(figsize=(7, 5))
    for name, found in answers.items():
        confidence, right = _pairs(found)
        order = np.argsort(-confidence, kind="stable")
        share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
        axis.plot(np.arange(1, len(order) + 1) / len(order), share, label=name, linewidth=1.4)
    axis.axhline(0.97, color="0.7", linewidth=1)
    axis.set_ylim(0.6, 1.005)
    axis.set_xlabel("coverage: share of the phrases answered, surest first")
    axis.set_ylabel("share right of those (lenient)")
    axis.legend(fontsize=7, loc="lower left")
    figure.tight_layout()
    second = folder / "terminology-coverage.png"
    figure.savefig(second, dpi=110)
    pyplot.close(figure)
    return [first, second]


def _pairs(found: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a.decision.confidence for a in found]), np.array([a.lenient for a in found], float)

"""Terminology benchmark: quality on held-out phrases, calibration, assertion, speed, memory; peers in the same run.

Run: python benchmarks/bench_terminology.py [--quick]   (make bench calls it). Writes benchmarks/results/terminology.md
and, where matplotlib is installed, terminology-calibration.png beside it. Seeds differ from those of the calibration.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "coder")]

import heldout  # noqa: E402
import numpy as np  # noqa: E402
import peers  # noqa: E402
from asking import Answer, Asker, expected_calibration_error, marked_sentences, noise, shorthand  # noqa: E402

from mappings import Source  # noqa: E402
from terminology import open_coder  # noqa: E402
from terminology.text.lexicon import load_lexicon  # noqa: E402

SEED = 2


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true", help="a tenth of the phrases")
    scale = 0.1 if arguments.parse_args().quick else 1.0
    source = Source()
    coder = open_coder(source)
    lines = ["# Terminology benchmark", "", *_speed(coder, source), ""]
    asker = Asker(coder)
    index, lexicon = asker.index, load_lexicon(source)
    count = lambda n: max(20, int(n * scale))  # noqa: E731
    sets = {
        "shorthand, test": shorthand("test"),
        "shorthand, second": shorthand("second"),
        "shorthand, dev": shorthand("dev"),
        "abbreviated": heldout.abbreviated(index, lexicon, count(500), SEED),
        "misspelled": heldout.misspelled(index, count(500), SEED),
        "reordered": heldout.reordered(index, count(300), SEED),
        "left-out inclusion term": heldout.left_out_inclusions(index, count(600), SEED),
    }
    answers = {name: asker.all(phrases) for name, phrases in sets.items()}
    lines += _quality(answers, peers.compare(index, sets, count(60)))
    nothing = asker.all(noise(count(300), SEED))
    lines += ["", f"Noise: {sum(bool(a.decision.chosen) for a in nothing)} of {len(nothing)} coded.", ""]
    lines += _calibration(answers)
    lines += _assertion(coder)
    out = ROOT / "benchmarks" / "results"
    out.mkdir(exist_ok=True)
    (out / "terminology.md").write_text("\n".join(lines) + "\n", "utf-8")
    _plot(answers, out / "terminology-calibration.png")
    print("\n".join(lines))


def _quality(answers: dict[str, list[Answer]], other: dict[str, dict[str, float]]) -> list[str]:
    names = sorted({peer for row in other.values() for peer in row})
    lines = [
        f"| phrases | n | lenient | strict | strict top-5 | {' | '.join(names)} |",
        f"|---|---|---|---|---|{'---|' * len(names)}",
    ]
    for name, found in answers.items():
        share = [np.mean([getattr(a, key) for a in found]) for key in ("lenient", "strict", "strict5")]
        cells = [f"{v:.3f}" for v in share] + [f"{other[name].get(p, float('nan')):.3f}" for p in names]
        lines.append(f"| {name} | {len(found)} | {' | '.join(cells)} |")
    return lines


def _calibration(answers: dict[str, list[Answer]]) -> list[str]:
    lines = [
        "| phrases | ECE | precision at >= .9 | coverage at >= .9 | coverage at precision .97 |",
        "|---|---|---|---|---|",
    ]
    for name, found in answers.items():
        sure = [a for a in found if a.decision.confidence >= 0.9]
        precision = np.mean([a.lenient for a in sure]) if sure else float("nan")
        ranked = sorted(found, key=lambda a: -a.decision.confidence)
        right = np.cumsum([a.lenient for a in ranked]) / np.arange(1, len(ranked) + 1)
        good = np.flatnonzero(right >= 0.97)
        coverage = (good[-1] + 1) / len(found) if len(good) else 0.0
        lines.append(
            f"| {name} | {expected_calibration_error(found):.3f} | {precision:.3f} | {len(sure) / len(found):.3f} | {coverage:.3f} |"  # noqa: E501
        )
    return lines


def _assertion(coder) -> list[str]:  # type: ignore[no-untyped-def]
    rows = marked_sentences()
    said = [coder.assertion(text, span) for text, span, _ in rows]
    lines = ["", "| assertion | F1 | n |", "|---|---|---|"]
    for label in ("absent", "possible", "historical", "hypothetical", "family"):
        true = sum(s == label == r[2] for s, r in zip(said, rows, strict=True))
        wrong = sum((s == label) != (r[2] == label) for s, r in zip(said, rows, strict=True))
        lines.append(
            f"| {label} | {2 * true / (2 * true + wrong):.3f} | {sum(r[2] == label for r in rows)} |"
        )
    right = np.mean([s == r[2] for s, r in zip(said, rows, strict=True)])
    begun, rounds = time.thread_time(), 30
    for _ in range(rounds):
        for text, span, _ in rows:
            coder.assertion(text, span)
    rate = rounds * len(rows) / (time.thread_time() - begun)
    return [
        *lines,
        f"| all right | {right:.3f} | {len(rows)} |",
        "",
        f"Assertion: {rate:,.0f} sentences/s per core.",
    ]


def _speed(coder, source) -> list[str]:  # type: ignore[no-untyped-def]  # noqa: ARG001
    phrases = [p.text for name in ("dev", "second", "test") for p in shorthand(name)]
    engine = coder.engine("problem")
    for text in phrases[:50]:
        engine.code(text)
    seconds = []
    for text in phrases:
        begun = time.thread_time()
        engine.code(text)
        seconds.append(time.thread_time() - begun)
    index = engine.ranker.index
    leaf = index.codes.leaf[index.term_code]
    titles = [t for t, good in zip(index.texts[:60_000], leaf, strict=False) if good][:20_000]
    first = _rate(lambda: [engine.code(t) for t in titles], len(titles))
    shouted = [t.upper() for t in titles]  # other texts, same phrases: nothing is remembered by text
    again = _rate(lambda: [engine.code(t) for t in shouted], len(titles))
    memo = _rate(lambda: coder.code_many(titles * 2), 2 * len(titles))
    load = subprocess.run(
        [sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    return [
        "CPU time of one core; the machine may be shared.",
        "",
        "| measure | value |",
        "|---|---|",
        f"| full path p50 / p95, ms | {1e3 * np.percentile(seconds, 50):.2f} / {1e3 * np.percentile(seconds, 95):.2f} |",  # noqa: E501
        f"| full path, texts/s | {len(seconds) / sum(seconds):,.0f} |",
        f"| exact, first time / phrase seen / text seen, texts/s | {first:,.0f} / {again:,.0f} / {memo:,.0f} |",
        f"| load from cache, s / extra memory, MiB | {load[0]} / {load[1]} |",
        f"| memory of this process, MiB | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |",
    ]


_LOAD = """
import time, numpy, lxml.etree, rapidfuzz
from mappings import Source
from terminology.opening import open_coder
def memory():
    with open('/proc/self/status') as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS'))
before, begun = memory(), time.process_time()
coder = open_coder(Source())
coder.code('hypertension')
print(round(time.process_time() - begun, 2), round((memory() - before) / 1024))
"""


def _rate(work, count: int) -> float:  # type: ignore[no-untyped-def]
    begun = time.thread_time()
    work()
    return count / (time.thread_time() - begun)


def _plot(answers: dict[str, list[Answer]], path: Path) -> None:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no calibration plot: matplotlib is not installed")
        return
    figure, axes = pyplot.subplots(figsize=(6, 6))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for name, found in answers.items():
        confidence = np.array([a.decision.confidence for a in found])
        right = np.array([a.lenient for a in found], float)
        bins = np.minimum((confidence * 10).astype(int), 9)
        used = [b for b in range(10) if (bins == b).sum() >= 5]
        axes.plot(
            [confidence[bins == b].mean() for b in used],
            [right[bins == b].mean() for b in used],
            "o-",
            label=name,
        )
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right (lenient)")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

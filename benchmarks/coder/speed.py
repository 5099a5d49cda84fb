"""Speed and memory of the text path, with the peers' rates in the same run. CPU time of one core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import peers
from heldout import Phrase

from terminology.text.coder import TextCoder

ROOT = Path(__file__).parents[2]
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


def measure(
    coder: TextCoder, phrases: Sequence[str], hard: Sequence[Phrase]
) -> tuple[list[str], dict[str, float]]:
    """`phrases`: shorthand, for the full path one by one; `hard`: misspelled and reordered titles, for the batch."""
    engine = coder.engine("problem")
    cold = _rate(lambda: [engine.code(f"{text}.") for text in phrases[:900]], 900)
    for place in range(300):
        engine.code(f"warming up {place} diabetes")  # a thousand texts: the compiled path is loaded
    seconds = []
    for text in phrases:
        begun = time.thread_time()
        engine.code(text)
        seconds.append(time.thread_time() - begun)
    index = engine.ranker.index  # type: ignore[attr-defined]
    leaf = index.codes.leaf[index.term_code[:60_000]]
    titles = [t for t, good in zip(index.texts[:60_000], leaf, strict=True) if good][:20_000]
    first = _rate(lambda: [engine.code(t) for t in titles], len(titles))
    shouted = [t.upper() for t in titles]  # other texts, same phrases: nothing is remembered by text
    again = _rate(lambda: [engine.code(t) for t in shouted], len(titles))
    coder.code_many(titles)
    memo = _rate(lambda: coder.code_many(titles), len(titles))
    coder.code_many([f"warming up {i} diabetes" for i in range(500)])  # loads the compiled path
    mixed = [f"{p} " for p in phrases] + [p.text + " " for p in hard]
    batch = _rate(lambda: coder.code_many(mixed), len(mixed))
    difficult = _rate(lambda: coder.code_many([p.text + "  " for p in hard]), len(hard))
    peer = peers.rates(index, [*phrases[:400], *(p.text for p in hard)])
    out = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True, cwd=ROOT)
    load, memory = (float(v) for v in out.stdout.split())
    lines = [
        "| measure | value |",
        "|---|---|",
        f"| full path one by one, p50 / p95, ms | {1e3 * np.percentile(seconds, 50):.2f} / {1e3 * np.percentile(seconds, 95):.2f} |",  # noqa: E501
        f"| full path one by one, texts/s | {len(seconds) / sum(seconds):,.0f} |",
        f"| the first 900 texts, with what first use loads, before the compiled path, texts/s | {cold:,.0f} |",
        f"| batch: shorthand with misspelled and reordered titles, texts/s | {batch:,.0f} |",
        f"| batch: misspelled and reordered titles only, texts/s | {difficult:,.0f} |",
        f"| exact: first time / phrase seen / text seen, texts/s | {first:,.0f} / {again:,.0f} / {memo:,.0f} |",
        f"| peer, char TF-IDF: one by one / batch, texts/s | {peer['one by one']:,.0f} / {peer['batch']:,.0f} |",
        f"| load from cache, s / extra memory, MiB | {load} / {memory:.0f} |",
    ]
    return lines, {
        "exact, texts/s": again,
        "full path, texts/s": len(seconds) / sum(seconds),
        "batch, texts/s": batch,
        "full path, times char TF-IDF": len(seconds) / sum(seconds) / peer["one by one"],
        "batch, times char TF-IDF batch": batch / peer["batch"],
        "full path p50, ms": float(1e3 * np.percentile(seconds, 50)),
        "full path p95, ms": float(1e3 * np.percentile(seconds, 95)),
        "load, s": load,
        "extra memory, MiB": memory,
    }


def _rate(work: Callable[[], object], count: int) -> float:
    begun = time.thread_time()
    work()
    return count / (time.thread_time() - begun)

"""Releases benchmark: import of a made RF2 of SNOMED CT's size, questions to it, and finding left-out names.

Run: python benchmarks/bench_releases.py [--quick] [--obo FILE]   (make bench calls it). Every figure stands beside a
floor or a peer of the same run. The vocabulary for left-out names is an OBO file of yours; without one, the 2019
edition of the Human Phenotype Ontology (https://hpo.jax.org/app/license) is fetched with the PyPI package clinphen.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "coder")]

import numpy as np  # noqa: E402
import rf2_made  # noqa: E402

from mappings import Source  # noqa: E402
from terminology.concepts import build_finder  # noqa: E402
from terminology.importers import obo  # noqa: E402
from terminology.importers.rows import SNOMED, ConceptRow  # noqa: E402
from terminology.store import Terminology, open_terminology  # noqa: E402
from terminology.text.lexicon import load_lexicon  # noqa: E402
from terminology.text.words import Canon  # noqa: E402

SEED = 11


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--obo", type=Path, help="the vocabulary for left-out names")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    lines = [
        "# Releases benchmark",
        "",
        f"CPU seconds of one core unless said otherwise; scale {scale:g}.",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines += _import(Path(folder), scale)
        lines += _questions(open_terminology(Path(folder) / "out"))
        lines += _left_out(arguments.obo or _hpo(Path(folder)), int(2_000 * scale))
    out = ROOT / "benchmarks" / "results"
    out.mkdir(exist_ok=True)
    (out / "releases.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


_CHILD = """
import resource, sys, time
from pathlib import Path
from terminology.library import import_release
begun, cpu = time.monotonic(), time.process_time()
_, report, path = import_release("snomed", Path(sys.argv[1]), Path(sys.argv[2]))
print(time.monotonic() - begun, time.process_time() - cpu,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, report.rows, path.stat().st_size / 1e6)
"""


def _import(folder: Path, scale: float) -> list[str]:
    concepts, descriptions = int(500_000 * scale), int(1_500_000 * scale)
    source = rf2_made.make(folder / "rf2", concepts, descriptions)
    begun = time.process_time()
    rows = sum(sum(len(line.split("\t")) > 1 for line in p.open()) for p in source.rglob("*.txt"))
    floor = time.process_time() - begun
    told = subprocess.run(
        [sys.executable, "-c", _CHILD, str(source), str(folder / "out")], capture_output=True, text=True, check=True,
        cwd=ROOT,
    ).stdout.split()  # fmt: skip
    wall, cpu, memory, _, size = map(float, told)
    return [
        f"| RF2 import, {descriptions:,} descriptions, {concepts:,} concepts, {rows:,} rows | value |",
        "|---|---|",
        f"| seconds, wall / CPU | {wall:.0f} / {cpu:.0f} |",
        f"| floor: reading and splitting the same lines, CPU s | {floor:.1f} ({cpu / floor:.1f} times) |",
        f"| peak memory of the process, MB | {memory:.0f} |",
        f"| release file with search index and ancestors, MB | {size:.0f} |",
        "",
    ]


def _questions(opened: Terminology) -> list[str]:
    db = opened.files[0].db
    rng = random.Random(SEED)
    codes = [r[0] for r in db.execute("select code from concept order by random() limit 1000")]
    pairs = list(zip(codes[:500], codes[500:], strict=False))
    texts = [r[0] for r in db.execute("select text from term order by random() limit 300")]
    queries = [q for t in texts if (q := _typed(t, rng))]
    system = opened.system(SNOMED, opened.versions("CodeSystem", SNOMED)[0])
    assert system is not None
    rows = [
        ("concept by code", system.find, codes, "row alone", lambda c: db.execute(_ROW, (c,)).fetchone(), codes),
        ("subsumption", lambda p: system.relation(*p), pairs, "recursive SQL", lambda p: db.execute(_UP, p).fetchone(),
         pairs[:100]),
        ("search, 10 hits", lambda q: opened.search(SNOMED, q, 10), queries, "FTS5 by bm25",
         lambda q: db.execute(_BM25, (_fts(q),)).fetchall(), queries[:60]),
    ]  # fmt: skip
    lines = ["| question | p50 ms | p95 ms | peer | p50 ms | p95 ms |", "|---|---|---|---|---|---|"]
    for name, ours, asked, peer, theirs, asked_too in rows:
        a, b = _timed(ours, asked), _timed(theirs, asked_too)
        lines.append(f"| {name} | {a[0]:.3f} | {a[1]:.3f} | {peer} | {b[0]:.3f} | {b[1]:.3f} |")
    return [*lines, ""]


_ROW = "select id, code, display, active from concept where code = ?"
_UP = (
    "with recursive above(n) as (select id from concept where code = ?2 union select e.parent from edge e "
    "join above a on e.child = a.n) select 1 from above where n = (select id from concept where code = ?1)"
)
_BM25 = "select t.concept from words join term t on t.id = words.rowid where words match ? order by words.rank limit 10"


def _fts(text: str) -> str:
    return " ".join(f'"{w}"*' for w in text.split())


def _typed(text: str, rng: random.Random) -> str:
    words = [w for w in "".join(c if c.isalnum() else " " for c in text).split() if len(w) > 3]
    return " ".join(w[: rng.randint(3, len(w))] for w in words[: rng.randint(1, 3)])


def _timed(ask: Callable[[Any], Any], asked: Iterable[Any]) -> tuple[float, float]:
    seconds = []
    for question in asked:
        begun = time.thread_time()
        ask(question)
        seconds.append(time.thread_time() - begun)
    return 1e3 * float(np.percentile(seconds, 50)), 1e3 * float(np.percentile(seconds, 95))


def _hpo(folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "-d", str(folder), "clinphen==1.28"], capture_output=True, check=False)
    packed = next(folder.glob("clinphen-*.tar.gz"), None)
    if packed is None:
        raise SystemExit("the vocabulary could not be fetched; give one with --obo FILE")
    with tarfile.open(packed) as archive:
        member = next(m for m in archive if m.name.endswith("/hp.obo"))
        data = archive.extractfile(member)
        assert data is not None
        (folder / "hp.obo").write_bytes(data.read())
    return folder / "hp.obo"


def _left_out(path: Path, count: int) -> list[str]:
    rows = [r for r in obo.read(path).rows if isinstance(r, ConceptRow) and r.active]
    rng = random.Random(SEED)
    kept: list[tuple[str, str]] = []
    held: list[tuple[str, str]] = []
    for row in rows:
        names = list(dict.fromkeys([row.display, *(t for k, t in row.terms if k == "exact")]))
        if len(names) > 2:
            gone = names.pop(rng.randrange(1, len(names)))
            if gone.lower() not in {n.lower() for n in names}:
                held.append((row.code, gone))
        kept += [(row.code, name) for name in names]
    rng.shuffle(held)
    held = held[:count]
    tokens = Canon(load_lexicon(Source())).of
    begun = time.process_time()
    finder = build_finder(kept, tokens)
    built = time.process_time() - begun
    begun = time.thread_time()
    found = [[f.code for f in finder.find(text, 5)] for _, text in held]
    each = 1e3 * (time.thread_time() - begun) / len(held)
    lines = [
        f"Left-out names: {path.name}, {len(rows):,} concepts, {len(kept):,} names, {len(held):,} left out.",
        "",
        "| finder | exact concept top-1 | top-5 | ms each |",
        "|---|---|---|---|",
        _scores(f"concept finder (built in {built:.1f} s)", held, found, each),
    ]
    for name, peer in (("char 3-gram TF-IDF", _tfidf), ("RapidFuzz token_set", _fuzzy)):
        some = held if peer is _tfidf else held[:150]
        begun = time.thread_time()
        lines.append(_scores(name, some, peer(kept, some), 1e3 * (time.thread_time() - begun) / len(some)))
    return lines


def _scores(name: str, held: Sequence[tuple[str, str]], found: Sequence[Sequence[str]], each: float) -> str:
    first = np.mean([bool(f) and f[0] == code for (code, _), f in zip(held, found, strict=True)])
    five = np.mean([code in f for (code, _), f in zip(held, found, strict=True)])
    return f"| {name} | {first:.3f} | {five:.3f} | {each:.2f} |"


def _tfidf(kept: Sequence[tuple[str, str]], held: Sequence[tuple[str, str]]) -> list[list[str]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True)
    known = vectors.fit_transform([t for _, t in kept])
    asked = vectors.transform([t for _, t in held])
    found = []
    for place in range(0, len(held), 200):
        scores = np.asarray((asked[place : place + 200] @ known.T).todense())
        found += [_unique([kept[i][0] for i in np.argsort(-row)[:60]]) for row in scores]
    return found


def _fuzzy(kept: Sequence[tuple[str, str]], held: Sequence[tuple[str, str]]) -> list[list[str]]:
    from rapidfuzz import fuzz, process, utils

    texts = [t for _, t in kept]
    return [
        _unique([kept[i][0] for _, _, i in process.extract(text, texts, scorer=fuzz.token_set_ratio, limit=60,
                                                           processor=utils.default_process)])
        for _, text in held
    ]  # fmt: skip


def _unique(codes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(codes))[:5]


if __name__ == "__main__":
    main()

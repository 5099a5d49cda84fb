"""A population run: NDJSON -> shredded Arrow files -> a twin and plan per patient -> Parquet. Resumable; the same
digest whatever the engine, the number of tasks or their order.

    out/manifest.json            what this run is: inputs, knowledge, as_of; a run with another manifest is refused
    out/shards/*.arrow           pass 1 (removed when all is done, unless kept)
    out/<table>/bucket-*.parquet pass 2, one file per bucket and table
    out/done/bucket-*.json       receipts
    out/quarantine.csv           bad lines: file, offset, length, reason (never their content)
    out/summary.json             counts and the digest
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fhir_twin.errors import Conflict, InvalidInput
from fhir_twin.population.bucket import OURS, Bucket, Done, Site, knowledge_of, twins
from fhir_twin.population.executors import Executor
from fhir_twin.population.person import Task
from fhir_twin.population.ranges import SIZE, Range, cut, list_inputs
from fhir_twin.population.shred import Shredded, Whole, rows
from fhir_twin.population.tables import add_digests

BUCKET_BYTES = 64 * 1024 * 1024
MOST_BUCKETS = 4096
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shred:
    """A task of pass 1."""

    part: Range
    buckets: int
    out: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after every task. phase: read | twin; done and total in bytes (read) or buckets (twin)."""

    phase: str
    done: int
    total: int
    patients: int
    seconds: float

    @property
    def remaining(self) -> float:
        """Seconds, at the rate so far."""
        return self.seconds / self.done * (self.total - self.done) if self.done else float("inf")


@dataclass(frozen=True, slots=True)
class Summary:
    """states: patients by what became of them. faults: quarantined lines. passed: lines of types that are not read.
    digest: of all result rows. incomplete: made of an export that lacked files or lines."""

    patients: int
    states: dict[str, int]
    faults: int
    passed: int
    digest: str
    seconds: float
    incomplete: bool = False


def run_population(
    source: Path,
    out: Path,
    task: Task,
    executor: Executor,
    *,
    site: Site = OURS,
    range_bytes: int = SIZE,
    buckets: int = 0,
    keep_shards: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Run, or go on with a run that was stopped. Raises InvalidInput without input, Conflict when `out` holds another
    run. buckets 0: one per 64 MB."""
    began = time.monotonic()
    files = list_inputs(source)
    total = sum(p.stat().st_size for p in files)
    count = buckets or min(max(-(-total // BUCKET_BYTES), 4), MOST_BUCKETS)
    manifest = _manifest(files, task, knowledge_of(site).version, count)
    _claim(out, manifest)
    shreds = [
        Shred(part, count, str(out / "shards" / f"{n:06d}.arrow"))
        for n, part in enumerate(cut(files, range_bytes))
    ]
    (out / "shards").mkdir(exist_ok=True)
    work = [Bucket(n, count, tuple(s.out for s in shreds), str(out), task, site) for n in range(count)]
    todo = [b for b in work if not b.receipt.exists()]
    if todo or keep_shards or not (out / "read.json").exists():
        stamps = _stamps(files)
        _pass_one(shreds, executor, out, began, progress)
        if _stamps(files) != stamps:
            (out / "read.json").unlink(missing_ok=True)
            raise Conflict(
                "an input file changed while it was read: nothing of it can be trusted; run again into an empty folder"
            )
    done = [twins(b) for b in work if b.receipt.exists()]
    patients = sum(d.patients for d in done)
    for answer in executor.map(twins, todo):
        done.append(answer)
        patients += answer.patients
        progress(Progress("twin", len(done), count, patients, time.monotonic() - began))
    summary = _summary(done, out, time.monotonic() - began, task.incomplete)
    if not keep_shards:
        for shred in shreds:
            Path(shred.out).unlink(missing_ok=True)
    return summary


def _stamps(files: list[Path]) -> list[tuple[int, int]]:
    """Size and time of the last change of every input."""
    return [(f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _pass_one(
    shreds: list[Shred], executor: Executor, out: Path, began: float, progress: Callable[[Progress], None]
) -> None:
    todo = [s for s in shreds if not Path(s.out).exists()]
    total = sum(s.part.end - s.part.start for s in shreds)
    read = total - sum(s.part.end - s.part.start for s in todo)
    for shred, found in executor.map(shredded, todo):
        with Whole(Path(shred.out).with_suffix(".json")) as draft:
            draft.write_text(json.dumps(asdict(found)), "utf-8")
        read += shred.part.end - shred.part.start
        progress(Progress("read", read, total, 0, time.monotonic() - began))
    counts = Counter[str]()
    for shred in shreds:
        receipt = Path(shred.out).with_suffix(".json")
        found = Shredded(**json.loads(receipt.read_text("utf-8"))) if receipt.exists() else shredded(shred)[1]
        counts.update(asdict(found))
    _quarantine(shreds, out / "quarantine.csv")
    with Whole(out / "read.json") as draft:
        draft.write_text(json.dumps(counts, sort_keys=True), "utf-8")


def shredded(task: Shred) -> tuple[Shred, Shredded]:
    """Pass 1 for one range."""
    return task, rows(task.part, task.buckets, Path(task.out))


def _quarantine(shreds: list[Shred], path: Path) -> None:
    """All faults in one file, in the order of files and offsets."""
    with Whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "name", "offset", "length", "reason"])
        for shred in shreds:
            for row in _faults(Path(shred.out).with_suffix(".faults")):
                writer.writerow([row["file"], _type_name(shred.part), *list(row.values())[1:]])


def _type_name(part: Range) -> str:
    """A bulk export names its files by type; any other name may carry a patient's, and is not repeated."""
    stem = Path(part.path).name.split(".")[0]
    return stem if stem.isascii() and stem.isalpha() and stem[:1].isupper() and len(stem) < 40 else ""


def _faults(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with pa.memory_map(str(path)) as source:
            yield from pa.ipc.open_file(source).read_all().to_pylist()


def _manifest(files: list[Path], task: Task, version: str, buckets: int) -> dict[str, Any]:
    """What makes two runs the same: inputs by size and the ends of their bytes, knowledge, dates, buckets."""
    return {
        "format": FORMAT,
        "inputs": [_fingerprint(p) for p in files],
        "knowledge": version,
        "task": asdict(task),
        "buckets": buckets,
    }


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    sums = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        sums.update(stream.read(1 << 16))
        stream.seek(max(size - (1 << 16), 0))
        sums.update(stream.read(1 << 16))
    return sums.hexdigest()[:32]


def _claim(out: Path, manifest: dict[str, Any]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"the output folder cannot be made: {error.strerror}") from None
    path = out / "manifest.json"
    if path.exists():
        if json.loads(path.read_text("utf-8")) != manifest:
            raise Conflict(
                "the output folder holds a run of other inputs, dates or knowledge; choose another folder, or empty it"
            )
        return
    if any(p for p in out.iterdir() if not p.name.startswith(".")):
        raise Conflict("the output folder is not empty and holds no run of ours; nothing was written")
    with Whole(path) as draft:
        draft.write_text(json.dumps(manifest, indent=1), "utf-8")


def _summary(done: list[Done], out: Path, seconds: float, incomplete: bool) -> Summary:
    states: Counter[str] = Counter()
    for each in done:
        states.update(each.states)
    read = json.loads((out / "read.json").read_text("utf-8"))
    summary = Summary(
        patients=sum(d.patients for d in done),
        states=dict(sorted(states.items())),
        faults=int(read.get("faults", 0)) + sum(d.faults for d in done),
        passed=int(read.get("passed", 0)),
        digest=f"{add_digests([int(d.digest, 16) for d in done]):064x}",
        seconds=round(seconds, 3),
        incomplete=incomplete,
    )
    with Whole(out / "summary.json") as draft:
        draft.write_text(json.dumps(asdict(summary), indent=1, sort_keys=True), "utf-8")
    return summary


__all__ = ["Progress", "Shred", "Summary", "run_population", "shredded"]

"""Populations: reading against the bucket floor, the twin stage per core, memory against size, two workers against one.

    python benchmarks/bench_population.py [--patients 4000] [--large]

Floor (reading): the least that brings a patient's numeric Observations together by way of files: split at line
ends, msgspec
to seven fields, Arrow buckets. Ours also keeps every other resource, the raw line, offsets, and quarantines
what is broken. Ratios are the finding; absolute times depend on the machine."""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from fhir_twin.population.bucket import Site, knowledge_of
from fhir_twin.population.ranges import cut, list_inputs
from fhir_twin.population.shred import bucket_of, rows
from fhir_twin.population.stage import Rows, twin_stage
from fhir_twin.population.synth import write_cohort

BUCKETS = 8


class _Coding(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Concept(msgspec.Struct):
    coding: list[_Coding] = []


class _Quantity(msgspec.Struct):
    value: float | None = None
    unit: str = ""


class _Reference(msgspec.Struct):
    reference: str = ""


class _Observation(msgspec.Struct, rename={"when": "effectiveDateTime", "quantity": "valueQuantity"}):
    subject: _Reference | None = None
    code: _Concept | None = None
    when: str = ""
    quantity: _Quantity | None = None


def floor(files: list[Path], out: Path) -> int:
    """The bucket floor: numeric Observations only, as columns."""
    decode = msgspec.json.Decoder(_Observation).decode
    schema = pa.schema(
        [("p", pa.string()), ("c", pa.string()), ("t", pa.string()), ("v", pa.float64()), ("u", pa.string())]
    )
    count = 0
    for number, path in enumerate(files):
        columns: dict[int, list[list[Any]]] = defaultdict(lambda: [[], [], [], [], []])
        with path.open("rb", buffering=1 << 20) as stream:
            for line in stream:
                found = decode(line)
                if found.quantity is None or found.subject is None or found.code is None:
                    continue
                patient = found.subject.reference
                p, c, t, v, u = columns[bucket_of(patient, BUCKETS)]
                p.append(patient)
                c.append(found.code.coding[0].code)
                t.append(found.when)
                v.append(found.quantity.value)
                u.append(found.quantity.unit)
                count += 1
        with pa.OSFile(str(out / f"{number}.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for bucket in range(BUCKETS):
                arrays = [pa.array(a, f.type) for a, f in zip(columns[bucket], schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
    return count


def ours(files: list[Path], out: Path) -> int:
    return sum(rows(part, BUCKETS, out / f"{n}.arrow").kept for n, part in enumerate(cut(files)))


def _cpu(function: Any, files: list[Path]) -> float:
    folder = Path(tempfile.mkdtemp())
    began = time.process_time()
    function(files, folder)
    spent = time.process_time() - began
    shutil.rmtree(folder)
    return spent


def reading(files: list[Path], resources: int) -> None:
    pairs = [(_cpu(floor, files), _cpu(ours, files)) for _ in range(5)]
    ratio = statistics.median(b / a for a, b in pairs)
    rate = resources / statistics.median(b for _, b in pairs)
    print(f"reading: {resources:,} resources, {rate:,.0f}/s a core; {ratio:.2f}x the bucket floor (bar 1.3x)")


def stage(people: int) -> None:
    """8 biomarkers, 20 visits, 40 % of values missing; one core (CPU time of this process)."""
    known = knowledge_of(Site()).biomarkers
    keys = ("sbp", "dbp", "ldl", "hdl", "total-cholesterol", "hba1c", "egfr", "bmi")
    typical = np.array([128.0, 78, 120, 52, 200, 5.6, 85, 28])
    rng = np.random.default_rng(1)
    n = people * 20 * 5
    biomarker = rng.integers(0, len(keys), n)
    coded = Rows(
        rng.integers(0, people, n),
        biomarker,
        rng.uniform(0, 8, n),
        typical[biomarker] * np.exp(0.1 * rng.standard_normal(n)),
    )
    who = {"age": rng.uniform(30, 80, people), "sex": rng.choice(["female", "male"], people).tolist()}
    twin_stage(coded, who, np.full(people, 8.0), biomarkers=keys, known=known)
    spent = []
    for _ in range(3):
        began = time.process_time()
        twin_stage(coded, who, np.full(people, 8.0), biomarkers=keys, known=known)
        spent.append(time.process_time() - began)
    print(
        f"twin stage from coded rows: {people / statistics.median(spent):,.0f} patients/s a core (bar "
        f"2,000; {n:,} values)"
    )


def memory(files: list[Path]) -> None:
    """Peak memory of the reading stage in a process of its own, on the input once and five times."""
    code = (
        "import sys,resource;from pathlib import Path;from fhir_twin.population.ranges import cut;"
        "from fhir_twin.population.shred import rows;"
        "[rows(p,8,Path(sys.argv[1])/f'{n}.arrow') for n,p in enumerate(cut([Path(f) for f in sys.argv[2:]]))];"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for times in (1, 5):
        folder = tempfile.mkdtemp()
        done = subprocess.run(
            [sys.executable, "-c", code, folder, *(str(f) for f in files * times)],
            capture_output=True,
            text=True,
            check=True,
        )
        shutil.rmtree(folder)
        peaks.append(int(done.stdout) / 1024)
    first, fifth = peaks
    print(
        f"memory of reading: {first:.0f} MB, five times the input {fifth:.0f} MB: {fifth / first:.2f}x (bar 1.2x)"
    )


def workers(source: Path) -> None:
    """The whole run by the command, wall clock, with one and with two workers."""
    spent = []
    for count in (1, 2):
        out = Path(tempfile.mkdtemp()) / "out"
        words = ["population", "run", "--input", str(source), "--out", str(out), "--workers", str(count)]
        words += ["--as-of", "2026-10-01", "--buckets", "8"]
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "fhir_twin", *words], check=True, capture_output=True)
        spent.append(time.monotonic() - began)
        shutil.rmtree(out)
    one, two = spent
    print(
        f"whole run: {one:.1f} s with one worker, {two:.1f} s with two: {one / two:.2f}x (bar 1.6x, idle machine)"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--patients", type=int, default=4000, help="of the synthetic cohort (4,000 = about 280,000 resources)"
    )
    parser.add_argument("--people", type=int, default=10_000, help="of the twin stage")
    parser.add_argument(
        "--run", type=int, default=600, help="patients of the whole run with one and two workers"
    )
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    made = write_cohort(
        folder / "cohort", knowledge_of(Site()), patients=chosen.patients, seed=1, end=date(2026, 10, 1)
    )
    files = list_inputs(folder / "cohort")
    reading(files, sum(made.counts.values()))
    memory(files)
    stage(chosen.people)
    write_cohort(folder / "small", knowledge_of(Site()), patients=chosen.run, seed=2, end=date(2026, 10, 1))
    workers(folder / "small")
    shutil.rmtree(folder)
    print(f"peak memory of this script {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()

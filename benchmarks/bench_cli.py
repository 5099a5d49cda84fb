"""`fhir-twin --help` against a bare interpreter, and one patient's own CPU by stage (median of the sample patients)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime

from fhir_twin.knowledge import load_knowledge
from fhir_twin.pipeline import run
from fhir_twin.sandbox.stories import load_bundles

HELP_BAR = 0.3  # seconds
PATIENT_BAR = 0.15  # seconds of own CPU for one patient's whole run


def timed(*command: str) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> int:
    bare, helped = timed("-c", "pass"), timed("-m", "fhir_twin", "--help")
    print(f"--help {helped * 1000:.0f} ms, bare interpreter {bare * 1000:.0f} ms, ratio {helped / bare:.1f}")
    start = time.perf_counter()
    knowledge = load_knowledge()
    print(f"knowledge loaded in {time.perf_counter() - start:.2f} s")
    as_of = datetime(2026, 11, 1, tzinfo=UTC)
    bundles = load_bundles()
    run(bundles[0], knowledge, as_of)  # warm
    spent: dict[str, list[float]] = defaultdict(list)
    for bundle in bundles:
        for _ in range(3):
            done = run(bundle, knowledge, as_of)
            for stage, seconds in (*done.seconds, ("whole", sum(s for _, s in done.seconds))):
                spent[stage].append(seconds)
    for stage, seconds in spent.items():
        print(
            f"{stage:<10} median {1000 * statistics.median(seconds):7.1f} ms, worst {1000 * max(seconds):7.1f} ms"
        )
    ok = helped < HELP_BAR and statistics.median(spent["whole"]) < PATIENT_BAR
    print("bars met" if ok else f"BAR MISSED (help < {HELP_BAR} s, patient < {PATIENT_BAR} s)")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

"""Own CPU of writing one plan with one of everything: write, validate, reconcile (first run and nothing-changed run).

    python benchmarks/bench_write.py [--check]

The floor is what fhir.resources needs to parse the same Bundle: validation is compared with it in the same run.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fhir.resources.R4B import get_fhir_model_class
from write_samples import BASE, MemoryServer, plan

from fhir_twin.fhir.reconcile import reconcile
from fhir_twin.fhir.validate import validate_bundle
from fhir_twin.fhir.write import write_plan
from fhir_twin.transport.plan_writer import PlanWriter

BAR_MS = 75.0  # half of the 150 ms that one patient's whole plan may take
BAR_RATIO = 4.0  # our checks against the bare parse


def milliseconds(job: Callable[[], object], times: int = 15) -> float:
    job()
    spent = []
    for _ in range(times):
        start = time.process_time()
        job()
        spent.append(time.process_time() - start)
    return statistics.median(spent) * 1000


def main() -> int:
    bundle = write_plan(plan(), base=BASE)
    server = MemoryServer()
    PlanWriter(server).write("pat-1", bundle)
    held = [r for r in server.store.values() if r["resourceType"] != "Provenance"]

    def parse() -> None:
        for entry in bundle["entry"]:
            get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])

    figures = {
        "write_plan": milliseconds(lambda: write_plan(plan(), base=BASE)),
        "validate": milliseconds(lambda: validate_bundle(bundle)),
        "parse only (fhir.resources)": milliseconds(parse),
        "reconcile, first run": milliseconds(lambda: reconcile(bundle, [], base=BASE)),
        "reconcile, nothing changed": milliseconds(lambda: reconcile(bundle, held, base=BASE)),
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:7.1f} ms")
    total = figures["write_plan"] + figures["validate"] + figures["reconcile, nothing changed"]
    ratio = figures["validate"] / figures["parse only (fhir.resources)"]
    ok = total < BAR_MS and ratio < BAR_RATIO
    print(
        f"{len(bundle['entry'])} resources, {total:.1f} ms in all (bar {BAR_MS:.0f}); validate {ratio:.1f} x the parse"
    )
    print("bars met" if ok else "BAR MISSED")
    return 0 if ok or "--check" not in sys.argv else 1


if __name__ == "__main__":
    sys.exit(main())

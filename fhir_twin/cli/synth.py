"""`fhir-twin synth`: invented patients as FHIR NDJSON, for tests, demos and benchmarks of any size."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.cli.population_run import date_of, needed
from fhir_twin.settings import load_settings
from fhir_twin.wiring import open_knowledge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Every resource is tagged as synthetic (HTEST). The people are drawn from the twin's own model "
        "(docs/population.md): they show that the machinery works, not that the model is right about real people."
    )
    parser.add_argument("--patients", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="same seed, same people (default: 1)"
    )
    parser.add_argument(
        "--years", type=float, default=8.0, help="length of each record in years (default: 8)"
    )
    parser.add_argument("--end", metavar="DATE", help="the day on which the records end (default: today)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty or new folder")
    add_settings(parser, "knowledge", "cache")


def run(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.synth import write_cohort
    settings = load_settings(
        {n: getattr(arguments, n) for n in ("knowledge", "cache")}, file=arguments.settings
    )
    end = date_of(arguments.end) if arguments.end else datetime.now(UTC).date()

    def progress(done: int) -> None:
        if sys.stderr.isatty() and done % 100 == 0:
            print(f"\r{done:,} of {arguments.patients:,} people", end="", file=sys.stderr, flush=True)

    made = write_cohort(
        arguments.out,
        open_knowledge(settings),
        patients=arguments.patients,
        seed=arguments.seed,
        end=end,
        years=arguments.years,
        progress=progress,
    )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    counts = ", ".join(f"{n:,} {kind}" for kind, n in made.counts.items())
    print(f"{counts} -> {made.folder} (synthetic, tagged HTEST)")
    return 0

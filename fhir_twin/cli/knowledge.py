"""`fhir-twin knowledge`: check every knowledge file; names the file and the key of each fault."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.knowledge_check import check_knowledge
from fhir_twin.settings import load_settings
from fhir_twin.wiring import release_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overlay", metavar="DIR", type=Path, help="a site's folder of files, laid over ours"
    )
    add_settings(parser, "cache", "terminology")


def run(arguments: argparse.Namespace) -> int:
    flags = {"cache": arguments.cache, "terminology": arguments.terminology}
    settings = load_settings(flags, file=arguments.settings)
    report = check_knowledge(
        arguments.overlay, cache=settings.path("cache"), releases=release_folder(settings)
    )
    for fault in report.faults:
        print(f"FAULT  {fault}")
    for note in report.notes:
        print(f"note   {note}")
    for name, count in report.counts:
        print(f"{count:>7}  {name}")
    print(f"knowledge {report.version}: {len(report.faults)} faults", file=sys.stderr)
    return 1 if report.faults else 0

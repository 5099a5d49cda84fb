"""`fhir-twin knowledge`: check every knowledge file; names the file and the key of each fault."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.knowledge_check import check_knowledge
from fhir_twin.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overlay", metavar="DIR", type=Path, help="a site's folder of files, laid over ours"
    )
    add_settings(parser, "cache")


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({"cache": arguments.cache}, file=arguments.settings)
    report = check_knowledge(arguments.overlay, cache=settings.path("cache"))
    for fault in report.faults:
        print(f"FAULT  {fault}")
    for name, count in report.counts:
        print(f"{count:>7}  {name}")
    print(f"knowledge {report.version}: {len(report.faults)} faults", file=sys.stderr)
    return 1 if report.faults else 0

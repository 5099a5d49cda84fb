"""`fhir-twin validate`: the scientific checks, as a report that a clinician can read."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from fhir_twin import __version__
from fhir_twin.cli import add_settings
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import load_settings
from fhir_twin.validation import run_checks
from fhir_twin.validation.report import draw, to_html
from fhir_twin.wiring import open_knowledge
from mappings import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code 1 when a check is not passed. Plots need the extra: pip install 'fhir-twin[reports]'."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/validation"), metavar="DIR", help="where the report goes"
    )
    parser.add_argument(
        "--people", type=int, default=2000, metavar="N", help="simulated people (default: 2000)"
    )
    parser.add_argument("--seed", type=int, default=20260101, help="seed of the simulated people")
    parser.add_argument("--json", action="store_true", help="also print the checks as JSON")
    add_settings(parser, "knowledge", "cache")


def run(arguments: argparse.Namespace) -> int:
    flags = {name: getattr(arguments, name) for name in ("knowledge", "cache")}
    settings = load_settings(flags, file=arguments.settings)
    knowledge = open_knowledge(settings)

    def told(text: str) -> None:
        print(f"checking: {text} ...", file=sys.stderr, flush=True)

    source = Source(overlay=settings.path("knowledge"))
    checks = run_checks(knowledge, source, people=arguments.people, seed=arguments.seed, progress=told)
    facts = (
        ("fhir-twin", __version__),
        ("knowledge", knowledge.version),
        ("simulated people", str(arguments.people)),
        ("made on", f"{datetime.now(UTC):%Y-%m-%d}"),
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    page = arguments.out / "report.html"
    page.write_text(to_html(checks, "fhir-twin: scientific validation", facts), "utf-8")
    for check in checks:
        for number, figure in enumerate(check.figures):
            (arguments.out / f"{check.key}-{number + 1}.png").write_bytes(draw(figure))
    if arguments.json:
        print(json.dumps(to_plain(checks)))
    else:
        for check in checks:
            print(f"{'passed' if check.passed else 'NOT PASSED':<11} {check.title} ({check.bar})")
    print(f"report: {page}", file=sys.stderr)
    return 0 if all(check.passed for check in checks) else 1

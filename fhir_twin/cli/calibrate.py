"""`fhir-twin calibrate`: re-estimate the forecast intervals from this site's patients, and say how they hold now."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from fhir_twin import log
from fhir_twin.assimilation.calibration import Calibration, calibrate_site
from fhir_twin.cli import add_settings
from fhir_twin.cli.run import SETTINGS, parse_as_of
from fhir_twin.errors import InvalidInput
from fhir_twin.model.coded import CodedChart
from fhir_twin.service import TwinService
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import open_files, open_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Nothing is written to the server. Put the file into the site's knowledge folder as "
        "biomarkers/calibration.toml; it holds no patient data. Exit code 1 when a group's 80 % intervals hold "
        "less than 76 or more than 84 %."
    )
    parser.add_argument("--bundle", metavar="FILE|DIR", type=Path, help="read files instead of a server")
    parser.add_argument("--as-of", metavar="DATE", help="pretend it is this date (ISO 8601)")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=Path("calibration.toml"), help="where the tables go"
    )
    parser.add_argument("--json", action="store_true", help="print the coverage as one JSON document")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({name: getattr(arguments, name) for name in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    service = _open(arguments, settings)
    found = calibrate_site(_charts(service, arguments.as_of), service.knowledge.biomarkers)
    if found.tables:
        arguments.out.write_text(found.toml(), "utf-8")
    if arguments.json:
        print(json.dumps({"coverage": found.covered, "alarms": found.alarms, "tables": len(found.tables)}))
    else:
        print(report(found, arguments.out))
    return 1 if found.alarms else 0


def report(found: Calibration, out: Path) -> str:
    """Coverage of the intervals in use, a line per biomarker and group, and what to do with the file."""
    lines = ["80 % intervals in use: share of values inside (number of values); ! = outside 76-84 %"]
    rung = set(found.alarms)
    for biomarker, groups in found.covered.items():
        for group, (share, count) in groups.items():
            mark = "!" if (biomarker, group) in rung else " "
            lines.append(f"{mark} {biomarker:20s} {group:24s} {100 * share:5.1f} %  ({count})")
    if not found.covered:
        lines.append("no value with a history before it: nothing to test the intervals on")
    elif not found.tables:
        lines.append("too few values for a table of this site (100 per biomarker): nothing was written")
    else:
        lines.append(f"{len(found.tables)} cells written to {out}; use it as biomarkers/calibration.toml")
    return "\n".join(lines)


def _charts(service: TwinService, as_of: str | None) -> Iterator[CodedChart]:
    """The coded charts, one by one; a patient that cannot be read is said and left out."""
    for outcome in service.run_many(list(service.source.patients()), parse_as_of(as_of), dry_run=True):
        if outcome.run is None:
            print(f"{outcome.patient}: {outcome.state}, left out", file=sys.stderr)
        else:
            yield outcome.run.coded


def _open(arguments: argparse.Namespace, settings: Settings) -> TwinService:
    if arguments.bundle is not None:
        return open_files(settings, arguments.bundle)
    if not settings.text("server"):
        raise InvalidInput("say where the patients are: --server URL, or --bundle FILE|DIR")
    return open_service(settings)

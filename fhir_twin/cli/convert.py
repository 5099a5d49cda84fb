"""`fhir-twin convert`: HL7 v2 files and C-CDA documents to FHIR Bundles, to look at or to feed to `fhir-twin run`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_twin.cli import add_settings
from fhir_twin.errors import Issue, TwinError
from fhir_twin.fhir.encode import dump_json
from fhir_twin.fhir.xml import to_xml
from fhir_twin.intake.ccda import read_ccda
from fhir_twin.intake.hl7v2 import parse_message, split_batch
from fhir_twin.intake.hl7v2_map import Mapped, map_message
from fhir_twin.intake.site import Site
from fhir_twin.settings import load_settings
from fhir_twin.wiring_feeds import open_site

SETTINGS = ("intake_zone", "intake_processing", "intake_authorities", "knowledge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Files: HL7 v2 (one message, many, or FHS/BHS batches) or C-CDA XML; - reads standard input. Findings go to "
        "standard error. Exit codes: 0 all converted, 1 something was refused."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="one file per patient and message (default: lines to standard output)",
    )
    parser.add_argument("--xml", action="store_true", help="FHIR XML instead of JSON (with --out)")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    site = open_site(settings)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    refused = number = 0
    for path in arguments.files:
        try:
            data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            refused += 1
            continue
        for name, found in _read(path.name, data, site):
            if isinstance(found, TwinError):
                refused += 1
                print(f"{name}: refused: {found.message}", file=sys.stderr)
                continue
            _tell(name, found.issues)
            for update in found.updates:
                number += 1
                _write(arguments, f"{number:04d}-{path.stem}", update.bundle())
    return 1 if refused else 0


def _read(name: str, data: bytes, site: Site) -> Iterator[tuple[str, Mapped | TwinError]]:
    if data.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \r\n\t").startswith(b"<"):
        try:
            yield name, read_ccda(data, site)
        except TwinError as error:
            yield name, error
        return
    for number, message in enumerate(split_batch(data), 1):
        try:
            yield f"{name} message {number}", map_message(parse_message(message), site)
        except TwinError as error:
            yield f"{name} message {number}", error


def _tell(name: str, issues: tuple[Issue, ...]) -> None:
    for issue in issues:
        print(f"{name}: {issue.severity}: {issue.diagnostics} {issue.expression}".rstrip(), file=sys.stderr)


def _write(arguments: argparse.Namespace, name: str, bundle: dict[str, Any]) -> None:
    if arguments.out is None:
        sys.stdout.buffer.write(dump_json(bundle) + b"\n")
        sys.stdout.flush()
        return
    suffix, body = (".xml", to_xml(bundle)) if arguments.xml else (".json", dump_json(bundle))
    (arguments.out / f"{name}{suffix}").write_bytes(body)

"""`fhir-twin load`: put bundle files, or our sample patients, on a FHIR server."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput
from fhir_twin.sandbox.stories import load_bundles
from fhir_twin.settings import load_settings
from fhir_twin.transport.loader import load
from fhir_twin.wiring import open_server

SETTINGS = ("server", "token", "token_file", "basic_auth", "ca_bundle", "timeout", "retries")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", type=Path, help="Bundle files (.json, .json.gz) or folders of them"
    )
    parser.add_argument(
        "--samples", action="store_true", help="load fhir-twin's own synthetic sample patients"
    )
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave out the first N bundles")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    if not arguments.files and not arguments.samples:
        raise InvalidInput("say what to load: files, folders, or --samples")
    server = open_server(settings)
    bundles = load_bundles(datetime.now(UTC).date()) if arguments.samples else []

    def told(text: str) -> None:
        print(text, file=sys.stderr)

    loaded = load(server, bundles, arguments.files, skip=arguments.skip, progress=told)
    print(f"loaded {loaded} bundles into {server.base}")
    return 0

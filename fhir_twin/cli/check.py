"""`fhir-twin check`: can we work with this server? One line a question; nothing is written."""

from __future__ import annotations

import argparse
import json

from fhir_twin.cli import add_settings
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import load_settings
from fhir_twin.transport.selftest import check_server
from fhir_twin.wiring import open_server

SETTINGS = ("server", "token", "token_file", "basic_auth", "ca_bundle", "timeout", "retries", "rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 0 all pass or work with the loss that is named, 1 something fails."
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    checks = []
    for check in check_server(open_server(settings)):
        checks.append(check)
        if not arguments.json:
            advice = f"\n       -> {check.advice}" if check.advice else ""
            print(f"{check.state:<5}  {check.name}: {check.seen}{advice}", flush=True)
    if arguments.json:
        print(json.dumps(to_plain(checks)))
    return 1 if any(check.state == "fail" for check in checks) else 0

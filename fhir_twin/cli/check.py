"""`fhir-twin check URL`: can we work with this server, and what will work on it? Nothing is written without --write."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from fhir_twin.cli import add_settings
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import load_settings
from fhir_twin.transport.selftest import Ask, Check, check_server
from fhir_twin.transport.selftest_features import Feature, features
from fhir_twin.transport.selftest_report import junit, page
from fhir_twin.wiring import open_server

SETTINGS = (
    "server",
    "token",
    "token_file",
    "basic_auth",
    "ca_bundle",
    "servers_file",
    "key_folder",
    "timeout",
    "retries",
    "rate",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit codes: 0 all pass, or work with the loss that is named, or are not offered; 1 something fails. "
        "Nothing that is printed or written holds patient data."
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="base URL of the FHIR server (or --server)")
    more = parser.add_argument_group("what else to check")
    more.add_argument(
        "--smart", action="store_true", help="SMART App Launch and Backend Services (no login is made)"
    )
    more.add_argument(
        "--bulk", action="store_true", help="Bulk Data: start a small export, and drop it again"
    )
    more.add_argument(
        "--hooks", nargs="?", const="", metavar="URL", help="a CDS Hooks service (default: at the base URL)"
    )
    more.add_argument("--write", action="store_true", help="write test resources, and delete them again")
    more.add_argument(
        "--patient", default="", metavar="ID", help="with --write: the test patient to write drafts for"
    )
    more.add_argument("--all", action="store_true", help="--smart, --bulk and --hooks (not --write)")
    out = parser.add_argument_group("output")
    out.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    out.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    out.add_argument("--html", type=Path, metavar="FILE", help="also write a page to hand on")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    flags = {n: getattr(arguments, n) for n in SETTINGS}
    flags["server"] = arguments.url or flags["server"]
    settings = load_settings(flags, file=arguments.settings)
    server = open_server(settings)
    hooks = arguments.hooks if arguments.hooks is not None else ("" if arguments.all else None)
    ask = Ask(
        smart=arguments.smart or arguments.all,
        bulk=arguments.bulk or arguments.all,
        hooks=(hooks or settings.text("server")) if hooks is not None else "",
        write=arguments.write,
        patient=arguments.patient,
    )
    checks: list[Check] = []
    for check in check_server(server, ask):
        checks.append(check)
        if not arguments.json:
            _line(check)
    found = features(checks)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if arguments.junit is not None:
        arguments.junit.write_bytes(junit(checks, settings.text("server")))
    if arguments.html is not None:
        arguments.html.write_bytes(page(checks, found, settings.text("server"), when))
    if arguments.json:
        print(
            json.dumps(
                {"server": settings.text("server"), "checks": to_plain(checks), "features": to_plain(found)}
            )
        )
    else:
        _summary(checks, found)
    return 1 if any(check.state == "fail" for check in checks) else 0


def _line(check: Check) -> None:
    advice = f"\n{'':<13}-> {check.advice}" if check.advice else ""
    print(f"{check.state:<11}  {check.id:<4} {check.name}: {check.seen}{advice}", flush=True)


def _summary(checks: list[Check], found: tuple[Feature, ...]) -> None:
    counts = Counter(c.state for c in checks)
    print(f"\n{len(checks)} checks: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    print("\nWhat will work:")
    for feature in found:
        print(f"  {feature.works:<11}  {feature.name}" + (f" ({feature.why})" if feature.why else ""))
    sys.stdout.flush()

"""`fhir-twin audit`: the access log: list, export as AuditEvents, prove that nothing was changed."""

from __future__ import annotations

import argparse
import json
import sys

from fhir_twin.cli import add_settings
from fhir_twin.settings import load_settings
from fhir_twin.wiring_work import open_settings_store

SETTINGS = ("store", "tenant")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("list", "who looked at or changed what, newest last"),
        ("export", "AuditEvents as NDJSON on standard output"),
        ("verify", "whether every event still follows from the one before it"),
    ):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name != "verify":
            action.add_argument(
                "--patient", default="", metavar="ID", help="only this patient (accounting of disclosures)"
            )
            action.add_argument(
                "--limit", type=int, default=1000, metavar="N", help="at most so many (default: 1000)"
            )
            action.add_argument(
                "--after", type=int, default=0, metavar="ID", help="only events after this one"
            )
        add_settings(action, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    store = open_settings_store(settings)
    try:
        if arguments.action == "verify":
            broken = store.audit.broken()
            print(
                "the audit is whole"
                if broken is None
                else f"the audit was changed at or before event {broken}"
            )
            return 0 if broken is None else 1
        for row in store.audit.rows(patient=arguments.patient, after=arguments.after, limit=arguments.limit):
            if arguments.action == "export":
                print(json.dumps(json.loads(row.body), separators=(",", ":")))
            else:
                print(f"{row.id:>7} {row.recorded:%Y-%m-%d %H:%M:%S} {row.what:9} {row.outcome:2} "
                      f"{row.patient or '-'} by {row.who}")  # fmt: skip
        return 0
    finally:
        store.close()
        sys.stdout.flush()

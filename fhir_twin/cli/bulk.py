"""`fhir-twin bulk`: a population by Bulk Data: kick off, poll, download; resumed after a crash; kept up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput
from fhir_twin.settings import load_settings
from fhir_twin.transport.bulk_export import BulkExport, BulkRequest
from fhir_twin.transport.bulk_files import Contents, bring_up_to_date, look
from fhir_twin.transport.bulk_state import read_state
from fhir_twin.transport.download import Downloader
from fhir_twin.wiring import open_server

SETTINGS = (
    "server", "token", "token_file", "basic_auth", "ca_bundle", "timeout", "retries", "retry_budget", "rate",
    "servers_file", "key_folder", "cache", "log_level",
)  # fmt: skip
TYPES = (
    "Patient,Observation,Condition,MedicationRequest,MedicationStatement,Medication,AllergyIntolerance,Procedure,"
    "Encounter,DiagnosticReport,Immunization,FamilyMemberHistory,Goal,CarePlan,Consent,ServiceRequest"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The folder then holds NDJSON files: fhir-twin run --bundle DIR reads them. An export that was interrupted "
        "goes on with the same command. Exit codes: 0 complete, 1 lines or files are missing, 2 it could not be done."
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of this export")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--group", default="", metavar="ID", help="only the members of this Group")
    scope.add_argument(
        "--system", action="store_true", help="the whole server, not only what belongs to patients"
    )
    parser.add_argument("--types", default=TYPES, metavar="LIST", help='resource types ("" = all)')
    parser.add_argument(
        "--type-filter", action="append", default=[], metavar="Type?param=value", help="may be repeated"
    )
    since = parser.add_mutually_exclusive_group()
    since.add_argument(
        "--since", default="", metavar="INSTANT", help="only what changed since (a time of the server)"
    )
    since.add_argument(
        "--after", metavar="DIR", type=Path, help="bring this earlier export up to date, in --out"
    )
    parser.add_argument(
        "--host", action="append", default=[], metavar="ORIGIN", help="further host that files may come from"
    )
    parser.add_argument(
        "--cancel", action="store_true", help="give up the export in this folder, on the server too"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({n: getattr(arguments, n) for n in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    server = open_server(settings)
    downloader = Downloader(server.client, hosts=frozenset(arguments.host))
    export = BulkExport(server.client, arguments.out, downloader, tell=_say)
    if arguments.cancel:
        export.cancel()
        return 0
    old = read_state(arguments.after) if arguments.after is not None else None
    if arguments.after is not None and (old is None or old.step not in ("downloaded", "done")):
        raise InvalidInput("--after names no finished export")
    if export.state is not None and export.state.step in ("running", "ready", "downloaded"):
        _say(f"going on with the export in {arguments.out} ({export.state.step})")
    else:
        types = tuple(t for t in arguments.types.split(",") if t)
        since = arguments.since or (old.time if old else "")
        export.start(
            BulkRequest(arguments.group, arguments.system, types, since, tuple(arguments.type_filter))
        )
    if export.state is not None and export.state.step == "running":
        export.wait()
    if export.state is not None and export.state.step == "ready":
        export.download()
    assert export.state is not None
    found = look(arguments.out, export.state)
    if old is not None and export.state.since:
        copied = bring_up_to_date(arguments.after, old, arguments.out, export.state, found.gone)
        _say(f"{copied} rows of the earlier export are still in force")
    export.finish()
    _report(found, export.state.time)
    return 1 if found.bad or found.short or found.said["error"] or found.said["fatal"] else 0


def _report(found: Contents, time: str) -> None:
    for type_, rows in sorted(found.rows.items()):
        print(f"{rows:>10}  {type_}")
    print(
        f"{sum(found.rows.values()):>10}  rows; {len(found.gone)} deleted; {found.bad} lines could not be read"
    )
    if found.said:
        told = ", ".join(f"{n} {s}" for s, n in sorted(found.said.items()))
        print(f"the server says of this export: {told}")
    for issue in found.issues[:20]:
        print(f"  {issue.severity}: {issue.diagnostics} {issue.expression}".rstrip())
    if len(found.issues) > 20:
        print(f"  ... and {len(found.issues) - 20} more")
    print(f"as of {time} (the server's time)")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

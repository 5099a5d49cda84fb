"""`fhir-twin run`: the main job on a server's patients or on files."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhir_twin import log
from fhir_twin.cli import add_settings, report
from fhir_twin.errors import InvalidInput
from fhir_twin.fhir.write_document import TITLE
from fhir_twin.fhir.write_pdf import narrative_pdf
from fhir_twin.fhir.write_print import print_plan, print_sheet
from fhir_twin.model.plain import to_plain
from fhir_twin.service import Outcome, TwinService, moment_of
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import open_files, open_service

SETTINGS = (
    "server", "token", "token_file", "basic_auth", "ca_bundle", "servers_file", "key_folder", "timeout", "retries",
    "rate", "page_size", "threads", "post_search", "ai_label", "knowledge", "cache", "store", "tenant", "log_level",
)  # fmt: skip
SEAMS = ("chart", "coded", "twin", "plan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 0 all done, 1 a patient failed, 2 nothing could start."
    who = parser.add_argument_group("which patients")
    who.add_argument(
        "--patient", metavar="ID", nargs="+", default=[], help="ids on the server, or in the files"
    )
    who.add_argument(
        "--identifier", metavar="SYSTEM|VALUE", action="append", default=[], help="find by identifier"
    )
    who.add_argument("--all", action="store_true", help="every patient of the server (files: always all)")
    who.add_argument(
        "--bundle", metavar="FILE|DIR", type=Path, help="read Bundles or NDJSON instead of a server"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--dry-run", action="store_true", help="do everything but write; say what would be written"
    )
    how.add_argument(
        "--as-of", metavar="DATE", help="pretend it is this date (ISO 8601); later data are not read"
    )
    how.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="also put each patient's plan Bundle, run and print forms there",
    )
    how.add_argument(
        "--show", choices=SEAMS, action="append", default=[], help="print this stage's value as JSON"
    )
    how.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    how.add_argument("--brief", action="store_true", help="only the summary table")
    how.add_argument(
        "--workers", type=int, default=2, metavar="N", help="patients worked on at once (default: 2)"
    )
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    flags = {name: getattr(arguments, name) for name in SETTINGS}
    settings = load_settings(flags, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    as_of = parse_as_of(arguments.as_of)
    arguments.unsaved = False
    if arguments.out is not None:
        _check_folder(arguments.out)
    service = _open(arguments, settings)
    patients = _patients(arguments, service)
    total = len(patients)
    done = itertools.count(1)

    def progress(outcome: Outcome) -> None:
        seconds = sum(outcome.seconds.values())
        print(
            f"[{next(done)}/{total}] {outcome.patient}: {outcome.state} in {seconds:.1f} s", file=sys.stderr
        )

    outcomes: list[Outcome] = []
    dry_run = arguments.dry_run or not settings.flag("write")
    for outcome in service.run_many(
        patients, as_of, dry_run=dry_run, workers=max(1, arguments.workers), progress=progress
    ):
        outcomes.append(_kept(outcome, arguments))
    if arguments.json:
        print(
            json.dumps({"as_of": as_of.isoformat(), "patients": [_as_json(o, arguments) for o in outcomes]})
        )
    else:  # what --show prints is for a program: the table must not stand in its way
        print(summary(outcomes), file=sys.stderr if arguments.show else sys.stdout)
    return 0 if all(o.ok for o in outcomes) and not arguments.unsaved else 1


def parse_as_of(text: str | None) -> datetime:
    """Now without a text; a date alone means its end, in UTC; a time needs its zone."""
    if text is None:
        return datetime.now(UTC)
    try:
        when = moment_of(text)
    except ValueError:
        raise InvalidInput(f"--as-of {text!r} is not an ISO 8601 date") from None
    if when.tzinfo is None:
        raise InvalidInput("--as-of with a time needs a zone, e.g. 2026-01-31T12:00:00Z")
    return when


def summary(outcomes: list[Outcome]) -> str:
    """One line per patient and a total."""
    rows: list[tuple[str, ...]] = [
        ("patient", "state", "read", "coded", "values", "proposals", "rejected", "questions", "issues", "s")
    ]
    for o in outcomes:
        run_ = o.run
        figures: tuple[str, ...] = ("-",) * 6
        if run_ is not None:
            plan = run_.plan
            read = sum(n for _, n in run_.chart.counts)
            used = sum(p.used for p in run_.twin.points)
            sizes = (
                read,
                len(run_.coded.decisions),
                used,
                len(plan.recommendations),
                len(plan.rejected),
                len(plan.questions),
            )
            figures = tuple(str(n) for n in sizes)
        problems = sum(i.severity in ("error", "fatal", "warning") for i in o.issues)
        rows.append((o.patient, o.state, *figures, str(problems), f"{sum(o.seconds.values()):.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    states = sorted({o.state for o in outcomes})
    total = ", ".join(f"{sum(o.state == s for o in outcomes)} {s}" for s in states)
    return "\n".join(["", *lines, f"{len(outcomes)} patients: {total or 'none found'}"])


def _open(arguments: argparse.Namespace, settings: Settings) -> TwinService:
    if arguments.bundle is not None:
        if settings.origin("server") == "flag":
            raise InvalidInput("give --server or --bundle, not both")
        return open_files(settings, arguments.bundle)
    if not settings.text("server"):
        raise InvalidInput("say where the patients are: --server URL, or --bundle FILE|DIR")
    service = open_service(settings)
    if settings.text("store"):  # a store that is named keeps the audit of this run, too
        from fhir_twin.wiring_work import audit_of, open_settings_store

        service.audit = audit_of(settings, open_settings_store(settings))
    return service


def _patients(arguments: argparse.Namespace, service: TwinService) -> list[str]:
    chosen = list(arguments.patient)
    for token in arguments.identifier:
        system, bar, value = token.partition("|")
        if not bar or not value:
            raise InvalidInput("--identifier wants SYSTEM|VALUE")
        chosen.append(service.source.find(system, value))
    if not chosen and (arguments.all or arguments.bundle is not None):
        chosen = list(service.source.patients())
    elif not chosen:
        raise InvalidInput("say which patients: --patient ID, --identifier SYSTEM|VALUE, or --all")
    return list(dict.fromkeys(chosen))


def _kept(outcome: Outcome, arguments: argparse.Namespace) -> Outcome:
    """Print and store what was asked for as soon as it is there."""
    if arguments.out is not None and not _store(outcome, arguments.out):
        arguments.unsaved = True
    if not arguments.json:
        for seam in arguments.show:
            value = getattr(outcome.run, seam) if outcome.run else None
            print(json.dumps({"patient": outcome.patient, seam: to_plain(value)}, indent=1))
        if not arguments.brief and not arguments.show:
            print(report.describe(outcome), flush=True)
    return outcome


def _check_folder(folder: Path) -> None:
    """Made and tried before the first patient: nothing is to be written to a server and then lost here."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInput(f"--out {folder} cannot be written to: {error.strerror}") from None


def _store(outcome: Outcome, folder: Path) -> bool:
    name = (
        "".join(c if c.isalnum() or c in "-." else "_" for c in outcome.patient)[:64].lstrip(".") or "patient"
    )
    texts = {"run.json": json.dumps(to_plain(_as_json(outcome, None)), indent=1)}
    if outcome.run is not None:
        texts["plan-bundle.json"] = json.dumps(to_plain(outcome.run.output), indent=1)
        texts["plan.html"] = print_plan(outcome.run.plan)
        texts["patient.html"] = print_sheet(outcome.run.plan)
        plans = [e["resource"] for e in outcome.run.output["entry"]]
        plan = next((r for r in plans if r["resourceType"] == "CarePlan"), None)
        if plan is not None and not _store_pdf(folder / f"{name}.plan.pdf", plan):
            return False
    for suffix, value in texts.items():
        path = folder / f"{name}.{suffix}"
        try:
            if value:
                path.write_text(value, "utf-8")
        except OSError as error:  # a full disk: the run goes on, says so, and does not end with 0
            print(f"fhir-twin: a file in --out was not written: {error.strerror}", file=sys.stderr)
            return False
    return True


def _store_pdf(path: Path, plan: dict[str, Any]) -> bool:
    """The plan to print, and to put into a record by hand where the server takes none (E8)."""
    try:
        path.write_bytes(narrative_pdf(plan["text"]["div"], TITLE))
    except OSError as error:
        print(f"fhir-twin: a file in --out was not written: {error.strerror}", file=sys.stderr)
        return False
    return True


def _as_json(outcome: Outcome, arguments: argparse.Namespace | None) -> object:
    seams = SEAMS if arguments is None else tuple(arguments.show) or ("plan",)
    value = {
        "patient": outcome.patient,
        "state": outcome.state,
        "seconds": outcome.seconds,
        "error": outcome.error.message if outcome.error else None,
        "written": outcome.written,
        "issues": outcome.issues,
        **{seam: getattr(outcome.run, seam) for seam in seams if outcome.run},
    }
    return to_plain(value)

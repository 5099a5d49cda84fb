"""`fhir-twin population`: many patients from NDJSON to Parquet, and what one asks of the result."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.cli.population_run import needed, run_arguments, save_report
from fhir_twin.cli.population_run import run as run_population
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import load_settings

if TYPE_CHECKING:
    from fhir_twin.population.worklist import Filter

WRITE_SETTINGS = ("store", "tenant", "queue_depth", "queue_free", "lease", "log_level")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run_arguments(
        actions.add_parser("run", help="NDJSON in, twins, risks, proposals and gaps as Parquet out")
    )
    _worklist_arguments(actions.add_parser("worklist", help="who gains most from the best next action"))
    _write_arguments(
        actions.add_parser("write", help="bring chosen patients' plans to the server, by the queue")
    )
    _report_arguments(
        actions.add_parser("fairness", help="is the twin as right and as useful for every group?"),
        "fairness.html",
    )
    _report_arguments(
        actions.add_parser("drift", help="do coverage, events and inputs hold over time?"), "drift.html"
    )


def _worklist_arguments(parser: argparse.ArgumentParser) -> None:
    _choosing(parser)
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="skip the first N")
    parser.add_argument(
        "--format",
        choices=("text", "csv", "json", "group", "list"),
        default="text",
        help="group, list: FHIR R4",
    )
    parser.add_argument("--title", default="Worklist by expected benefit", help="of the FHIR Group or List")


def _write_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Accepts one piece of work per chosen patient into the durable queue: the record is read anew from the server, "
        "planned, and the draft plan written (`fhir-twin worker` does it). The same run and patient are accepted once."
    )
    _choosing(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say who would be written")
    add_settings(parser, *WRITE_SETTINGS)


def _choosing(parser: argparse.ArgumentParser) -> None:
    """The results and the worklist's filters."""
    parser.add_argument("results", metavar="DIR", type=Path, help="the --out folder of a population run")
    parser.add_argument("--order", default="benefit", help="benefit (default), danger, risk, due or gaps")
    parser.add_argument(
        "--action",
        dest="proposal",
        default="",
        metavar="WORDS",
        help="only where the next action says so (statin)",
    )
    parser.add_argument(
        "--condition", default="", metavar="GROUP", help="only with this condition group (hypertension)"
    )
    parser.add_argument("--due", default="", metavar="WORDS", help="only where this is due (colorectal)")
    parser.add_argument("--outcome", default="", help="only where the action lowers this outcome (cvd ...)")
    parser.add_argument("--sex", default="", help="female, male, other or unknown")
    parser.add_argument("--age-from", type=float)
    parser.add_argument("--age-to", type=float)
    parser.add_argument(
        "--least", type=float, metavar="WORTH", help="least worth (weighted events avoided, e.g. 0.01)"
    )
    parser.add_argument("--danger", action="store_true", help="only with a finding of high severity")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="how many (default: 50)")


def _report_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("results", metavar="DIR", type=Path, help="the --out folder of a population run")
    parser.add_argument(
        "--out", type=Path, default=Path(out), metavar="FILE", help=f"the report (default: {out})"
    )
    parser.add_argument(
        "--outcome", default="cvd", help="cvd, ascvd, mi, stroke, heart-failure, death ... (default: cvd)"
    )
    parser.add_argument(
        "--least", type=int, default=10, metavar="N", help="smallest group that is told (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="also write the numbers beside it, as JSON")


def run(arguments: argparse.Namespace) -> int:
    actions = {
        "run": run_population,
        "worklist": _worklist,
        "write": _write,
        "fairness": _fairness,
        "drift": _drift,
    }
    return actions[arguments.action](arguments)


def _worklist(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.results import Results
        from fhir_twin.population.worklist import worklist
        from fhir_twin.population.worklist_out import to_csv, to_group, to_lines, to_list
    results = Results(arguments.results)
    page = worklist(results, _filter(arguments), offset=arguments.offset, limit=arguments.limit)
    key = f"{results.summary['digest'][:16]}-{arguments.order}-{arguments.offset}-{arguments.limit}"
    when = datetime.now(UTC).replace(microsecond=0)
    if arguments.format == "csv":
        sys.stdout.write(to_csv(page.entries))
    elif arguments.format == "json":
        print(json.dumps({"total": page.total, "entries": to_plain(page.entries)}))
    elif arguments.format == "group":
        print(json.dumps(to_group(page.entries, key=key, title=arguments.title)))
    elif arguments.format == "list":
        print(json.dumps(to_list(page.entries, key=key, title=arguments.title, when=when)))
    else:
        print(to_lines(page.entries) or "nobody matches")
        last = arguments.offset + len(page.entries)
        if page.entries:
            print(f"{arguments.offset + 1} to {last} of {page.total}; --offset {last} shows the next")
    return 0


def _write(arguments: argparse.Namespace) -> int:
    """One piece of work per patient; the key makes a second call harmless."""
    with needed():
        from fhir_twin.population.results import Results
        from fhir_twin.population.worklist import worklist
    from fhir_twin.wiring_work import open_settings_store
    from fhir_twin.worker.refresh import refresh_work

    results = Results(arguments.results)
    chosen = worklist(results, _filter(arguments), limit=arguments.limit)
    if arguments.dry_run:
        for entry in chosen.entries:
            print(f"would write {entry.patient}: {entry.action or 'findings and questions only'}")
        print(f"{len(chosen.entries)} of {chosen.total}; nothing was accepted")
        return 0
    settings = load_settings({n: getattr(arguments, n) for n in WRITE_SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    run_id = str(results.summary["digest"])[:16]
    store = open_settings_store(settings)
    try:
        work = [
            refresh_work(e.patient, "worklist", key=f"worklist/{run_id}/{e.patient}") for e in chosen.entries
        ]
        accepted = store.jobs.accept_many(work)
    finally:
        store.close()
    fresh = sum(not a.duplicate for a in accepted)
    print(
        f"{fresh} accepted, {len(accepted) - fresh} had been accepted before; `fhir-twin worker` writes them"
    )
    return 0


def _filter(arguments: argparse.Namespace) -> Filter:
    from fhir_twin.population.worklist import Filter

    return Filter(
        order=arguments.order,
        action=arguments.proposal,
        condition=arguments.condition,
        due=arguments.due,
        outcome=arguments.outcome,
        sex=arguments.sex,
        age_from=arguments.age_from,
        age_to=arguments.age_to,
        least_worth=arguments.least,
        danger=arguments.danger,
    )


def _fairness(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.fairness import fairness
        from fhir_twin.population.fairness_report import fairness_html
        from fhir_twin.population.results import Results
    results = Results(arguments.results)
    found = fairness(results, outcome=arguments.outcome, least=arguments.least)
    save_report(arguments, fairness_html(found, results), found)
    flagged = sum(len(r.flags) for r in found.rows)
    print(
        f"{found.rows[0].people:,} people, {flagged} differences between groups beyond chance -> {arguments.out}"
    )
    return 0


def _drift(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.drift import drift, drift_html
        from fhir_twin.population.results import Results
    results = Results(arguments.results)
    found = drift(results, outcome=arguments.outcome, least=arguments.least)
    save_report(arguments, drift_html(found, results), found)
    print("\n".join(found.alarms) or "no alarm")
    print(f"-> {arguments.out}")
    return 1 if found.alarms else 0

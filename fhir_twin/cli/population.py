"""`fhir-twin population`: many patients from NDJSON to Parquet, and what one asks of the result."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.errors import InvalidInput, NotSupported
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import load_settings

if TYPE_CHECKING:
    from fhir_twin.population.executors import Executor
    from fhir_twin.population.run import Progress
    from fhir_twin.population.worklist import Filter

SETTINGS = ("knowledge", "cache", "log_level")
WRITE_SETTINGS = ("store", "tenant", "queue_depth", "queue_free", "lease", "log_level")
BULK_SETTINGS = ("token", "token_file", "basic_auth", "ca_bundle", "servers_file", "key_folder")
EXTRA = "population runs need more packages: pip install 'fhir-twin[population]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _run_arguments(
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


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads every patient of a bulk export and writes twins, risks, proposals and gaps. A stopped or killed run "
        "goes on where it was when the same command is given again. Bad lines go to quarantine.csv with "
        "file, offset and reason."
    )
    parser.add_argument(
        "--input", required=True, metavar="DIR|bulk:URL",
        help="folder of .ndjson or .ndjson.gz files, or a FHIR server to export from (Bulk Data)",
    )  # fmt: skip
    parser.add_argument(
        "--group", default="", metavar="ID", help="with bulk:URL: only the members of this Group"
    )
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="where the results go")
    parser.add_argument("--as-of", metavar="DATE", help="the day the record ends (ISO 8601; default: today)")
    parser.add_argument(
        "--index",
        metavar="DATE",
        default="",
        help="look back: predict from what was known then, and observe until --as-of",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    parser.add_argument(
        "--engine", choices=("local", "spark"), default="local", help="where it runs (default: local)"
    )
    parser.add_argument(
        "--buckets", type=int, default=0, metavar="N", help="pieces of work (default: one per 64 MB)"
    )
    parser.add_argument(
        "--keep-shards", action="store_true", help="keep the sorted input (the trial command needs it)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_settings(parser, *SETTINGS, *BULK_SETTINGS)


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
    actions = {"run": _run, "worklist": _worklist, "write": _write, "fairness": _fairness, "drift": _drift}
    return actions[arguments.action](arguments)


@contextmanager
def needed() -> Iterator[None]:
    """The extra's packages, or a word on how to get them."""
    try:
        yield
    except ImportError as error:
        raise NotSupported(f"{EXTRA} ({error.name} is missing)") from None


def date_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("a date is written YYYY-MM-DD") from None


def _run(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.executors import one_thread
        from fhir_twin.population.person import Task
        from fhir_twin.population.run import run_population
    settings = load_settings({name: getattr(arguments, name) for name in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    if arguments.workers < 1 or arguments.buckets < 0:
        raise InvalidInput("--workers must be at least 1, --buckets not negative")
    source = _source(arguments)
    end = date_of(arguments.as_of) if arguments.as_of else datetime.now(UTC).date()
    index = date_of(arguments.index).isoformat() if arguments.index else ""
    if index and index >= end.isoformat():
        raise InvalidInput("--index must lie before --as-of")
    one_thread()
    overlay, cache = (str(settings.path(n) or "") for n in ("knowledge", "cache"))
    summary = run_population(
        source,
        arguments.out,
        Task(end.isoformat(), index),
        _executor(arguments.engine, arguments.workers),
        overlay=overlay,
        cache=cache,
        buckets=arguments.buckets,
        keep_shards=arguments.keep_shards,
        progress=_progress,
    )
    if arguments.json:
        print(json.dumps(to_plain(summary)))
        return 0
    states = ", ".join(f"{n:,} {state}" for state, n in summary.states.items()) or "none"
    print(f"{summary.patients:,} patients ({states}) in {summary.seconds:.0f} s -> {arguments.out}")
    if summary.faults:
        print(
            f"{summary.faults:,} bad lines were left out: {arguments.out / 'quarantine.csv'} says where and why"
        )
    if summary.passed:
        print(f"{summary.passed:,} resources of types that the twin does not read were passed over")
    print(f"digest {summary.digest}")
    return 0


def _source(arguments: argparse.Namespace) -> Path:
    """The folder of the export; bulk:URL is exported first, into a folder beside the results (resumed after a stop)."""
    if not arguments.input.startswith("bulk:"):
        if not Path(arguments.input).exists():
            raise InvalidInput("the input folder does not exist")
        return Path(arguments.input)
    from fhir_twin.cli import bulk

    folder: Path = arguments.out.with_name(f"{arguments.out.name}-export")
    parser = argparse.ArgumentParser()
    bulk.add_arguments(parser)
    words = ["--out", str(folder), "--server", arguments.input.removeprefix("bulk:")]
    words += ["--group", arguments.group] if arguments.group else []
    for name in BULK_SETTINGS:
        if getattr(arguments, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    if not (folder / "complete").exists():
        if bulk.run(parser.parse_args(words)):
            print("the export is not complete; the run goes on with what there is", file=sys.stderr)
        (folder / "complete").touch()
    return folder


def _executor(engine: str, workers: int) -> Executor:
    if engine == "spark":
        with needed():
            from fhir_twin.population.spark import SparkExecutor
        return SparkExecutor(workers)
    from fhir_twin.population.executors import InProcess, LocalPool

    return LocalPool(workers) if workers > 1 else InProcess()


def _progress(told: Progress) -> None:
    """One line that is written over on a terminal; a line per task elsewhere would only fill logs."""
    if not sys.stderr.isatty():
        return
    left = "" if told.remaining == float("inf") else f", about {told.remaining:.0f} s left"
    if told.phase == "read":
        text = f"reading {told.done / 1e6:,.0f} of {told.total / 1e6:,.0f} MB"
    else:
        rate = told.patients / told.seconds if told.seconds else 0.0
        text = f"twins: {told.patients:,} patients, {told.done} of {told.total} pieces ({rate:,.0f}/s)"
    print(f"\r{text}{left}\x1b[K", end="", file=sys.stderr, flush=True)
    if told.done >= told.total:
        print(file=sys.stderr)


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
    _save(arguments, fairness_html(found, results), found)
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
    _save(arguments, drift_html(found, results), found)
    print("\n".join(found.alarms) or "no alarm")
    print(f"-> {arguments.out}")
    return 1 if found.alarms else 0


def _save(arguments: argparse.Namespace, html: str, found: object) -> None:
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(html, "utf-8")
        if arguments.json:
            arguments.out.with_suffix(".json").write_text(json.dumps(to_plain(found), indent=1), "utf-8")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written: {error.strerror}") from None

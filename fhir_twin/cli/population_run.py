"""`fhir-twin population run`: NDJSON in, twins, risks, proposals and gaps as Parquet out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_twin import log
from fhir_twin.cli import add_settings
from fhir_twin.errors import Conflict, InvalidInput, NotSupported
from fhir_twin.model.plain import to_plain
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import release_folder

if TYPE_CHECKING:
    from fhir_twin.population.bucket import Site
    from fhir_twin.population.executors import Executor
    from fhir_twin.population.run import Progress
    from fhir_twin.transport.bulk_state import BulkState

SETTINGS = ("knowledge", "cache", "terminology", "log_level")
BULK_SETTINGS = ("token", "token_file", "basic_auth", "ca_bundle", "servers_file", "key_folder")
EXTRA = "population runs need more packages: pip install 'fhir-twin[population]'"


def run_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--incomplete",
        action="store_true",
        help="run on an export that lacks files or lines; every plan then says that its record may be short",
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


def run(arguments: argparse.Namespace) -> int:
    with needed():
        from fhir_twin.population.executors import one_thread
        from fhir_twin.population.person import Task
        from fhir_twin.population.run import run_population
    settings = load_settings({name: getattr(arguments, name) for name in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    if arguments.workers < 1 or arguments.buckets < 0:
        raise InvalidInput("--workers must be at least 1, --buckets not negative")
    source, incomplete = _source(arguments)
    exported = _state(source)
    end = date_of(arguments.as_of) if arguments.as_of else datetime.now(UTC).date()
    index = date_of(arguments.index).isoformat() if arguments.index else ""
    if index and index >= end.isoformat():
        raise InvalidInput("--index must lie before --as-of")
    one_thread()
    site = site_of(settings)
    summary = run_population(
        source,
        arguments.out,
        Task(end.isoformat(), index, incomplete=incomplete, base=exported.base if exported else ""),
        _executor(arguments.engine, arguments.workers),
        site=site,
        buckets=arguments.buckets,
        keep_shards=arguments.keep_shards,
        progress=_progress,
    )
    if arguments.json:
        print(json.dumps(to_plain(summary)))
        return 0
    states = ", ".join(f"{n:,} {state}" for state, n in summary.states.items()) or "none"
    print(f"{summary.patients:,} patients ({states}) in {summary.seconds:.0f} s -> {arguments.out}")
    if summary.incomplete:
        print("made of an incomplete export: anything may be missing of anybody, allergies too")
    if summary.faults:
        print(
            f"{summary.faults:,} bad lines were left out: {arguments.out / 'quarantine.csv'} says where and why"
        )
    if summary.passed:
        print(f"{summary.passed:,} resources of types that the twin does not read were passed over")
    print(f"digest {summary.digest}")
    return 0


def site_of(settings: Settings) -> Site:
    """Where this site's knowledge is, as words that other processes can be told."""
    from fhir_twin.population.bucket import Site

    folders = (settings.path("knowledge"), settings.path("cache"), release_folder(settings))
    return Site(*(str(f or "") for f in folders))


def _source(arguments: argparse.Namespace) -> tuple[Path, bool]:
    """The folder of the export, and whether something of it is missing. bulk:URL is exported first, into a folder
    beside the results (resumed after a stop). Raises Conflict for an incomplete export without --incomplete: what is
    missing may be an allergy."""
    if not arguments.input.startswith("bulk:"):
        folder = Path(arguments.input)
        if not folder.exists():
            raise InvalidInput("the input folder does not exist")
        state = _state(folder)
        begun = state is not None and state.step not in ("downloaded", "done")
        return folder, _accepted(arguments, begun)
    folder = arguments.out.with_name(f"{arguments.out.name}-export")
    origin = sha256(f"{arguments.input} {arguments.group}".encode()).hexdigest()
    marker = folder / "complete"
    words = marker.read_text("utf-8").split() if marker.exists() else []
    if words and words[0] != origin:
        raise Conflict(
            "the folder beside --out holds an export of another server or group; choose another --out"
        )
    if words:
        return folder, _accepted(arguments, "incomplete" in words)
    short = _export(arguments, folder)
    if _accepted(arguments, short):
        origin += " incomplete"
    marker.write_text(origin, "utf-8")
    return folder, short


def _export(arguments: argparse.Namespace, folder: Path) -> bool:
    """Whether files or lines are missing."""
    from fhir_twin.cli import bulk

    parser = argparse.ArgumentParser()
    bulk.add_arguments(parser)
    words = ["--out", str(folder), "--server", arguments.input.removeprefix("bulk:")]
    words += ["--group", arguments.group] if arguments.group else []
    for name in BULK_SETTINGS:
        if getattr(arguments, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return bulk.run(parser.parse_args(words)) != 0


def _state(folder: Path) -> BulkState | None:
    """What `fhir-twin bulk` noted of the export, where it made the folder."""
    from fhir_twin.transport.bulk_state import read_state

    return read_state(folder) if folder.is_dir() else None


def _accepted(arguments: argparse.Namespace, short: bool) -> bool:
    if short and not arguments.incomplete:
        raise Conflict(
            "the export is not complete, and what is missing may be an allergy: run again to fetch it, or say "
            "--incomplete to go on with what there is"
        )
    return short


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


def save_report(arguments: argparse.Namespace, html: str, found: object) -> None:
    """The report where --out says, and its numbers beside it with --json."""
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(html, "utf-8")
        if arguments.json:
            arguments.out.with_suffix(".json").write_text(json.dumps(to_plain(found), indent=1), "utf-8")
    except OSError as error:
        raise InvalidInput(f"the report cannot be written: {error.strerror}") from None

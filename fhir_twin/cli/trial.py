"""`fhir-twin trial`: an in-silico trial on a cohort, or the replication of published trials."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mappings
from fhir_twin.cli import add_settings
from fhir_twin.cli.population_run import SETTINGS, needed, save_report, site_of
from fhir_twin.errors import InvalidInput
from fhir_twin.settings import Settings, load_settings
from fhir_twin.wiring import open_knowledge

if TYPE_CHECKING:
    from fhir_twin.knowledge import Knowledge
    from fhir_twin.population.trial_protocol import Protocol

SHIPPED = Path(mappings.__file__).parent / "trials"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Replicas of published trials are shipped: `fhir-twin trial --published`. A cohort is the --out folder of "
        "`fhir-twin population run --keep-shards`. Protocol files: mappings/trials/README.md."
    )
    parser.add_argument("protocol", nargs="?", type=Path, metavar="PROTOCOL.toml")
    parser.add_argument(
        "--cohort", type=Path, metavar="DIR", help="folder of a population run (with --keep-shards)"
    )
    parser.add_argument(
        "--published", action="store_true", help="replicate every published trial that is shipped"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("trial.html"),
        metavar="FILE",
        help="the report (default: trial.html)",
    )
    parser.add_argument(
        "--replicates", type=int, metavar="N", help="virtual trials, instead of the protocol's number"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    parser.add_argument("--json", action="store_true", help="also write the numbers beside it, as JSON")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({name: getattr(arguments, name) for name in SETTINGS}, file=arguments.settings)
    if arguments.workers < 1:
        raise InvalidInput("--workers must be at least 1")
    if arguments.published == (arguments.protocol is not None):
        raise InvalidInput("give a protocol file, or --published")
    knowledge = open_knowledge(settings)
    if arguments.published:
        return _published(arguments, knowledge, sorted(SHIPPED.glob("*.toml")))
    protocol = _protocol(arguments.protocol, arguments, knowledge)
    if protocol.replica is not None:
        return _published(arguments, knowledge, [arguments.protocol])
    return _trial(arguments, settings, knowledge, protocol)


def _protocol(path: Path, arguments: argparse.Namespace, knowledge: Knowledge) -> Protocol:
    from dataclasses import replace

    from fhir_twin.population.trial_protocol import read_protocol

    found = read_protocol(path, knowledge.interventions)
    if arguments.replicates is not None:
        if not 10 <= arguments.replicates <= 10_000:
            raise InvalidInput("--replicates must lie within 10 and 10,000")
        found = replace(found, replicates=arguments.replicates)
    return found


def _published(arguments: argparse.Namespace, knowledge: Knowledge, paths: list[Path]) -> int:
    with needed():
        from fhir_twin.population.trial_published import replicate
        from fhir_twin.population.trial_report import published_html
    found = [replicate(_protocol(path, arguments, knowledge), knowledge) for path in paths]
    save_report(arguments, published_html(found, [("knowledge", knowledge.version)]), found)
    for r in found:
        p = r.published
        met = "met" if r.met else "MISSED"
        words = f"published {p.ratio:.2f} ({p.low:.2f}-{p.high:.2f}), ours {r.effect.value:.2f}"
        print(f"{met:7s} {r.title}: {words}{' [circular]' if p.circular else ''}")
    print(f"-> {arguments.out}")
    return 0


def _trial(
    arguments: argparse.Namespace, settings: Settings, knowledge: Knowledge, protocol: Protocol
) -> int:
    with needed():
        from fhir_twin.population.executors import InProcess, LocalPool, one_thread
        from fhir_twin.population.trial_report import trial_html
        from fhir_twin.population.trial_run import run_trial
    if arguments.cohort is None:
        raise InvalidInput(
            "say which people: --cohort DIR (the --out folder of `population run --keep-shards`)"
        )
    one_thread()

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(
                f"\rscreening: {done} of {total} pieces\x1b[K",
                end="\n" if done == total else "",
                file=sys.stderr,
                flush=True,
            )

    site = site_of(settings)
    pool = LocalPool(arguments.workers) if arguments.workers > 1 else InProcess()
    result = run_trial(arguments.cohort, protocol, pool, site=site, progress=progress)
    save_report(arguments, trial_html(result, [("knowledge", knowledge.version)]), result)
    print(
        f"{result.screened:,} screened, {result.eligible:,} eligible, "
        f"{result.usable:,} with a forecast of {protocol.primary}"
    )
    for e in result.events:
        i = e.unadjusted.ratio
        if i.value != i.value:  # NaN
            print(f"{e.outcome}, {e.arm}: no hazard ratio: an arm had no events in any virtual trial")
            continue
        print(
            f"{e.outcome}, {e.arm}: hazard ratio {i.value:.2f} ({i.low:.2f}-{i.high:.2f}), "
            f"power {100 * e.unadjusted.power:.0f} %"
        )
    for m in result.means:
        i = m.difference
        print(
            f"{m.outcome}, {m.arm}: {i.value:+.2f} ({i.low:+.2f} to {i.high:+.2f}); the forecast as covariate saves "
            f"{100 * m.saved:.0f} % of the participants"
        )
    print(f"-> {arguments.out}")
    return 0

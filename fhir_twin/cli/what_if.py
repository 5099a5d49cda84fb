"""`fhir-twin what-if`: one patient, any options, dose and delay, or a stop. No advice; nothing is written."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from fhir_twin import log
from fhir_twin.assimilation.expect import Expected, expect
from fhir_twin.cli import add_settings
from fhir_twin.cli.run import SETTINGS, parse_as_of
from fhir_twin.errors import InvalidInput, NotFound
from fhir_twin.knowledge import Knowledge
from fhir_twin.model.intervention import Interventions
from fhir_twin.model.plain import to_plain
from fhir_twin.model.scenario import Choice, Sensitivity, Trajectory
from fhir_twin.pipeline import Run
from fhir_twin.rules import judge
from fhir_twin.settings import load_settings
from fhir_twin.simulation import MeasurementValue, choice_of, measurement_value, sensitivity, what_if
from fhir_twin.wiring import open_files, open_service

KEYS = {"delay": "delay_years", "adherence": "adherence"}
SHOWN = 5
YEAR = timedelta(days=365)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Example: fhir-twin what-if --bundle patient.json --start statin:high --start ccb-dhp,delay=1 --stop thiazide. "
        "The keys are those of mappings/interventions (--list shows them). Nothing is written to the record; an answer "
        "is not advice: safety rules are told beside it."
    )
    parser.add_argument(
        "--patient", metavar="ID", help="id on the server, or in the files (needed when there are several)"
    )
    parser.add_argument(
        "--bundle", metavar="FILE|DIR", type=Path, help="read Bundles or NDJSON instead of a server"
    )
    parser.add_argument("--as-of", metavar="DATE", help="pretend it is this date (ISO 8601)")
    parser.add_argument(
        "--start", metavar="KEY[:DOSE][,delay=YEARS][,adherence=SHARE]", action="append", default=[],
        help="start this option; again for more of them",
    )  # fmt: skip
    parser.add_argument(
        "--stop", metavar="KEY", action="append", default=[], help="stop what is taken now; again for more"
    )
    parser.add_argument(
        "--horizon", metavar="YEARS", type=float, default=10.0, help="1 to 30 years (default: 10)"
    )
    parser.add_argument(
        "--outcome", default="cvd", help="the outcome of what the answer hangs on (default: cvd)"
    )
    parser.add_argument("--list", action="store_true", help="list the options and their doses, and end")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    add_settings(parser, *SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings({name: getattr(arguments, name) for name in SETTINGS}, file=arguments.settings)
    log.set_up(settings.text("log_level"))
    if arguments.bundle is not None:
        service = open_files(settings, arguments.bundle)
    elif settings.text("server"):
        service = open_service(settings)
    elif arguments.list:
        service = open_files(settings, Path())
    else:
        raise InvalidInput("say where the patient is: --server URL, or --bundle FILE|DIR")
    known = service.knowledge
    if arguments.list:
        print(catalogue(known.interventions))
        return 0
    choices = read_choices(arguments.start, arguments.stop, known.interventions)
    if not choices:
        raise InvalidInput("say what to change: --start KEY or --stop KEY (--list shows the keys)")
    patients = [arguments.patient] if arguments.patient else list(service.source.patients())
    if len(patients) != 1:
        raise InvalidInput(f"{len(patients)} patients here: say which with --patient ID")
    outcome = next(iter(service.run_many(patients, parse_as_of(arguments.as_of), dry_run=True)))
    if outcome.run is None:
        raise outcome.error or NotFound("this patient cannot be read")
    answer = _answer(outcome.run, choices, known, arguments.horizon, arguments.outcome)
    readings = _readings(outcome.run, known, answer[1])
    if arguments.json:
        print(json.dumps(_plain(answer) | {"next_readings": to_plain(readings)}))
    else:
        print(text(*answer, arguments.outcome, readings))
    return 0


def _readings(run: Run, known: Knowledge, then: Trajectory) -> tuple[Expected, ...]:
    """What the next office reading a year from now would be as now, of each biomarker that the options move."""
    keys = [k for k, *_ in then.biomarker_changes if run.twin.used(k)]
    at = run.twin.as_of + YEAR
    return tuple(expect(run.twin, known.biomarkers, k, at, setting="office") for k in keys)


Answer = tuple[Trajectory, Trajectory, tuple[str, ...], tuple[Sensitivity, ...], tuple[MeasurementValue, ...]]


def _answer(run: Run, choices: tuple[Choice, ...], known: Knowledge, years: float, outcome: str) -> Answer:
    parts = (known.biomarkers, known.interventions, known.outcomes)
    now, then = what_if(run.twin, choices, *parts, horizon_years=years)
    hangs = sensitivity(run.twin, then.scenario, *parts, outcome=outcome)
    worth = measurement_value(run.twin, then.scenario, *parts, outcome=outcome)
    return now, then, tuple(_safety(run, choices, known)), hangs, worth


def _safety(run: Run, choices: tuple[Choice, ...], known: Knowledge) -> list[str]:
    """What the safety rules say to each start, in words."""
    found = []
    for choice in choices:
        if choice.stop:
            continue
        item = known.interventions.get(choice.intervention)
        verdict = judge(run.coded, run.twin, item.key, item.ingredients, item.classes, known.safety)
        found += [f"BLOCKED  {item.title}: {hit.reason}" for hit in verdict.blocked]
        found += [f"ask      {item.title}: {question.text}" for question in verdict.questions]
        found += [f"caution  {item.title}: {hit.reason}" for hit in verdict.cautions]
    return list(dict.fromkeys(found))


def read_choices(starts: list[str], stops: list[str], interventions: Interventions) -> tuple[Choice, ...]:
    """Choices from the flags. Raises InvalidInput naming what cannot be read."""
    found = []
    for words in starts:
        first, *rest = words.split(",")
        key, _, dose = first.partition(":")
        table: dict[str, Any] = {"intervention": key} | ({"dose": dose} if dose else {})
        for part in rest:
            name, sign, value = part.partition("=")
            if name not in KEYS or not sign:
                raise InvalidInput(f"--start {words!r}: after the option come delay=YEARS or adherence=SHARE")
            table[KEYS[name]] = value
        found.append(choice_of(table, interventions))
    found += [choice_of({"intervention": key, "stop": True}, interventions) for key in stops]
    return tuple(found)


def catalogue(interventions: Interventions) -> str:
    lines = []
    for item in interventions.items:
        if not item.by_guideline:
            doses = ", ".join(d.key for d in item.doses)
            lines.append(f"{item.key:28s} {doses:32s} {item.title}")
    return "\n".join(lines)


def text(
    now: Trajectory,
    then: Trajectory,
    safety: tuple[str, ...],
    hangs: tuple[Sensitivity, ...],
    worth: tuple[MeasurementValue, ...],
    outcome: str,
    readings: tuple[Expected, ...] = (),
) -> str:
    """The answer for people: risks, biomarkers, relative effects, safety, what it hangs on."""
    lines = [f"What if: {then.scenario.name}", ""]
    before = {r.outcome: r for r in now.risks if r.horizon_years <= now.scenario.horizon_years}
    for change in then.changes:
        if change.outcome in before:
            risk = before[change.outcome].probability
            points = [100 * v for v in (change.difference, change.low, change.high)]
            lines.append(
                f"{change.outcome:16s} within {change.horizon_years:g} y: {risk:6.1%} as now, "
                f"{risk + change.difference:6.1%} then "
                f"({points[0]:+.1f} points, 80 % interval {points[1]:+.1f} to {points[2]:+.1f})"
            )
    for key, mean, low, high in then.biomarker_changes:
        lines.append(f"{key:16s} a year on: {mean:+.2f} ({low:+.2f} to {high:+.2f})")
    for r in readings:
        low, middle, high = r.quantiles
        lines.append(
            f"{r.biomarker:16s} next reading in a year, as now: {middle:.1f} (80 % interval {low:.1f} to {high:.1f})"
        )
    if not then.changes:
        lines += [
            f"{e.outcome:16s} hazard ratio {e.ratio:.2f} ({e.low:.2f} to {e.high:.2f})" for e in then.relative
        ]
    if then.qaly is not None:
        lines.append(
            f"quality-adjusted life years gained: {then.qaly[0]:.3f} ({then.qaly[1]:.3f} to {then.qaly[2]:.3f})"
        )
    lines += ["", *(safety or ("No safety rule speaks against it.",))]
    if hangs:
        lines += ["", f"What the change of {outcome} hangs on (at the ends of each input's 80 % interval):"]
        lines += [
            f"  {s.input:16s} {s.low:8.1f} to {s.high:8.1f}: "
            f"{100 * s.change_low:+.2f} to {100 * s.change_high:+.2f} points"
            for s in hangs[:SHOWN]
        ]
    useful = [w for w in worth[:SHOWN] if w.explained > 0.005]
    if useful:
        lines += ["", "One more measurement would explain of what is uncertain about it:"]
        lines += [
            f"  {w.input:16s} {w.explained:5.0%}; chance that it changes the answer {w.changes:.0%}"
            for w in useful
        ]
    notes = [i.diagnostics for i in then.issues]
    lines += ["", *(f"Note: {n}" for n in notes), "This is a simulation, not advice."]
    return "\n".join(lines)


def _plain(answer: Answer) -> dict[str, object]:
    now, then, safety, hangs, worth = answer
    parts = {"now": now, "then": then, "sensitivity": hangs, "measurements": worth}
    return {"safety": list(safety)} | {name: to_plain(value) for name, value in parts.items()}

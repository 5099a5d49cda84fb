"""A trial on a cohort, from protocol to results: screen everybody, forecast the arms, run the virtual trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from fhir_twin.errors import InvalidInput, NotEnoughData
from fhir_twin.knowledge import Knowledge
from fhir_twin.population.bucket import OURS, Site, knowledge_of
from fhir_twin.population.executors import Executor
from fhir_twin.population.person import Task
from fhir_twin.population.trial_arms import ArmsDone, ArmWork, arms
from fhir_twin.population.trial_protocol import Protocol
from fhir_twin.population.trial_simulate import (
    Candidates,
    Design,
    EventResult,
    MeanResult,
    simulate_events,
    simulate_means,
)

FEWEST = 20


@dataclass(frozen=True, slots=True)
class TrialResult:
    """screened, eligible, usable: people of the cohort; notes: what could not be told, and why."""

    protocol: Protocol
    screened: int
    eligible: int
    usable: int
    events: tuple[EventResult, ...]
    means: tuple[MeanResult, ...]
    notes: tuple[str, ...]


def run_trial(
    cohort: Path,
    protocol: Protocol,
    executor: Executor,
    *,
    site: Site = OURS,
    progress: Callable[[int, int], None] | None = None,
) -> TrialResult:
    """cohort: the folder of a population run made with --keep-shards. Raises InvalidInput when it is none, and
    NotEnoughData when fewer than 20 people are eligible and usable."""
    check_names(protocol, knowledge_of(site))
    work = _work(cohort, protocol, site)
    done: list[ArmsDone] = []
    for answer in executor.map(arms, work):
        done.append(answer)
        if progress is not None:
            progress(len(done), len(work))
    screened, eligible, usable = (
        sum(getattr(d, n) for d in done) for n in ("screened", "eligible", "usable")
    )
    if usable < FEWEST:
        raise NotEnoughData(
            f"only {usable} of {screened} people are eligible with a forecast of {protocol.primary}; a "
            f"trial needs {FEWEST}"
        )
    table = ds.dataset([str(w.path) for w in work]).to_table().sort_by([("patient", "ascending")])
    events, means, notes = _results(table, protocol)
    failed = sum(d.failed for d in done)
    if failed:
        notes.append(
            f"{failed} people were left out by an error of ours: their records could not be computed."
        )
    return TrialResult(protocol, screened, eligible, usable, tuple(events), tuple(means), tuple(notes))


def check_names(protocol: Protocol, knowledge: Knowledge) -> None:
    """A misspelt criterion would let everybody in, or nobody. Raises InvalidInput naming it."""
    rule, maps = protocol.eligibility, knowledge.concept_maps
    biomarkers = set(knowledge.biomarkers.keys)
    endpoints = [
        o.partition(":")[2] for o in (protocol.primary, *protocol.secondary) if o.startswith("biomarker:")
    ]
    for what, given, known in (
        ("condition group", {*rule.has, *rule.without}, {*maps.groups.groups, "diabetes"}),
        ("drug class or ingredient", {*rule.takes, *rule.not_taking}, {*maps.drugs.classes, *maps.drugs.ingredients}),
        ("biomarker", {*(k for k, _, _ in rule.biomarkers), *endpoints}, biomarkers),
    ):  # fmt: skip
        unknown = sorted(given - known)
        if unknown:
            raise InvalidInput(f"protocol: unknown {what} {unknown[0]}")


def _work(cohort: Path, protocol: Protocol, site: Site) -> list[ArmWork]:
    path = cohort / "manifest.json"
    if not path.exists():
        raise InvalidInput("the cohort is no folder of a population run")
    if not (cohort / "summary.json").exists():
        raise InvalidInput("the cohort's population run is not finished; give the same command again")
    manifest = json.loads(path.read_text("utf-8"))
    shards = tuple(str(p) for p in sorted((cohort / "shards").glob("*.arrow")))
    if len(shards) < max(len(list((cohort / "shards").glob("*.json"))), 1):
        raise InvalidInput(
            "the cohort was run without --keep-shards: a trial needs the sorted input; run it again with it"
        )
    task = Task(**manifest["task"])
    out = str(cohort / "trials" / protocol.key)
    return [ArmWork(n, shards, out, task, protocol, site) for n in range(int(manifest["buckets"]))]


def _results(table: pa.Table, protocol: Protocol) -> tuple[list[EventResult], list[MeanResult], list[str]]:
    events: list[EventResult] = []
    means: list[MeanResult] = []
    notes: list[str] = []
    rows = table.to_pylist()
    death = {r["patient"]: r["control"] for r in rows if r["outcome"] == "death" and r["arm"] == 0}
    if len(death) < len({r["patient"] for r in rows}):
        notes.append(
            "Death could not be told for some (known cardiovascular disease, or age): it does not compete there."
        )
    for outcome in dict.fromkeys((protocol.primary, *protocol.secondary)):
        own = [r for r in rows if r["outcome"] == outcome]
        for n, arm in enumerate(protocol.arms[1:], 1):
            here = [r for r in own if r["arm"] == n]
            if len(here) < FEWEST:
                notes.append(f"{outcome}, {arm.name}: a forecast for {len(here)} people only, not simulated.")
                continue
            design = _design(protocol, n)
            if outcome.startswith("biomarker:"):
                before = {r["patient"]: r for r in own if r["arm"] == 0}
                pairs = [(before[r["patient"]], r) for r in here if r["patient"] in before]
                means.append(
                    simulate_means(
                        outcome,
                        arm.name,
                        _moments([p[0] for p in pairs]),
                        _moments([p[1] for p in pairs]),
                        design,
                    )
                )
            else:
                events.append(simulate_events(outcome, arm.name, _candidates(here, death, protocol), design))
    return events, means, notes


def _moments(rows: Sequence[dict[str, Any]]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.array([r["mean"] for r in rows]), np.array([r["sd"] for r in rows])


def _design(protocol: Protocol, arm: int) -> Design:
    share = protocol.arms[arm].share / (protocol.arms[0].share + protocol.arms[arm].share)
    return Design(
        protocol.follow_up, protocol.participants, protocol.replicates, protocol.seed, protocol.alpha, protocol.power,
        protocol.dropout, protocol.adjust, share,
    )  # fmt: skip


def _age_group(age: float | None) -> str:
    if age is None:
        return "not recorded"
    return "65 and over" if age >= 65 else "under 65"


def _candidates(rows: Sequence[dict[str, Any]], death: dict[str, float], protocol: Protocol) -> Candidates:
    control = np.array([r["control"] for r in rows])
    groups: dict[str, Any] = {}
    for name in protocol.subgroups:
        if name == "age":
            groups[name] = np.array([_age_group(r["age"]) for r in rows])
        elif name == "risk":
            groups[name] = np.where(control >= np.median(control), "upper half", "lower half")
        elif name == "sex":
            groups[name] = np.array([r["sex"] for r in rows])
        else:
            words = {True: "yes", False: "no", None: "not recorded"}
            groups[name] = np.array([words[r[name]] for r in rows])
    dies = np.array([death.get(r["patient"], 0.0) or 0.0 for r in rows])
    return Candidates(control, np.array([r["worlds"] for r in rows], dtype=np.float64), dies, groups)

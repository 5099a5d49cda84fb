"""Coded problems by the releases a user imported: SNOMED CT's own map, successors of inactive concepts, ICD-9-CM.

The starter map speaks first (its rows were checked one by one); the release answers for the rest. What its map makes
depend on age, sex or another problem is decided only when the chart says it, and otherwise said, not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from fhir_twin.model.chart import PatientRecord, Problem
from fhir_twin.model.codes import ICD9CM, ICD10CM, SNOMED
from terminology.feeding import fed_releases, shared_heading
from terminology.importers.gem import dotted
from terminology.mapping import Match, Person, choose

_FOLLOWED = ("same-as", "replaced-by")  # the associations that name one successor with the same meaning


class Releases(Protocol):
    """What this room needs of an open terminology.Terminology."""

    def translate(self, system: str, code: str, target_system: str = "") -> tuple[Match, ...]: ...
    def successors(self, system: str, code: str) -> tuple[tuple[str, str], ...]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """icd10cm: by the release's map. current: successors of inactive concepts. undecided: a condition of the map that
    the chart does not settle. choices: successors of which none may be taken by itself. releases: names and versions of
    those that the codes came from."""

    icd10cm: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    undecided: bool = False
    choices: bool = False
    old: bool = False  # an ICD-9-CM code was mapped
    releases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReleasedMaps:
    """Stateless; `releases` is read-only."""

    releases: Releases

    def read(self, snomed: Sequence[str], icd9cm: Sequence[str], person: Person | None) -> Found:
        codes: dict[str, None] = {}
        current: dict[str, None] = {}
        undecided = choices = False
        used: dict[str, None] = {}
        for code in snomed:
            successors = self.releases.successors(SNOMED, code)
            sure = [c for how, c in successors if how in _FOLLOWED]
            choices = choices or (bool(successors) and len(sure) != 1)
            meant = sure[0] if len(sure) == 1 else code
            if meant != code:
                current[meant] = None
            rows = self._rows(meant)
            choice = choose(rows, person)
            undecided = undecided or bool(choice.conditions)
            codes.update(dict.fromkeys(choice.codes))
            used.update(dict.fromkeys(_release(m) for m in rows if m.code in choice.codes))
        old: dict[str, None] = {}
        for code in () if codes else icd9cm:
            given, releases = self._from_icd9(code)
            old.update(dict.fromkeys(given))
            used.update(dict.fromkeys(releases))
        undecided = undecided and not codes
        return Found(tuple(codes) or tuple(old), tuple(current), undecided, choices, bool(old), tuple(used))

    def _rows(self, snomed: str) -> list[Match]:
        """Of several maps to ICD-10-CM the extended map, whose rows have rules."""
        found = self.releases.translate(SNOMED, snomed, ICD10CM)
        ruled = [m for m in found if m.rule]
        urls = {m.map_url for m in ruled}
        return ruled if len(urls) <= 1 else [m for m in ruled if m.map_url == max(urls)]

    def _from_icd9(self, code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(codes, releases): one code, or the heading that all choices share; a combination is given whole."""
        found = self.releases.translate(ICD9CM, dotted(code, ICD9CM), ICD10CM)
        rows = [m for m in found if m.code and m.equivalence not in ("unmatched", "disjoint")]
        releases = tuple(dict.fromkeys(_release(m) for m in rows))
        if any("combination" in m.advice for m in rows):
            return tuple(dict.fromkeys(m.code for m in rows if m.group == 1)), releases
        heading = shared_heading(m.code for m in rows)
        return ((heading,), releases) if heading else ((), ())


def _release(match: Match) -> str:
    return match.release or match.map_url


def person_of(patient: PatientRecord, problem: Problem, as_of: datetime) -> Person:
    """What the chart says for the map's rules. Age at onset as written, or from an onset and a birth date that is known
    to the day (or years before); sex only where it is female or male."""
    age = None if problem.onset_age is None else problem.onset_age * 365.25
    if (
        age is None
        and patient.birth_date is not None
        and problem.onset is not None
        and problem.onset <= as_of
    ):
        days = (problem.onset.date() - patient.birth_date).days
        if days >= 0 and (patient.birth_precision == "day" or days > 2 * 365):
            age = float(days)
    return Person(age, patient.sex if patient.sex in ("female", "male") else "")


def open_released(folder: Path | None) -> ReleasedMaps | None:
    """None when no release is imported."""
    if not fed_releases(folder):
        return None
    from terminology import open_terminology

    assert folder is not None
    return ReleasedMaps(open_terminology(folder))

"""Coded problems by imported releases: the extended map with its conditions, successors, ICD-9-CM by the GEMs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from fhir_twin.coding.released import ReleasedMaps, open_released, person_of
from fhir_twin.model.chart import PatientRecord, Problem
from fhir_twin.model.codes import Concept
from terminology.importers.rows import ICD10CM, SNOMED
from terminology.mapping import Match, Person

AGE = "IFA 445518008 | Age at onset of clinical finding (observable entity) |"


def row(
    code: str, target: str, priority: int = 1, rule: str = "TRUE", advice: str = "", group: int = 1
) -> Match:
    return Match("m", ICD10CM, target, "", "relatedto", group, priority, rule, advice)


class Fake:
    """Answers only what is in its tables; anything else fails the test."""

    maps: ClassVar = {
        ("s", "59621000"): [row("59621000", "I10")],
        ("s", "32398004"): [row("32398004", "J20.9", 1, f"{AGE} < 15.0 years"),
                            row("32398004", "J40", 2, "OTHERWISE TRUE")],
        ("s", "8619003"): [row("8619003", "N97.9", 1, "IFA 248152002 | Female (finding) |"),
                           row("8619003", "N46.9", 2, "IFA 248153007 | Male (finding) |")],
        ("s", "155295004"): [], ("s", "111"): [], ("s", "38341003"): [row("38341003", "I10")],
        ("9", "250.00"): [row("250.00", "E11.9")], ("9", "401.9"): [row("401.9", "I10")],
        ("9", "250.42"): [row("250.42", "E11.21"), row("250.42", "E11.29")],
        ("9", "999.99"): [],
        ("9", "806.04"): [row("806.04", "S14.101A", 1, advice="one of the codes of combination 1"),
                          row("806.04", "S12.000A", 2, advice="one of the codes of combination 1")],
    }  # fmt: skip

    def translate(self, system: str, code: str, target_system: str = "") -> tuple[Match, ...]:
        assert target_system == ICD10CM
        return tuple(self.maps["s" if system == SNOMED else "9", code])

    def successors(self, system: str, code: str) -> tuple[tuple[str, str], ...]:
        known = {"155295004": (("replaced-by", "38341003"),), "111": (("was-a", "1"), ("alternative", "2"))}
        return known.get(code, ())


MAPS = ReleasedMaps(Fake())


def test_the_map_and_its_conditions() -> None:
    assert MAPS.read(["59621000"], [], None).icd10cm == ("I10",)
    open_ = MAPS.read(["32398004"], [], None)
    assert open_.icd10cm == () and open_.undecided
    assert MAPS.read(["32398004"], [], Person(age_days=3_000)).icd10cm == ("J20.9",)
    assert MAPS.read(["32398004"], [], Person(age_days=12_000)).icd10cm == ("J40",)
    assert MAPS.read(["8619003"], [], Person(sex="male")).icd10cm == ("N46.9",)


def test_which_map_coded_it() -> None:
    """A map of no release by its canonical; nothing decided, nothing named."""
    assert MAPS.read(["59621000"], [], None).releases == ("m",) and MAPS.read(
        [], ["401.9"], None
    ).releases == ("m",)
    assert MAPS.read(["8619003"], [], None).releases == () and MAPS.read([], ["999.99"], None).releases == ()


def test_inactive_concepts() -> None:
    found = MAPS.read(["155295004"], [], None)
    assert found.icd10cm == ("I10",) and found.current == ("38341003",) and not found.choices
    several = MAPS.read(["111"], [], None)
    assert several.icd10cm == () and several.current == () and several.choices


@pytest.mark.parametrize(
    ("code", "expected"),
    [("250.00", ("E11.9",)), ("25000", ("E11.9",)), ("250.42", ("E11.2",)), ("999.99", ()),
     ("80604", ("S14.101A", "S12.000A"))],
)  # fmt: skip
def test_icd9(code: str, expected: tuple[str, ...]) -> None:
    found = MAPS.read([], [code], None)
    assert found.icd10cm == expected and found.old == bool(expected)


@pytest.mark.parametrize(
    ("birth", "precision", "age"),
    [(date(2010, 5, 1), "day", 3653.0), (date(2010, 1, 1), "year", 3773.0), (date(2020, 1, 1), "year", None),
     (date(2021, 1, 1), "day", None), (None, "", None)],
)  # fmt: skip
def test_age_only_where_it_is_known(
    birth: date | None, precision: Literal["year", "month", "day", ""], age: float | None
) -> None:
    patient = PatientRecord("Patient/1", "1", sex="female", birth_date=birth, birth_precision=precision)
    problem = Problem("Condition/1", Concept(), onset=datetime(2020, 5, 1, tzinfo=UTC))
    said = person_of(patient, problem, datetime(2026, 1, 1, tzinfo=UTC))
    assert (said.age_days, said.sex) == (age, "female")
    written = Problem("Condition/1", Concept(), onset_age=10)
    assert person_of(patient, written, datetime(2026, 1, 1, tzinfo=UTC)).age_days == 3652.5


def test_no_releases_no_maps(tmp_path: Path) -> None:
    assert open_released(None) is None and open_released(tmp_path) is None

"""mappings/synthetic -> the design of an invented clinic. Editorial numbers; the biology is the twin's knowledge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_twin.errors import KnowledgeError
from mappings import Source


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several: code, words, weight."""

    code: str
    words: str
    weight: float


@dataclass(frozen=True, slots=True)
class ConditionDesign:
    """When a condition holds (its biomarker's usual value, canonical unit), how soon it is diagnosed, how it is
    written. sign: +1 above, -1 below."""

    key: str
    biomarker: str
    limit: float
    sign: int
    diagnosed: float
    text_only: float
    texts: tuple[str, ...]
    snomed: str
    icd10cm: str


@dataclass(frozen=True, slots=True)
class DrugDesign:
    condition: str
    chance: float
    drug_class: str
    text: str
    rxnorm: str
    name: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A background problem, an allergy or an event as it is written."""

    key: str
    share: float
    texts: tuple[str, ...]
    snomed: str


@dataclass(frozen=True, slots=True)
class ClinicDesign:
    female: float
    ages: tuple[tuple[float, float, float], ...]
    race: tuple[Choice, ...]
    ethnicity: tuple[Choice, ...]
    language: tuple[Choice, ...]
    deprivation_recorded: float
    smoking: tuple[Choice, ...]
    visits_base: float
    visits_chronic: float
    home: float
    missing: dict[str, float]
    conditions: tuple[ConditionDesign, ...]
    drugs: tuple[DrugDesign, ...]
    background: tuple[Remark, ...]
    allergies: tuple[Remark, ...]
    events: tuple[Remark, ...]


def load_design(source: Source | None = None) -> ClinicDesign:
    """Raises KnowledgeError naming what is wrong."""
    tables = dict((source or Source()).toml("synthetic"))
    try:
        return _read(tables["cohort.toml"])
    except (KeyError, TypeError, ValueError) as error:
        raise KnowledgeError(f"mappings/synthetic/cohort.toml: {error}") from error


def _read(t: dict[str, Any]) -> ClinicDesign:
    return ClinicDesign(
        female=float(t["people"]["female"]),
        ages=tuple((float(a), float(b), float(w)) for a, b, w in t["people"]["ages"]),
        race=_choices(t["race"]),
        ethnicity=_choices(t["ethnicity"]),
        language=_choices(t["language"]),
        deprivation_recorded=float(t["deprivation"]["recorded"]),
        smoking=tuple(Choice(code, "", float(w)) for code, w in t["smoking"].items()),
        visits_base=float(t["visits"]["base"]),
        visits_chronic=float(t["visits"]["chronic"]),
        home=float(t["visits"]["home"]),
        missing={k: float(v) for k, v in t["visits"]["missing"].items()},
        conditions=tuple(_condition(row) for row in t["condition"]),
        drugs=tuple(
            DrugDesign(
                row["condition"], float(row["chance"]), row["class"], row["text"], row["rxnorm"], row["name"]
            )
            for row in t["drug"]
        ),
        background=tuple(_remark(row) for row in t["background"]),
        allergies=tuple(_remark(row) for row in t["allergy"]),
        events=tuple(_remark(row) for row in t["event"]),
    )


def _choices(rows: list[dict[str, Any]]) -> tuple[Choice, ...]:
    return tuple(Choice(row["code"], row["words"], float(row["weight"])) for row in rows)


def _condition(row: dict[str, Any]) -> ConditionDesign:
    above = "above" in row
    return ConditionDesign(
        row["key"],
        row["biomarker"],
        float(row["above"] if above else row["below"]),
        1 if above else -1,
        float(row["diagnosed"]),
        float(row["text_only"]),
        tuple(row["texts"]),
        row["snomed"],
        row["icd10cm"],
    )


def _remark(row: dict[str, Any]) -> Remark:
    texts = tuple(row["texts"]) if "texts" in row else (row["text"],)
    return Remark(row.get("key", ""), float(row.get("share", 0.0)), texts, row["snomed"])

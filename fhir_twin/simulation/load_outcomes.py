"""mappings/outcomes -> Outcomes: trial ratios per unit of biomarker, site recalibration, region, utilities."""

from __future__ import annotations

from typing import Any

from fhir_twin.model.intervention import Calibration, DiabetesRate, Evidence, Outcomes, TrialRatio
from fhir_twin.model.tumour import TumourModel
from fhir_twin.simulation.load import OUTCOMES, evidence_of
from mappings import Source

FOLDER = "outcomes"
FIRST_AGE = 18
REGIONS = ("north-america", "elsewhere")
SCORE2_REGIONS = ("low", "moderate", "high", "very-high")


def load_outcomes(source: Source) -> Outcomes:
    """Read mappings/outcomes. A site's overlay may add or replace `recalibration.toml` and `site.toml`.

    Raises ValueError naming file and key."""
    tables = dict(source.toml(FOLDER))
    ratios = tables.get("trial-ratios.toml")
    if ratios is None:
        raise ValueError(f"{FOLDER}: trial-ratios.toml is missing")
    site = tables.get("site.toml", {})
    region, score2 = site.get("kfre_region", "north-america"), site.get("score2_region", "moderate")
    if region not in REGIONS or score2 not in SCORE2_REGIONS:
        raise ValueError(f"{FOLDER}/site.toml: unknown region")
    return Outcomes(
        trial_ratios=_ratios(ratios),
        calibrations=_calibrations(tables.get("recalibration.toml", {})),
        region=region,
        score2_region=score2,
        citations=_citations(tables),
        utilities=_utilities(tables.get("utilities.toml", {})),
        mortality=_mortality(dict(source.csv(FOLDER)).get("life-table.csv", [])),
        diabetes=_diabetes(tables.get("diabetes.toml")),
        tumour=_tumour(dict(source.json(FOLDER)).get("tumour-fna.json")),
    )


def _diabetes(table: dict[str, Any] | None) -> DiabetesRate | None:
    """None without the file or when not all of its evidence is verified."""
    if table is None:
        return None
    where = f"{FOLDER}/diabetes.toml"
    evidence = {e.key: e for e in evidence_of(where, table.get("evidence", []))}
    row = dict(table["baseline"])
    cited = tuple(row.pop("evidence"))
    if not cited or any(key not in evidence for key in cited):
        raise ValueError(f"{where}: the baseline cites no or an unknown evidence key")
    found = DiabetesRate(**row, evidence=cited)
    if not 0.0 < found.low < found.rate < found.high or found.horizon_years <= 0.0:
        raise ValueError(f"{where}: the baseline needs 0 < low < rate < high and a horizon")
    return found if all(evidence[key].verified for key in cited) else None


def _tumour(value: Any) -> TumourModel | None:
    """Raises ValueError when the file is there but is not such a model."""
    if value is None:
        return None
    try:
        return TumourModel.from_json(value)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{FOLDER}/tumour-fna.json: not the classifier's numbers") from error


def _ratios(table: dict[str, Any]) -> tuple[TrialRatio, ...]:
    where = f"{FOLDER}/trial-ratios.toml"
    evidence = {e.key: e for e in evidence_of(where, table.get("evidence", []))}
    found: dict[tuple[str, str], TrialRatio] = {}
    for row in table.get("ratio", []):
        key = (row["biomarker"], row["outcome"])
        if row["evidence"] not in evidence:
            raise ValueError(f"{where}: {key} cites an unknown evidence key")
        if row["outcome"] not in OUTCOMES or key in found:
            raise ValueError(f"{where}: {key} is twice there or no outcome")
        if not row["low"] < row["ratio"] < row["high"] or row["per"] == 0:
            raise ValueError(f"{where}: {key} needs low < ratio < high and per")
        if evidence[row["evidence"]].verified:
            found[key] = TrialRatio(**{**row, "evidence": evidence[row["evidence"]]})
    return tuple(found.values())


def _utilities(table: dict[str, Any]) -> tuple[tuple[str, float, float, Evidence], ...]:
    where = f"{FOLDER}/utilities.toml"
    evidence = {e.key: e for e in evidence_of(where, table.get("evidence", []))}
    found = []
    for row in table.get("utility", []):
        if (
            row["evidence"] not in evidence
            or row["outcome"] not in OUTCOMES
            or not 0.0 <= row["decrement"] <= 1.0
        ):
            raise ValueError(
                f"{where}: {row.get('outcome')!r} needs a known outcome, a decrement 0..1 and evidence"
            )
        if evidence[row["evidence"]].verified:
            item = (row["outcome"], float(row["decrement"]), float(row["se"]), evidence[row["evidence"]])
            found.append(item)
    return tuple(found)


def _mortality(rows: list[dict[str, str]]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """(sex, yearly probability of death from FIRST_AGE on); ages must follow each other."""
    ages = [int(r["age"]) for r in rows]
    if ages != list(range(FIRST_AGE, FIRST_AGE + len(ages))):
        raise ValueError(f"{FOLDER}/life-table.csv: ages must run from {FIRST_AGE} without a gap")
    table = tuple((sex, tuple(float(r[sex]) for r in rows)) for sex in ("male", "female"))
    if any(not 0.0 < q < 1.0 for _, column in table for q in column):
        raise ValueError(f"{FOLDER}/life-table.csv: a probability is not between 0 and 1")
    return table


def _calibrations(table: dict[str, Any]) -> tuple[Calibration, ...]:
    where = f"{FOLDER}/recalibration.toml"
    found = tuple(Calibration(**row) for row in table.get("recalibration", []))
    if len({c.equation for c in found}) != len(found):
        raise ValueError(f"{where}: an equation is recalibrated twice")
    if any(c.slope <= 0.0 for c in found):
        raise ValueError(f"{where}: the slope must be positive")
    return found


def _citations(tables: dict[str, dict[str, Any]]) -> tuple[tuple[str, Evidence], ...]:
    return tuple(
        (name.removesuffix(".toml"), item)
        for name, table in tables.items()
        for item in evidence_of(f"{FOLDER}/{name}", table.get("evidence", []))
    )

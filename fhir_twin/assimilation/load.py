"""mappings/biomarkers and mappings/units -> BiomarkerSet. Whatever is wrong is named by file and key."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fhir_twin.assimilation.load_assays import read_assays
from fhir_twin.assimilation.load_evidence import read_evidence
from fhir_twin.assimilation.load_intervals import Tables, joined, read_intervals, read_tables
from fhir_twin.assimilation.units import fold, parse_unit, to_canonical
from fhir_twin.dynamics.state_space import Dynamics
from fhir_twin.model.biomarker import (
    Analyte,
    BiomarkerModel,
    BiomarkerSet,
    Code,
    Evidence,
    Noise,
    Offset,
    PriorRow,
    SlopeRegime,
    TreatmentEffect,
    UnitRule,
)
from fhir_twin.model.twin import Array, readonly
from mappings import Source

FOLDER = "biomarkers"
# State order: related biomarkers side by side; part of the public interface (Twin.biomarkers).
ORDER = (
    "sbp",
    "dbp",
    "total-cholesterol",
    "ldl",
    "hdl",
    "triglycerides",
    "hba1c",
    "fasting-glucose",
    "egfr",
    "uacr",
    "bmi",
    "heart-rate",
)


def load_biomarkers(source: Source) -> BiomarkerSet:
    """Read and check every file. Raises ValueError naming file and key."""
    analytes: dict[str, Analyte] = {}
    models: dict[str, BiomarkerModel] = {}
    others: list[BiomarkerModel] = []
    correlations: dict[str, Any] = {}
    site: Tables = {}
    shipped: Tables = {}
    own_df = float("inf")
    for name, table in source.toml(FOLDER):
        try:
            if name == "correlations.toml":
                correlations = table
            elif name == "calibration.toml":
                site = read_tables(table)
            elif name == "intervals.toml":
                own_df, shipped = read_intervals(table)
            elif "analyte" in table:
                evidence = read_evidence(table)
                analytes.update((a["key"], _analyte(a, evidence)) for a in table["analyte"])
            else:
                evidence = read_evidence(table)
                analyte = _analyte(table | {"codes": table["code"]}, evidence)
                analytes[analyte.key] = analyte
                model = _model(table, analyte, evidence)
                if table.get("state", True):
                    models[analyte.key] = model
                else:
                    others.append(model)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{FOLDER}/{name}: {error}") from error
    ordered = tuple(models[k] for k in ORDER if k in models) + tuple(
        models[k] for k in sorted(models) if k not in ORDER
    )
    keys = [m.key for m in ordered]
    levels = _correlation(keys, correlations.get("levels", []))
    fluctuations = _correlation(keys, correlations.get("fluctuations", []))
    _check_motion(ordered, fluctuations)
    return BiomarkerSet(
        analytes=analytes,
        by_loinc=_by_loinc(analytes),
        models=ordered,
        level_correlation=readonly(levels),
        fluctuation_correlation=readonly(fluctuations),
        aliases=_aliases(source),
        version=_version(source),
        calibration=joined(shipped, site),
        own_df=own_df,
        others=tuple(sorted(others, key=lambda m: m.key)),
    )


def _version(source: Source) -> str:
    """sha256 (first 12 hex) over the parsed tables: comments and order of files do not matter."""
    content = dict(source.toml(FOLDER))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _analyte(row: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> Analyte:
    key, unit = row["key"], row["unit"]
    if parse_unit(unit) is None:
        raise ValueError(f"{key}: unit {unit!r} is not UCUM")
    rules = _rules(row.get("unit_rules", row.get("unit_rule", [])))
    low, high = (float(v) for v in row["plausible"])
    if not low < high:
        raise ValueError(f"{key}: plausible must rise")
    codes = tuple(
        Code(
            c["loinc"],
            c.get("note", ""),
            c.get("use", ""),
            c.get("equation", ""),
            rules=_rules(c.get("unit_rules", [])),
            assay=c.get("assay", ""),
        )
        for c in row["codes"]
    )
    cited = tuple(evidence[k] for k in ("window", "molar") if k in evidence)
    derived, others = bool(row.get("derived", False)), tuple(row.get("other_units", []))
    bare = tuple((u, float(a), float(b)) for u, (a, b) in row.get("unlabelled", {}).items())
    assays = read_assays(row, evidence)
    analyte = Analyte(key, row["name"], unit, codes, rules, (low, high), derived, cited, others, bare, assays)
    if any(to_canonical(1.0, other, analyte) is None for other in (*others, *(u for u, *_ in bare))):
        raise ValueError(f"{key}: other_units has a unit that cannot be converted")
    return analyte


def _rules(rows: list[Mapping[str, Any]]) -> tuple[UnitRule, ...]:
    return tuple(UnitRule(r["unit"], float(r["factor"]), float(r.get("offset", 0.0))) for r in rows)


def _model(table: Mapping[str, Any], analyte: Analyte, evidence: Mapping[str, Evidence]) -> BiomarkerModel:
    if table["scale"] != "log":
        raise ValueError("scale: only log is modelled")
    motion, noise = table["dynamics"], table["noise"]
    priors = tuple(_prior(row, analyte, motion, noise) for row in table["prior"])
    ageing = table.get("ageing", {})
    at = ageing.get("at", {})
    return BiomarkerModel(
        key=analyte.key,
        scale="log",
        unit=analyte.unit,
        priors=priors,
        fluctuation_sd=float(motion["fluctuation_sd"]),
        fluctuation_tau=float(motion["fluctuation_tau"]),
        walk=float(motion["walk"]),
        ageing={sex: float(ageing[sex]) / float(at[sex]) for sex in ("female", "male") if sex in ageing},
        noise=Noise(
            float(noise["visit"]),
            float(noise["reading"]),
            {k: float(v) for k, v in noise.get("settings", {}).items()},
            tuple((float(a), float(f)) for a, f in noise.get("ages", [])),
            {a.key: a for a in analyte.assays},
        ),
        slopes=tuple(_slope(row) for row in table.get("slope", [])),
        treatments=tuple(_treatment(row, evidence) for row in table.get("treatment", [])),
        evidence=tuple(evidence.values()),
        offset=_offset(table.get("out_of_office")),
    )


def _offset(row: Mapping[str, Any] | None) -> Offset | None:
    if row is None:
        return None
    offset = Offset(tuple(row["settings"]), float(row["mean"]), float(row["sd"]))
    if not offset.sd > 0 or "office" in offset.settings or "unknown" in offset.settings:
        raise ValueError("out_of_office: sd must be positive, settings other than office and unknown")
    return offset


def _prior(
    row: Mapping[str, Any], analyte: Analyte, motion: Mapping[str, Any], noise: Mapping[str, Any]
) -> PriorRow:
    """Published mean (SD) of single measurements -> median and SD of the personal level on the log scale.

    Log-normal: sd_log^2 = ln(1 + (sd/mean)^2), mu = ln mean - sd_log^2/2. Fluctuation and visit noise are part of
    the published spread and are taken out, but never more than half of the variance. `sd_log` is
    given directly where the spread of the personal level itself is known or chosen; its mean is a median."""
    mean = to_canonical(float(row["mean"]), row.get("unit", analyte.unit), analyte)
    if mean is None or mean <= 0:
        raise ValueError("prior: mean has not the analyte's unit")
    if "sd_log" in row:
        centre, sd = math.log(mean), float(row["sd_log"])
    else:
        total = math.log1p((float(row["sd"]) / float(row["mean"])) ** 2)
        within = float(motion["fluctuation_sd"]) ** 2 + float(noise["visit"]) ** 2
        centre, sd = math.log(mean) - total / 2.0, math.sqrt(max(total - within, total / 2.0))
    low, high = (float(a) for a in row["ages"])
    return PriorRow(row.get("sex", ""), low, high, row.get("group", ""), centre, sd)


def _slope(row: Mapping[str, Any]) -> SlopeRegime:
    """Published change per year in canonical units, as a share of the level `at` which it was published."""
    at = float(row["at"])
    return SlopeRegime(
        row["name"],
        float(row["share"]),
        float(row["mean"]) / at,
        float(row["sd"]) / at,
        row.get("sex", ""),
        row.get("group", ""),
    )


def _treatment(row: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> TreatmentEffect:
    """absolute: canonical units at `baseline`; relative: share of the value. Both become a log ratio there.
    spread: SD between people in the same terms."""
    baseline = float(row["baseline"])
    if "relative" in row:
        share, spread = float(row["relative"]), float(row["spread"])
    else:
        share = float(row["absolute"]) / baseline
        spread = float(row["spread"]) / baseline if row["spread"] >= 1 else float(row["spread"])
    return TreatmentEffect(
        drug_class=row["drug_class"],
        mean=math.log1p(share),
        spread=spread,
        baseline=baseline,
        per_unit=float(row.get("per_unit", 0.0)),
        onset=float(row["onset_years"]),
        family=row.get("family", ""),
        correlation=float(row.get("correlation", 0.0)),
        verified=all(evidence[i].verified for i in row["evidence"]),
        doses=tuple(
            (d["ingredient"], float(d["mg"]), math.log1p(float(d["relative"]))) for d in row.get("dose", [])
        ),
    )


def _correlation(keys: list[str], pairs: list[Mapping[str, Any]]) -> Array:
    matrix = np.eye(len(keys))
    for pair in pairs:
        if all(k in keys for k in pair["pair"]):
            i, j = (keys.index(k) for k in pair["pair"])
            matrix[i, j] = matrix[j, i] = float(pair["value"])
    if np.linalg.eigvalsh(matrix).min(initial=1.0) <= 0:
        raise ValueError(f"{FOLDER}/correlations.toml: not a correlation matrix")
    return matrix


def _check_motion(models: tuple[BiomarkerModel, ...], correlation: Array) -> None:
    sd = np.array([m.fluctuation_sd for m in models])
    rate = np.array([1.0 / m.fluctuation_tau if m.fluctuation_sd > 0 else 0.0 for m in models])
    Dynamics(rate, correlation * sd[:, None] * sd[None, :], np.zeros(len(models))).check()


def _by_loinc(analytes: Mapping[str, Analyte]) -> dict[str, tuple[str, Code]]:
    found: dict[str, tuple[str, Code]] = {}
    for analyte in analytes.values():
        for code in analyte.codes:
            if code.loinc in found:
                raise ValueError(
                    f"{FOLDER}: {code.loinc} stands for {found[code.loinc][0]} and {analyte.key}"
                )
            found[code.loinc] = (analyte.key, code)
    return found


def _aliases(source: Source) -> dict[str, str]:
    """Printed spelling -> UCUM; the folded spelling too, where it has one meaning only ("mM" is no "mm")."""
    exact: dict[str, str] = {}
    folded: dict[str, set[str]] = {}
    for name, rows in source.tsv("units"):
        for row in rows:
            printed, ucum = row["printed"], row["ucum"]
            if parse_unit(ucum) is None and ucum != "[degF]":
                raise ValueError(f"units/{name}: {ucum!r} is not UCUM")
            exact[printed] = ucum
            folded.setdefault(fold(printed), set()).add(ucum)
    unique = {key: next(iter(codes)) for key, codes in sorted(folded.items()) if len(codes) == 1}
    unique = {key: code for key, code in unique.items() if parse_unit(key) in (None, parse_unit(code))}
    return unique | exact

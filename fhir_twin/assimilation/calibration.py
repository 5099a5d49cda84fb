"""A site's own intervals: residuals of its patients' forecasts -> conformal tables, coverage, alarms.

Every value with a personal history before it is a test of the forecast made from that history alone, so the
residuals need no extra model runs and never see their own value. `Calibration.toml()` is a knowledge file: laid as
biomarkers/calibration.toml in the site's overlay it is used by `forecast` from the next start on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fhir_twin.assimilation.assimilate import advance, start_memory
from fhir_twin.assimilation.build import WITHOUT_STATE, prepare
from fhir_twin.assimilation.clock import EPOCH, YEAR, years
from fhir_twin.assimilation.profile import build_profile, refusal
from fhir_twin.assimilation.treatment import treatment_terms
from fhir_twin.assimilation.visits import group_points
from fhir_twin.dynamics.intervals import (
    THIRDS,
    age_third,
    alarms,
    calibrate,
    coverage,
    quantile_scores,
    scaled,
)
from fhir_twin.model.biomarker import BiomarkerSet
from fhir_twin.model.coded import CodedChart
from fhir_twin.model.twin import Array

# biomarker, z, age at the value, setting, sex, race, day, how many were tested before
Row = tuple[str, float, float, str, str, str, str, int]


@dataclass(frozen=True, slots=True, repr=False)
class Residuals:
    """One row per tested value: biomarker key, z (by the person's own spread as of then), age at the value (NaN
    unknown), setting, sex, race, and how many of the biomarker were tested before it (degrees of freedom of the own
    spread)."""

    biomarker: tuple[str, ...]
    z: Array
    age: Array
    setting: tuple[str, ...]
    sex: tuple[str, ...]
    race: tuple[str, ...]
    tested: Array

    def of(self, key: str) -> Residuals:
        """Those of one biomarker."""
        keep = [i for i, k in enumerate(self.biomarker) if k == key]
        return Residuals(
            tuple(self.biomarker[i] for i in keep),
            self.z[keep],
            self.age[keep],
            tuple(self.setting[i] for i in keep),
            tuple(self.sex[i] for i in keep),
            tuple(self.race[i] for i in keep),
            self.tested[keep],
        )


@dataclass(frozen=True, slots=True, repr=False)
class Calibration:
    """tables: (biomarker, age third, setting) -> scores at intervals.GRID; covered: biomarker -> group -> (share
    inside the 80 % interval in use, number of values); alarms: (biomarker, group) outside 76-84 %."""

    tables: dict[tuple[str, str, str], tuple[float, ...]]
    covered: dict[str, dict[str, tuple[float, int]]]
    alarms: tuple[tuple[str, str], ...]

    def toml(self) -> str:
        """The knowledge file; sorted, so that the same data give the same bytes."""
        parts = [
            "# Written by fhir-twin calibrate from this site's own residuals. Scores are at the levels of\n"
            "# fhir_twin.dynamics.intervals.GRID. No patient data: a cell has 100 values or more.\n"
        ]
        for biomarker, third, setting in sorted(self.tables):
            scores = ", ".join(f"{v:.4f}" for v in self.tables[biomarker, third, setting])
            parts.append(
                f'\n[[table]]\nbiomarker = "{biomarker}"\nage_third = "{third}"\nsetting = "{setting}"\n'
                f"scores = [{scores}]\n"
            )
        return "".join(parts)


def calibrate_site(charts: Iterable[CodedChart], known: BiomarkerSet) -> Calibration:
    """Tables from all charts' residuals, and how the intervals in use hold now (by sex, age third, race)."""
    found = residuals(charts, known)
    tables: dict[tuple[str, str, str], tuple[float, ...]] = {}
    covered: dict[str, dict[str, tuple[float, int]]] = {}
    for key in known.keys:
        part = found.of(key)
        if len(part.z):
            tables.update(calibrate(part.z, part.age, part.setting, key))
            covered[key] = monitor(part, key, known)
    rung = tuple((key, group) for key, groups in covered.items() for group in alarms(groups))
    return Calibration(tables, covered, rung)


def monitor(found: Residuals, key: str, known: BiomarkerSet) -> dict[str, tuple[float, int]]:
    """Coverage of the 80 % interval in use for one biomarker, for everybody and per sex, age third and race."""
    df = known.own_df + found.tested
    scores = quantile_scores(known.calibration, key, found.age[:, None], found.setting, (0.1, 0.9), df)[:, 0]
    low, high = scores[:, 0], scores[:, 1]
    thirds = [THIRDS[i] if i >= 0 else "age unknown" for i in age_third(found.age)]
    held = coverage(low, high, found.z, ["all"] * len(found.z))
    for labels in (found.sex, thirds, [r or "race unknown" for r in found.race]):
        held |= coverage(low, high, found.z, list(labels))
    return held


def residuals(charts: Iterable[CodedChart], known: BiomarkerSet) -> Residuals:
    """One-step-ahead residuals of all values that had a value of the same biomarker before them."""
    rows: list[Row] = []
    for coded in charts:
        rows += _of_chart(coded, known)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 8
    return Residuals(
        tuple(columns[0]),
        np.array(columns[1], dtype=np.float64),
        np.array(columns[2], dtype=np.float64),
        tuple(columns[3]),
        tuple(columns[4]),
        tuple(columns[5]),
        np.array(columns[7], dtype=np.float64),
    )


def residual_rows(coded: CodedChart, known: BiomarkerSet) -> list[tuple[str, float, bool, float, str, str]]:
    """One patient's residuals: (biomarker, z, inside the 80 % interval in use, age, setting, day of the value)."""
    rows = []
    for key, z, age, setting, _, _, day, tested in _of_chart(coded, known):
        df = np.array([known.own_df + tested])
        scores = quantile_scores(known.calibration, key, np.array([[age]]), (setting,), (0.1, 0.9), df)
        low, high = scores[0, 0]
        rows.append((key, float(z), bool(low <= z <= high), float(age), setting, day))
    return rows


def _of_chart(coded: CodedChart, known: BiomarkerSet) -> list[Row]:
    profile = build_profile(coded)
    if refusal(profile) in WITHOUT_STATE:
        return []
    points, _ = prepare(coded, known, profile)
    groups = group_points(points, known, coded.chart.age_at)
    if not groups:
        return []
    reference = groups[0].time
    terms = treatment_terms(coded, known, reference)
    age = coded.chart.age_at(EPOCH + reference * YEAR)
    memory = start_memory(known, profile, age, reference, terms)
    result = advance(memory, groups, known, profile, years(coded.chart.as_of))
    seen: set[int] = set()
    rows: list[Row] = []
    for group, effect in zip(groups, result.traces, strict=True):
        if group.side == 0 and group.row in seen:
            point = points[group.members[0]]
            when = coded.chart.age_at(point.time) if point.time is not None else None
            rows.append(
                (
                    known.keys[group.row],
                    effect.z,
                    float("nan") if when is None else when,
                    point.setting,
                    profile.sex or "sex unknown",
                    coded.chart.patient.race,
                    point.time.date().isoformat() if point.time is not None else "",
                    0,
                )
            )
        seen.add(group.row)
    for key in {row[0] for row in rows}:
        places = [i for i, row in enumerate(rows) if row[0] == key]
        own = scaled(np.array([rows[i][1] for i in places]), known.own_df)
        for before, (i, z) in enumerate(zip(places, own, strict=True)):
            rows[i] = (rows[i][0], float(z), *rows[i][2:7], before)
    return rows

"""How forecasts become intervals: mappings/biomarkers/intervals.toml and a site's calibration.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_twin.assimilation.load_evidence import cited, read_evidence

Tables = dict[tuple[str, str, str], tuple[float, ...]]


def read_intervals(table: Mapping[str, Any]) -> tuple[float, Tables]:
    """Degrees of freedom of a person's own spread, and the tables that are shipped; both cited and verified."""
    evidence = read_evidence(table)
    own = table["own_spread"]
    rows = table.get("table", [])
    for part, row in (("own_spread", own), *(("table", r) for r in rows)):
        cited(part, row, evidence)
        if not all(evidence[i].verified for i in row["evidence"]):
            raise ValueError(f"{part}: only verified numbers")
    if not float(own["df"]) > 2.0:
        raise ValueError("own_spread: df must be above 2")
    return float(own["df"]), read_tables(table)


def joined(shipped: Tables, site: Tables) -> Tables:
    """The site's tables; ours only of biomarkers that the site has none of."""
    own = {key[0] for key in site}
    return {key: row for key, row in shipped.items() if key[0] not in own} | site


def read_tables(table: Mapping[str, Any]) -> Tables:
    """(biomarker, age third, setting) -> scores at intervals.GRID."""
    return {
        (row["biomarker"], row["age_third"], row["setting"]): tuple(float(v) for v in row["scores"])
        for row in table.get("table", [])
    }

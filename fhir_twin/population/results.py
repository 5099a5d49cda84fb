"""A finished run's tables, asked in SQL (DuckDB over the Parquet files; nothing is copied)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb

from fhir_twin.errors import InvalidInput
from fhir_twin.population.tables import TABLES


class Results:
    """The result folder of a population run. Raises InvalidInput when it is none, or not finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "summary.json").exists():
            raise InvalidInput(
                "no finished population run in this folder (no summary.json); run `fhir-twin population run` first"
            )
        self.summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        self._connection = duckdb.connect(":memory:", config={"threads": 2})
        for name in TABLES:
            pattern = str(folder / name / "*.parquet").replace("'", "''")
            text = f"create view {name} as select * from read_parquet('{pattern}')"  # noqa: S608 - names are ours
            self._connection.execute(text)

    def rows(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query; values go in as parameters, never into the text."""
        return self._connection.execute(sql, parameters or []).fetchall()

    def dicts(self, sql: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        """The same, by column name."""
        cursor = self._connection.execute(sql, parameters or [])
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

"""What we know, as data. One tiny loader; imports nothing of fhir_twin.

Every folder holds files of one kind and a README with the legend of every key. A site may lay its own folder
over this one (`Source(overlay=...)`): a file of the same name wins, other files are added.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


class Source:
    """A read-only view of the knowledge folders, with an optional site overlay."""

    def __init__(self, root: Path = ROOT, overlay: Path | None = None) -> None:
        self.root = root
        self.overlay = overlay

    def paths(self, folder: str, suffix: str) -> list[Path]:
        """Files of `folder` with `suffix` (".toml"), sorted by name; the overlay's win over ours."""
        found: dict[str, Path] = {}
        for base in (self.root, self.overlay):
            if base is not None:
                found.update({p.name: p for p in sorted((base / folder).glob(f"*{suffix}"))})
        return [found[name] for name in sorted(found)]

    def toml(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(file name, parsed table) for every TOML file of `folder`. Raises ValueError naming the file."""
        for path in self.paths(folder, ".toml"):
            try:
                yield path.name, tomllib.loads(path.read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{folder}/{path.name}: {error}") from error

    def json(self, folder: str) -> Iterator[tuple[str, Any]]:
        for path in self.paths(folder, ".json"):
            try:
                yield path.name, json.loads(path.read_text("utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{folder}/{path.name}: {error}") from error

    def tsv(self, folder: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """(file name, rows as dicts) of every TSV file; lines that begin with # are comments."""
        yield from ((p.name, _rows(p, "\t")) for p in self.paths(folder, ".tsv"))

    def csv(self, folder: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
        yield from ((p.name, _rows(p, ",")) for p in self.paths(folder, ".csv"))

    def digest(self) -> str:
        """sha256 (first 16 hex) over all knowledge files: the knowledge version that a run records."""
        sums = hashlib.sha256()
        for base in (self.root, self.overlay):
            for path in sorted(base.rglob("*")) if base is not None else ():
                if path.suffix in (".toml", ".tsv", ".json", ".csv"):
                    sums.update(path.relative_to(base).as_posix().encode())  # type: ignore[arg-type]
                    sums.update(path.read_bytes())
        return sums.hexdigest()[:16]


def _rows(path: Path, delimiter: str) -> list[dict[str, str]]:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    if delimiter == "\t":  # quotes are ordinary characters in our TSV files
        rows = list(csv.DictReader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE))
    else:
        rows = list(csv.DictReader(lines, delimiter=delimiter))
    for row in rows:
        if None in row or None in row.values():
            raise ValueError(f"{path.name}: a row has not as many fields as the header: {row!r}")
    return rows

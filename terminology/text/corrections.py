"""Human review: a correction goes to the site's lexicon (site-corrections.tsv) and wins from then on."""

from __future__ import annotations

import csv
from pathlib import Path

_COLUMNS = ("subject_label", "predicate_id", "object_id", "object_label", "mapping_justification", "source")
_NAME = "site-corrections.tsv"


def record_correction(overlay: Path, text: str, code: str, display: str, reviewer: str) -> Path:
    """Add or replace "text means this ICD-10-CM code" in `overlay`/lexicon. Returns the file.

    Raises ValueError for an empty text or one with tabs or line ends. Open the coder anew to use it.
    """
    fields = (
        text.strip(),
        "skos:exactMatch",
        f"ICD10CM:{code}",
        display,
        "semapv:ManualMappingCuration",
        reviewer,
    )
    if not fields[0] or any("\t" in f or "\n" in f or "\r" in f for f in fields):
        raise ValueError("a correction is one line of text and a code")
    path = overlay / "lexicon" / _NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [row for row in _rows(path) if row[0].casefold() != fields[0].casefold()]
    private = path.with_suffix(".tmp")
    with private.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(
            stream, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n"
        )
        writer.writerows([_COLUMNS, *kept, fields])
    private.replace(path)
    return path


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]

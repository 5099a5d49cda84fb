"""What kind of release some files are, by their names and first lines. For people who do not want to say it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from terminology.importers.files import Files
from terminology.importers.rows import BadRelease

_BY_NAME = (
    ("snomed", "sct2_concept", ".txt"), ("rxnorm", "rxnconso", ".rrf"), ("loinc", "loinc.csv", ".csv"),
    ("gem", "gem", ".txt"), ("obo", "", ".obo"), ("sssom", "sssom", ".tsv"), ("fhir", "", ".json"),
)  # fmt: skip
_BY_ROOT = (("icd10cm", "ICD10CM.tabular"), ("icd10cm-index", "ICD10CM.index"))


def kind_of(path: Path) -> str:
    """One of library.READERS. Raises BadRelease when it cannot be told."""
    files = Files(path)
    names = [PurePosixPath(n).name.lower() for n in files.names]
    for kind, part, suffix in _BY_NAME:
        if any(part in name and name.endswith(suffix) for name in names):
            return kind
    for name in files.matching(suffix=".xml"):
        with files.open(name) as stream:
            head = stream.read(4_000)
        for kind, root in _BY_ROOT:
            if f"<{root}" in head:
                return kind
    for name in files.matching(suffix=".tsv"):
        with files.open(name) as stream:
            if "subject_id" in stream.read(20_000):
                return "sssom"
    raise BadRelease(f"{path.name}: not recognised; say what it is: snomed, loinc, rxnorm, obo ...")

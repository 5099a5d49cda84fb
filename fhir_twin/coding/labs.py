"""Names of measurements -> LOINC, for results that came without a code. Data: mappings/concept-maps/lab-names.tsv."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fhir_twin.coding.words import key
from fhir_twin.errors import KnowledgeError
from mappings import Source

FOLDER, FILE = "concept-maps", "lab-names.tsv"
LONGEST_NAME = 200
COLUMNS = ("name", "loinc", "synonyms", "specimen", "source")

_LONG_NAME = re.compile(
    r"(?P<analyte>[^\[\]]+?) \[(?:Mass|Moles|Enzymatic activity|#|Units)/volume\]"
    r" (?:in|of) (?P<specimen>[A-Za-z, ]+?)(?: by .*)?",
    re.IGNORECASE,
)

# What a name may say of its specimen, and which column value that agrees with. Other fluids agree with none.
_SPECIMEN = {
    "urine": "urine", "random urine": "urine", "spot urine": "urine", "serum": "blood", "plasma": "blood",
    "blood": "blood", "whole blood": "blood", "ser/plas": "blood", "venous": "blood", "venous blood": "blood",
    "ser plas": "blood", "serum or plasma": "blood", "serum/plasma": "blood", "capillary blood": "blood",
}  # fmt: skip
# "Plasma hemoglobin" is another analyte than hemoglobin: only these words may be taken off the front.
_IN_FRONT = ("urine", "random urine", "spot urine", "serum")
OTHER_FLUIDS = (
    "ascites", "pleural", "csf", "joint fluid", "stool", "body fluid", "other fluid", "synovial", "peritoneal",
    "cerebrospinal fluid", "dialysate", "amniotic", "sweat", "saliva", "cord blood", "drain", "bile", "semen",
    "sputum", "swab", "tissue", "wound", "nasal", "throat",
)  # fmt: skip


@dataclass(frozen=True)
class LabNames:
    """by_name: normalised name -> (LOINC, specimen "blood" | "urine" | "")."""

    by_name: Mapping[str, tuple[str, str]]

    def loinc(self, name: str, specimen: str = "") -> str:
        """The LOINC for a name as written, "" when it is not known or the specimen is another one. What the name says
        of the specimen counts more than `specimen`, which is what the record says beside it."""
        if len(name) > LONGEST_NAME or "test strip" in name.lower():
            return ""
        found = self.by_name.get(key(name))
        if found is None:
            analyte, said = _split_long_name(name) or _split_specimen(key(name))
            specimen = said or specimen
            found = self.by_name.get(analyte)
            if _kind_of(specimen) == "urine":
                found = self.by_name.get(f"urine {analyte}", found)
        kind = _kind_of(specimen)
        if found is None or kind == "other" or (kind and found[1] and kind != found[1]):
            return ""
        return found[0]


def _split_long_name(name: str) -> tuple[str, str] | None:
    """LOINC's long names: "Albumin [Mass/volume] in Serum or Plasma" -> ("albumin", "Serum or Plasma")."""
    found = _LONG_NAME.fullmatch(name.strip())
    return (key(found["analyte"]), found["specimen"]) if found else None


def _split_specimen(plain: str) -> tuple[str, str]:
    for word in sorted((*_SPECIMEN, *OTHER_FLUIDS), key=len, reverse=True):
        spoken = key(word)
        if plain.endswith(" " + spoken):
            return plain[: -len(spoken) - 1], word
        if word in _IN_FRONT and plain.startswith(spoken + " "):
            return plain[len(spoken) + 1 :], word
    return plain, ""


def _kind_of(specimen: str) -> str:
    """ "blood", "urine", "other" for any other named fluid, "" for nothing said or not understood."""
    plain = key(specimen)
    if any(key(word) in plain for word in OTHER_FLUIDS):
        return "other"
    if plain in _SPECIMEN:
        return _SPECIMEN[plain]
    words = plain.split()
    return next(
        (
            kind
            for word, kind in (("urine", "urine"), ("serum", "blood"), ("blood", "blood"))
            if word in words
        ),
        "",
    )


def load_lab_names(source: Source) -> LabNames:
    """Read lab-names.tsv. Raises KnowledgeError when a name stands for two codes or a column is missing."""
    found: dict[str, tuple[str, str]] = {}
    for file, rows in source.tsv(FOLDER):
        if file != FILE:
            continue
        for row in rows:
            missing = [c for c in COLUMNS if c not in row]
            if missing:
                raise KnowledgeError(f"{FOLDER}/{FILE}: column {missing[0]} is missing")
            meant = (row["loinc"], row["specimen"])
            for name in (row["name"], *row["synonyms"].split("|")):
                if name and found.setdefault(key(name), meant) != meant:
                    raise KnowledgeError(f"{FOLDER}/{FILE}: {name!r} stands for two codes")
    return LabNames(found)

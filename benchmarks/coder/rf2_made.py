"""A made RF2 Snapshot of SNOMED CT's size: ids with right check digits, terms put together from ICD-10-CM's words."""

from __future__ import annotations

import random
from pathlib import Path

from terminology.importers import icd10cm
from terminology.importers.rows import ConceptRow
from terminology.importers.snomed_rf2 import _D, _P

_WHEN = "20260101"
_SYNONYM, _FSN, _IS_A, _US = "900000000000013009", "900000000000003001", "116680003", "900000000000509007"
_INVERSE = "0432156789"  # of the dihedral group: d(state, inverse) = 0


def identifier(number: int, partition: str) -> str:
    """`number` with partition and Verhoeff's check digit behind it."""
    base = f"{number}{partition}"
    state = 0
    for place, letter in enumerate(reversed(base), 1):
        state = int(_D[state][int(_P[place % 8][int(letter)])])
    return base + _INVERSE[state]


def titles() -> list[list[str]]:
    rows = icd10cm.read(icd10cm.installed_tabular()).rows
    return [row.display.split() for row in rows if isinstance(row, ConceptRow)]


def make(folder: Path, concepts: int, descriptions: int, seed: int = 1) -> Path:
    """Concepts in a tree with several parents, `descriptions` terms (two or more for each), preferred in US English."""
    rng = random.Random(seed)
    known = titles()
    base, refset = folder / "Snapshot" / "Terminology", folder / "Snapshot" / "Refset"
    base.mkdir(parents=True)
    refset.mkdir(parents=True)
    codes = ["138875005", *(identifier(1_000_000 + i, "00") for i in range(concepts - 1))]
    with (base / f"sct2_Concept_Snapshot_INT_{_WHEN}.txt").open("w") as out:
        out.write("id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n")
        out.writelines(
            f"{c}\t{_WHEN}\t{int(i % 10 != 9)}\t900000000000207008\td\n" for i, c in enumerate(codes)
        )
    with (base / f"sct2_Description_Snapshot-en_INT_{_WHEN}.txt").open("w") as out:
        out.write(
            "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
        )
        for i in range(descriptions):
            a, b = rng.choice(known), rng.choice(known)
            words = " ".join((*a[: rng.randint(1, 6)], *b[: rng.randint(1, 3)]))
            kind, text = (_FSN, f"{words} (disorder)") if i < concepts else (_SYNONYM, words)
            out.write(f"{2_000_000 + i}011\t{_WHEN}\t1\tm\t{codes[i % concepts]}\ten\t{kind}\t{text}\tc\n")
    with (base / f"sct2_Relationship_Snapshot_INT_{_WHEN}.txt").open("w") as out:
        out.write(
            "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\tcharacteristicTypeId\tmodifierId\n"
        )
        for i in range(1, concepts):
            for parent in {rng.randint(max(0, i // 4 - 50), i // 4), (i - 1) // 5}:
                out.write(f"{i}\t{_WHEN}\t1\tm\t{codes[i]}\t{codes[parent]}\t0\t{_IS_A}\tc\tm\n")
    with (refset / f"der2_cRefset_LanguageSnapshot-en_INT_{_WHEN}.txt").open("w") as out:
        out.write("id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tacceptabilityId\n")
        out.writelines(
            f"u{i}\t{_WHEN}\t1\tm\t{_US}\t{2_000_000 + i}011\t"
            f"{'900000000000548007' if i < 2 * concepts else '900000000000549004'}\n"
            for i in range(descriptions)
        )
    return folder

"""Is the coder's respelling of a drug's name a slip of the pen, or another drug?

Names of drugs are close to one another (daunorubicin and doxorubicin, olopatadine and loratadine, colistin and
Colestid), and no list has them all: a name that is not in the list is more often a drug that we do not know than
a misspelling of one that we do."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz.distance import OSA

STEP, ARROW = "spelling:", " -> "  # how the coder's record names a word that it corrected
SHORTEST, MIDDLING, LONG = 5, 7, 9


def is_believable(steps: Iterable[str]) -> bool:
    """True when each corrected word keeps its first letter and differs by one slip (a letter changed, added, lost or
    two swapped), or from 9 letters on by two letters lost or added; below 7 letters only by one letter lost or added
    ("asprin")."""
    return all(_is_slip(*_pair(step)) for step in steps if step.startswith(STEP) and ARROW in step)


def _pair(step: str) -> tuple[str, str]:
    written, _, read = step.removeprefix(STEP).partition(ARROW)
    return written.strip(), read.strip()


def _is_slip(written: str, read: str) -> bool:
    if len(written) < SHORTEST or written[:1] != read[:1]:
        return False
    if len(written) < MIDDLING and len(written) == len(read):
        return False
    slips = OSA.distance(written, read)
    return slips <= 1 or (slips == 2 and len(written) >= LONG and abs(len(written) - len(read)) == 2)
